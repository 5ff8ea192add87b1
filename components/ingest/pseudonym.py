"""Pseudonyms: a keyed hash, so that only who holds the key can tell whose it is."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tfxray.components.common import filesystem, progress
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import INGEST_REPORT
from tfxray.components.disk import durable, locks

VARIABLE = "TFXRAY_PSEUDONYM_KEY"
FILE = "pseudonym.key"
_LEAST = 16


def find_key(beside: str, file: str | None = None) -> bytes:
    """The key: from the file named, from the environment, or kept beside the output.

    Args:
        beside: The folder that holds the outputs; a fresh key is made there when none is given.
            Where that is no local folder, nothing keeps the key for its owner alone: it is used
            this once, and its pseudonyms are final.
        file: The config's `ingest.pseudonym_key`.

    Raises:
        UserError: The key cannot be read, or holds fewer than 16 bytes; of a key kept beside
            records: they may have been made with it when it was whole.
        OSError: A fresh key cannot be written.
    """
    if file:
        return _checked(_read(Path(file)), file)
    if VARIABLE in os.environ:
        return _checked(os.environ[VARIABLE].encode(), f"${VARIABLE}")
    if not filesystem.is_local(beside):
        return secrets.token_hex(32).encode()
    path = Path(beside) / FILE
    if not path.is_file() or not _is_key(_read(path)):
        lock = path.with_name(f".{FILE}.lock")
        with locks.hold(lock, "an ingest that makes a key", progress.log.info, remove=True):
            _make_key(path)
    return _checked(_read(path), str(path))


def _make_key(path: Path) -> None:
    """Makes the key, unless it is there; a damaged one anew only where nothing was made with it."""
    if os.path.lexists(path):
        if _is_key(_read(path)):
            return
        records = sorted(report.parent for report in path.parent.glob(f"*/{INGEST_REPORT}"))
        if records:
            raise UserError(
                f"{path}: is damaged: it holds fewer than {_LEAST} bytes. Records beside it may "
                f"have been made with it when it was whole, such as {records[0].name}. Put the key "
                "back from a copy. If there is none, remove the file: a new key is then made, by "
                "which the same patients get other pseudonyms"
            )
        progress.log.info("%s held no key, and no records were made with it: made anew", path)
    # Only the owner may read it, from its first moment on.
    durable.write_file(path, secrets.token_hex(32), 0o600)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"{path}: the pseudonym key cannot be read: {error.strerror}") from None


def _is_key(value: bytes) -> bool:
    # A crash may leave a file at its length, and zeros in it.
    return len(value.replace(b"\0", b"")) >= _LEAST


def _checked(value: bytes, where: str) -> bytes:
    if not _is_key(value):
        raise UserError(
            f"{where}: a pseudonym key needs at least {_LEAST} bytes besides spaces and zeros"
        )
    return value


def file_name(secret: bytes, path: str) -> str:
    """What a DICOM file is called in the records."""
    return pseudonym(secret, path) + ".dcm"


def pseudonym(secret: bytes, value: str) -> str:
    """HMAC-SHA256 of a value, 16 hexadecimal digits of it."""
    return hmac.new(secret, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :16
    ]
