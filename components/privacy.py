"""Tells where names of files must not be quoted: around DICOM, they often name a patient."""

from collections.abc import Iterable, Sequence
from pathlib import Path

# A file that cannot be opened, or that lost its mark, is still known by these.
_EXTENSIONS = {".dcm", ".dicom", ".dic", ".ima"}
_SAMPLED = 1000


def is_dicom(encoded: bytes) -> bool:
    """Whether a file is DICOM, by the mark behind its preamble."""
    return encoded[128:132] == b"DICM"


def names_withheld(source: Path, paths: Sequence[str]) -> bool:
    """Whether a message must not quote names below a folder, since there is DICOM in it.

    Messages go to the screen, the log and `summary.json`.

    Args:
        source: The folder.
        paths: Files below it. The first ten are looked at, and some all over the rest.
    """
    spread = paths[10 :: len(paths) // _SAMPLED + 1]
    return holds_dicom(source, [*paths[:10], *spread])


def holds_dicom(source: Path, paths: Iterable[str]) -> bool:
    """Whether there is DICOM among files.

    Of each file a few bytes are read, and none after the first that is DICOM.

    Args:
        source: A folder.
        paths: Files below it; they need not exist.
    """
    return any(_is_dicom_file(source / path) for path in paths)


def _is_dicom_file(path: Path) -> bool:
    if path.suffix.lower() in _EXTENSIONS:
        return True
    try:
        if not path.is_file():  # a pipe would keep us waiting
            return False
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except (OSError, ValueError):
        return False
