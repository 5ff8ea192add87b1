"""Locks of this machine that end with the process that holds them, and that tell who that is."""

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import IO


class Busy(Exception):
    """Somebody else holds the lock; the message says who."""


class Lock:
    """A lock.

    Attributes:
        held: False where the file system knows no locks: then nobody is kept out.
    """

    def __init__(self, file: IO[bytes], held: bool):
        self._file, self.held = file, held

    def tell(self, work: str) -> None:
        """Writes into the lock's file who holds it, for those who wait.

        Args:
            work: What is done, such as `run 20260101-000000-000`.
        """
        since = datetime.datetime.now().isoformat(" ", "seconds")
        who = f"{work} (process {os.getpid()} on {socket.gethostname()}, since {since})"
        with contextlib.suppress(OSError):  # a full disk: the lock holds without it
            self._file.truncate(0)
            self._file.write(json.dumps(who).encode())
            self._file.flush()


@contextlib.contextmanager
def hold(
    path: str | os.PathLike[str],
    work: str,
    say: Callable[[str], None],
    wait: bool = True,
    remove: bool = False,
) -> Iterator[Lock]:
    """Holds a lock.

    Args:
        path: The lock's file, which is made if it is not there.
        work: See `Lock.tell`.
        say: Told who is waited for, and where there are no locks.
        wait: For whoever holds it.
        remove: Remove the file afterwards.

    Raises:
        Busy: Somebody holds it, and `wait` is False.
        OSError: The file cannot be written.
    """
    file, held = _take(os.fspath(path), say, wait)
    with file:
        lock = Lock(file, held)
        lock.tell(work)
        try:
            yield lock
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path) if remove else file.truncate(0)


def _take(path: str, say: Callable[[str], None], wait: bool) -> tuple[IO[bytes], bool]:
    told = False
    while True:
        file = open(path, "a+b", buffering=0)  # noqa: SIM115  the lock is the open file
        try:
            if not _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                who = _read_holder(file)
                if not wait:
                    raise Busy(who)
                if not told:
                    say(f"{os.path.dirname(path)}: {who} is at work; waiting for its end")
                    told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                return file, True
        except Busy:
            file.close()
            raise
        except OSError as error:
            say(
                f"{os.path.dirname(path)}: its file system knows no locks ({error.strerror}): let "
                "no second command write there"
            )
            return file, False
        except BaseException:
            file.close()
            raise
        file.close()  # it was removed while we waited


def is_held(path: str | os.PathLike[str]) -> bool:
    """Whether somebody holds a lock.

    Args:
        path: The lock's file.
    """
    try:
        with open(path, "rb") as file:
            return not _flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False


def _flock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(file: IO[bytes]) -> str:
    try:
        file.seek(0)
        return str(json.loads(file.read()))
    except (OSError, ValueError):
        return "another tfxray"
