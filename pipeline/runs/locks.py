"""Who is at work in a run's `--out`: locks that end with the process that holds them."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.pipeline.runs.run_summary import RESOLVED

_LOCK = ".lock"


@contextlib.contextmanager
def share_out(out: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keeps `tfxray clean` out. Several runs may share the folder.

    Args:
        out: The folder of all runs; made if it is not there.
        say: Told when there is somebody to wait for.

    Raises:
        UserError: The folder cannot be written.
    """
    filesystem.require_literal(out.resolve(), "--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / _LOCK).open("a+b")
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
    with file:
        if not _locked(file, fcntl.LOCK_SH):
            say(f"{out}: tfxray clean is at work; waiting for its end")
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def hold_out(out: Path) -> Iterator[None]:
    """Keeps runs from starting.

    Args:
        out: The folder of all runs.

    Raises:
        UserError: A run is going on, or the folder cannot be written.
    """
    try:
        file = (out / _LOCK).open("a+b")
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
    with file:
        if not _locked(file, fcntl.LOCK_EX):
            raise UserError(
                f"{out}: a run, a search or a clean is going on there; wait for its end (--out)"
            )
        yield


@contextlib.contextmanager
def mark_running(folder: Path) -> Iterator[None]:
    """Marks one run as going on.

    Args:
        folder: The run's, with its config.
    """
    with (folder / RESOLVED).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_running(folder: Path) -> bool:
    """Whether a run is going on.

    Args:
        folder: The run's.
    """
    try:
        with (folder / RESOLVED).open("rb+") as file:
            return not _locked(file, fcntl.LOCK_EX)
    except OSError:
        return False


def _locked(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
