"""What a Beam worker elsewhere is, and what it sees: told by itself.

The text of this module goes to the workers, which run it there; `probe` sends it. For a worker may
have no tfxray, or another one, or a Python to which no function of ours could be sent. So at its
top it imports only what Python and Beam have.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import version as beam_version

MARK = "tfxray-worker-check:"
START = 65536  # bytes of a file that are compared
_REMEDY = "Install there what is installed here"


class Check(beam.DoFn):
    """Looks once in each worker, and hands its elements on."""

    def __init__(self, wanted: dict[str, Any]):
        """Keeps what to look for.

        Args:
            wanted: As `probe` makes it, where everything is right.
        """
        self._wanted, self._done = wanted, False

    def process(self, element: Any) -> Iterator[Any]:
        """See `beam.DoFn`."""
        if not self._done:
            fault = find_fault(self._wanted)
            if fault:
                # An error is all that every runner brings back, and it may fold or quote its text.
                line = f"{socket.gethostname()}: {fault}"
                encoded = base64.urlsafe_b64encode(line.encode()).decode()
                raise RuntimeError(f"{MARK}{encoded}.")
            self._done = True
        yield element


class Deal(Check):
    """Looks, and then deals elements, each with a key of its own."""

    def process(self, element: Any) -> Iterator[Any]:
        """See `beam.DoFn`."""
        for _ in super().process(element):
            for number in range(self._wanted["elements"]):
                yield number, b""


def find_fault(wanted: dict[str, Any]) -> str | None:
    """The first thing that is not as where the jobs are started; None if there is none."""
    python = "{}.{}".format(*sys.version_info[:2])
    if python != wanted["python"]:
        return (
            f"its workers run Python {python}, and this is Python {wanted['python']}. Start its "
            "worker pool by the same Python as here"
        )
    version = beam_version.__version__
    if version != wanted["beam"]:
        return (
            f"its workers have Beam {version}, and here is {wanted['beam']}. Install "
            f"apache-beam=={wanted['beam']} there"
        )
    return _find_other_code(wanted) or _find_hidden_folder(wanted)


def _find_other_code(wanted: dict[str, Any]) -> str | None:
    try:
        from importlib import metadata

        from tfxray.components.common import code_digest

        version = metadata.version("tfxray")
    except ImportError:  # also where it is not installed
        return f"its workers' Python has no tfxray ({sys.executable}). {_REMEDY}"
    if version != wanted["tfxray"]:
        return f"its workers have tfxray {version}, and here is {wanted['tfxray']}. {_REMEDY}"
    try:
        there = code_digest.source_digests(*wanted["entries"])
    except AttributeError:  # older than this check
        there = {}
    here = wanted["sources"]
    if other := sorted(name for name in {*here, *there} if here.get(name) != there.get(name)):
        return (
            f"its workers have another tfxray than here, of the same version {version}: "
            f"{len(other)} of its modules differ, such as {other[0]}. {_REMEDY}"
        )
    libraries = code_digest.libraries(*wanted["entries"])
    for library, version in sorted(wanted["libraries"].items()):
        found = libraries.get(library)
        if found != version:
            return (
                f"its workers have {f'{library} {found}' if found else f'no {library}'}, and here "
                f"is {library} {version}. {_REMEDY}"
            )
    return None


def _find_hidden_folder(wanted: dict[str, Any]) -> str | None:
    from tfxray.components.common import filesystem

    remedy = "Every worker must see it under this path: on a volume, or in an object store"
    for folder in wanted["folders"]:
        place = f"{folder['path']} ({folder['option']})"
        try:
            with filesystem.open_file(os.path.join(folder["path"], folder["file"])) as file:
                digest = hashlib.sha256(file.read(START)).hexdigest()
        except Exception as error:  # of any file system
            return f"its workers do not see {place}: {_reason(error)}. {remedy}"
        if digest != folder["digest"]:
            return f"its workers see another folder as {place}. {remedy}"
        if folder["answers"]:
            host = socket.gethostname()
            answer = os.path.join(folder["path"], folder["answers"], f"{host}-{os.getpid()}")
            try:
                filesystem.write_file(answer, host.encode())
            except Exception as error:
                return f"its workers cannot write into {place}: {_reason(error)}. Let them"
    return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
