"""Who is at work in a run's `--out`: one run, search or clean at a time."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.disk import locks
from tfxray.pipeline.runs.run_summary import RESOLVED

_LOCK = ".lock"


@contextlib.contextmanager
def take_turn(
    out: Path, work: str, say: Callable[[str], None], wait: bool = True
) -> Iterator[locks.Lock]:
    """Keeps others out of a folder of runs: what one does is then in the cache of the next.

    Args:
        out: The folder; made if it is not there.
        work: What is done, for those who wait: `tfxray run`.
        say: Told who is waited for.
        wait: Whether to wait.

    Raises:
        UserError: The folder cannot be written; or somebody is at work, and `wait` is False.
    """
    filesystem.require_literal(out.resolve(), "--out")
    with contextlib.ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(locks.hold(out / _LOCK, work, say, wait))
        except locks.Busy as who:
            raise UserError(f"{out}: {who} is at work there; wait for its end (--out)") from None
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
        yield lock


@contextlib.contextmanager
def mark_running(folder: Path) -> Iterator[None]:
    """Marks one run as going on.

    Args:
        folder: The run's, with its config.
    """
    with (folder / RESOLVED).open("rb") as file:
        with contextlib.suppress(OSError):  # no locks there: the run is listed as interrupted
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_running(folder: Path) -> bool:
    """Whether a run is going on.

    Args:
        folder: The run's.
    """
    return locks.is_held(folder / RESOLVED)
