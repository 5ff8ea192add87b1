"""Tells where names of files must not be quoted: around DICOM, they often name a patient."""

import os
import re
from collections.abc import Iterable, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath

# A file that cannot be opened, or that is damaged in its first bytes, is still known by these.
_EXTENSIONS = {".dcm", ".dicom", ".dic", ".ima"}
_SAMPLED = 1000
# Without preamble and mark, a file begins with its first element, of group 2 or 8 (PS3.5 7.1): with
# the kind of its value, or, where that is implicit, with a length that such an element may have.
_FIRST_GROUP = (b"\x02\0", b"\x08\0", b"\0\x08")
_EXPLICIT = re.compile(rb"A[EST]|CS|D[AST]|F[DL]|IS|L[OT]|O[BW]|PN|S[HLQST]|TM|U[ILNS]")
_LONGEST_FIRST = 256
_MARK = b"DICM"


def is_dicom(encoded: bytes) -> bool:
    """Whether a file is DICOM, by its first bytes.

    Args:
        encoded: The first 132 bytes, or more.
    """
    return encoded[128:132] == _MARK or lacks_header(encoded)


def lacks_header(encoded: bytes) -> bool:
    """Whether a file is DICOM without a preamble and a mark, by its first bytes.

    Such files come from old archives, and from programs that cut a file's header off.
    """
    if encoded[128:132] == _MARK or not encoded.startswith(_FIRST_GROUP):
        return False
    if _EXPLICIT.fullmatch(encoded[4:6]):
        return True
    length = int.from_bytes(encoded[4:8], "little")
    return encoded[0:1] != b"\0" and 0 <= length <= _LONGEST_FIRST and len(encoded) > 8 + length


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

    Raises:
        UserError: What holds the folder does not answer.
    """
    try:
        return any(_is_dicom_file(os.path.join(source, path)) for path in paths)
    except OSError as error:  # told by the folder's name: the file's may be a patient's
        raise UserError(f"{os.fspath(source)}: {error.strerror}") from None


def _is_dicom_file(path: str) -> bool:
    if os.path.splitext(path)[1].lower() in _EXTENSIONS:
        return True
    try:
        if filesystem.is_local(path) and not os.path.isfile(path):  # a pipe would keep us waiting
            return False
        with filesystem.open_file(path) as file:
            return is_dicom(file.read(132))
    except (OSError, ValueError) as error:
        if filesystem.is_store_failure(error):
            raise
        return False
