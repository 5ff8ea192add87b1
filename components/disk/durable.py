"""Files of this machine that appear whole or not at all, whatever ends the process meanwhile.

What is written to be found again is written under another name in the same folder, brought to the
disk, and renamed. A file that is there under its own name is therefore whole.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

# Some file systems have nothing to bring to the disk of a folder.
_NOTHING_TO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES)


@contextlib.contextmanager
def fresh_file(path: str | os.PathLike[str], mode: int = 0o666) -> Iterator[Path]:
    """A place for a file's content, which then takes the file's place; not if an error is raised.

    Args:
        path: The file. If it is a link, it stays one, and what it leads to is replaced.
        mode: Of the file, less the umask; it has no other at any moment.

    Yields:
        An empty file in the same folder, whose name ends like the file's.

    Raises:
        OSError: It cannot be written. What was there is there still.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():  # before anything is made that no rename could put in its place
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    fresh = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield fresh
        _sync(fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(target.parent)


def write_file(path: str | os.PathLike[str], content: bytes | str, mode: int = 0o666) -> None:
    """Writes a file, in the place of what is there.

    Args:
        path: The file; see `fresh_file`.
        content: Bytes, or a text, which becomes UTF-8.
        mode: See `fresh_file`.

    Raises:
        OSError: It cannot be written. What was there is there still.
    """
    with fresh_file(path, mode) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_tree(folder: str | os.PathLike[str]) -> None:
    """Brings a folder to the disk, with all that is in it.

    Raises:
        OSError: The disk does not take it.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                _sync(path)
        sync_folder(parent)


def move_folder(folder: str, target: str) -> None:
    """Puts a whole folder in another's place.

    Args:
        folder: Is gone afterwards.
        target: What it holds is lost, once the new one is there.

    Raises:
        OSError: The disk does not take it.
    """
    sync_tree(folder)
    before = former(target)
    shutil.rmtree(before, ignore_errors=True)
    if os.path.lexists(target):
        os.rename(target, before)
    os.rename(folder, target)
    sync_folder(os.path.dirname(target))
    shutil.rmtree(before, ignore_errors=True)


def former(target: str) -> str:
    """What a folder is called while another one takes its place."""
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}.former")


def _sync(path: str | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Brings the names in a folder to the disk, where the file system has them there.

    Raises:
        OSError: The disk does not take them.
    """
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _NOTHING_TO_SYNC:
            raise
