"""Tells where names of files must not be quoted: around DICOM, they often name a patient."""

import os
from collections.abc import Iterable, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.filesystem import StrPath

# A file that cannot be opened, or that lost its mark, is still known by these.
_EXTENSIONS = {".dcm", ".dicom", ".dic", ".ima"}
_SAMPLED = 1000


def is_dicom(encoded: bytes) -> bool:
    """Whether a file is DICOM, by the mark behind its preamble."""
    return encoded[128:132] == b"DICM"


def names_withheld(source: StrPath, paths: Sequence[str]) -> bool:
    """Whether a message must not quote names below a folder, since there is DICOM in it.

    Messages go to the screen, the log and `summary.json`.

    Args:
        source: The folder.
        paths: Files below it. The first ten are looked at, and some all over the rest.
    """
    spread = paths[10 :: len(paths) // _SAMPLED + 1]
    return holds_dicom(source, [*paths[:10], *spread])


def holds_dicom(source: StrPath, paths: Iterable[str]) -> bool:
    """Whether there is DICOM among files.

    Of each file a few bytes are read, and none after the first that is DICOM.

    Args:
        source: A folder.
        paths: Files below it; they need not exist.
    """
    return any(_is_dicom_file(os.path.join(source, path)) for path in paths)


def _is_dicom_file(path: str) -> bool:
    if os.path.splitext(path)[1].lower() in _EXTENSIONS:
        return True
    try:
        if not filesystem.is_file(path):  # a pipe would keep us waiting
            return False
        with filesystem.open_file(path) as file:
            return is_dicom(file.read(132))
    except (OSError, ValueError):
        return False
