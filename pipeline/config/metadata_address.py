"""Where runs are recorded: the address of a metadata store."""

from urllib.parse import urlsplit

PASSWORD = "TFXRAY_METADATA_PASSWORD"
ALLOWED = "mysql://USER@HOST[:PORT]/DATABASE[?ca=FILE] or sqlite:///PATH"


def check_address(address: str) -> str:
    """Checks a metadata store's address.

    Args:
        address: See `ALLOWED`.

    Returns:
        The same.

    Raises:
        ValueError: It is none, or holds a password.
    """
    parts = urlsplit(address)
    if parts.password is not None:
        raise ValueError(f"holds a password; it belongs in the environment variable {PASSWORD}")
    mysql = parts.scheme == "mysql" and parts.hostname and parts.username
    if not (mysql and len(parts.path) > 1) and not (
        parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1
    ):
        raise ValueError(f"is no metadata store; allowed: {ALLOWED}")
    return address
