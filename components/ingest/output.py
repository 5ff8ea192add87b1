"""An ingest's output: made by one ingest at a time, complete or not there, checked when found."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from tfxray.components.common import filenames, filesystem, progress
from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable, locks
from tfxray.components.source import tfrecords


@contextlib.contextmanager
def hold_partial(out: str) -> Iterator[str]:
    """A new folder beside an output, to be filled and moved to its place; gone afterwards.

    An ingest that makes the same output is waited for. Where there are no locks, the folder has a
    name of its own, so that two ingests do not mix their files.

    Args:
        out: The output's folder, on any of Beam's file systems.

    Raises:
        UserError: It cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = filesystem.is_local(out) and stack.enter_context(_lock(out)).held
            if held:
                _remove_remains(out)
            partial = _partial(out if held else f"{out}.{secrets.token_hex(4)}")
            if filesystem.is_local(partial):
                os.makedirs(partial)
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
        stack.callback(filesystem.remove_folder, partial)
        yield partial


def clear(out: str) -> None:
    """Removes what an ingest that was killed left beside a local output: lists of names, too.

    Args:
        out: The output's folder.
    """
    # Whoever is at work there clears up behind itself.
    with contextlib.suppress(locks.Busy, OSError):
        if filesystem.is_local(out):
            with _lock(out, wait=False) as lock:
                if lock.held:
                    _remove_remains(out)


def measure_records(folder: str) -> dict[str, int]:
    """The size of each file of records in a folder, in bytes, by its name."""
    sizes = filesystem.measure_files(folder)
    return {name: n for name, n in sizes.items() if tfrecords.is_record(os.path.basename(name))}


def read_report(folder: str) -> dict[str, Any] | None:
    """The content of an ingest's report, if its records are there as it says; else None.

    Args:
        folder: The output's.
    """
    path = os.path.join(folder, filenames.INGEST_REPORT)
    try:
        if not filesystem.is_file(path):
            return None
        with filesystem.open_file(path) as file:
            report: dict[str, Any] = json.loads(file.read())
        return report if report["files"] == measure_records(folder) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def describe_image_notes(notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each note of images that are odd, and were read all the same.

    Args:
        notes: The report's `image_notes`.
    """
    return [
        f"{entry['count']} odd images, used all the same: {note} ({filenames.INGEST_REPORT} names "
        f"{'them' if entry['count'] == len(entry['names']) else 'the first of them'})"
        for note, entry in notes.items()
    ]


def _lock(out: str, wait: bool = True) -> contextlib.AbstractContextManager[locks.Lock]:
    parent, name = os.path.split(out)
    os.makedirs(parent, exist_ok=True)
    path = os.path.join(parent, f".{name}.lock")
    return locks.hold(path, f"the ingest of {name}", progress.log.info, wait, remove=True)


def _remove_remains(out: str) -> None:
    for folder in (_partial(out), durable.former(out)):
        filesystem.remove_folder(folder)


def _partial(out: str) -> str:
    parent, name = os.path.split(out)
    return os.path.join(parent, filenames.PARTIAL.format(name))
