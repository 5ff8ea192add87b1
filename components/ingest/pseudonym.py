"""Pseudonyms: a keyed hash, so that only who holds the key can tell whose it is."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError

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
        UserError: The key cannot be read, or is shorter than 16 bytes.
    """
    if file:
        return _checked(_read(Path(file)), file)
    if VARIABLE in os.environ:
        return _checked(os.environ[VARIABLE].encode(), f"${VARIABLE}")
    if not filesystem.is_local(beside):
        return secrets.token_hex(32).encode()
    path = Path(beside) / FILE
    try:
        # Only the owner may read it, from its first moment on.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _checked(_read(path), str(path))
    with os.fdopen(descriptor, "w") as key_file:
        key_file.write(secrets.token_hex(32))
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"{path}: the pseudonym key cannot be read: {error.strerror}") from None


def _checked(value: bytes, where: str) -> bytes:
    if len(value) < _LEAST:
        raise UserError(f"{where}: a pseudonym key needs at least {_LEAST} bytes")
    return value


def file_name(secret: bytes, path: str) -> str:
    """What a DICOM file is called in the records."""
    return pseudonym(secret, path) + ".dcm"


def pseudonym(secret: bytes, value: str) -> str:
    """HMAC-SHA256 of a value, 16 hexadecimal digits of it."""
    return hmac.new(secret, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :16
    ]
