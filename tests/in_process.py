"""Commands of tfxray in the process of the test: a new Python would import for seconds.

The command is the same, and so is what it says. What a process of its own is for, is tested where
one is started: `tests/faults`, `tests/test_package.py` and others.
"""

import contextlib
import functools
import io
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence

import pytest

from tfxray.components.common import isolation
from tfxray.pipeline import inputs


class Here:
    """What a run asks of the process of its ingest: the command runs when it is waited for."""

    def __init__(self, arguments: Sequence[str]):
        self._arguments = arguments

    @functools.cached_property
    def _done(self) -> tuple[int, str]:
        return call(self._arguments)

    @property
    def stderr(self) -> io.StringIO:
        return io.StringIO(self._done[1])

    def wait(self) -> int:
        return self._done[0]

    def terminate(self) -> None:
        """A run that ends before it waits leaves nothing of an ingest: there is none yet."""

    def communicate(self, timeout: float) -> None:
        """Waits for its end after `terminate`."""


def ingest_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has runs ingest in this process; all else that they start stays what it is."""
    start = isolation.start_python

    def start_or_call(code: str, arguments: list[str], *rest: object, **options: object) -> object:
        if code != inputs._COMMAND:
            return start(code, arguments, *rest, **options)
        return Here(arguments)

    monkeypatch.setattr(isolation, "start_python", start_or_call)


def call(arguments: Sequence[str]) -> tuple[int, str]:
    """Runs a command of tfxray's as a process would that nobody listens to but for stderr.

    Returns:
        Its exit code, and what it wrote there.
    """
    from tfxray.pipeline.cli.main import main

    with _heard() as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            main(list(arguments), prog_name="tfxray")
            code: object = 0
        except SystemExit as end:
            code = end.code
        except Exception:
            traceback.print_exc()
            code = 1
    return code if isinstance(code, int) else 0, said()


@contextlib.contextmanager
def _heard() -> Iterator[Callable[[], str]]:
    """Sends stderr to a file, also what goes by its number; gives what reads it afterwards."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        texts: list[str] = []
        try:
            with (
                open(os.dup(2), "w", errors="replace", buffering=1) as stderr,
                contextlib.redirect_stderr(stderr),
            ):
                yield lambda: texts[0]
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
