"""What a person sees: progress and verdict on stderr, while libraries' output goes to a file."""

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tfxray.components.common import progress
from tfxray.components.common.errors import UserError
from tfxray.components.text import escape
from tfxray.pipeline.terminal.lines import LogFormatter, error_lines

# What lines of progress begin with.
PROGRESS_INDENT = "    "


class _Lossy(io.TextIOWrapper):
    """A text file whose reader may go: a closed terminal or pipe is no reason to end a run."""

    def write(self, text: str) -> int:
        """See `io.TextIOWrapper`."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """See `io.TextIOWrapper`."""
        with contextlib.suppress(OSError):
            super().flush()


class Screen:
    """Writes to the stderr that the process was started with, wherever file descriptor 2 leads."""

    def __init__(self) -> None:
        self._file = _Lossy(os.fdopen(os.dup(2), "wb"), encoding="utf-8", errors="replace")
        self._console = Console(file=self._file, highlight=False, soft_wrap=True)

    def say(self, text: str, style: str | None = None) -> None:
        """Prints a line, whatever names are in it; see `escape.for_screen`."""
        self._console.print(Text(escape.for_screen(text)), style=style)

    def say_error(self, error: UserError) -> None:
        """Prints what is wrong."""
        for line in error_lines(error):
            self.say(line)

    @contextlib.contextmanager
    def step(self, name: str) -> "Iterator[Step]":
        """Shows a step with a running clock, and one line with its time when it is done."""
        step = Step()
        start = time.monotonic()
        try:
            with self._console.status(Text(f"{escape.for_screen(name)} …"), spinner="dots"):
                yield step
        except BaseException:
            self.say(f"  {name:<22}{time.monotonic() - start:7.1f} s  stopped")
            raise
        step.seconds = time.monotonic() - start
        note = f"  {step.note}" if step.note else ""
        self.say(f"  {name:<22}{step.seconds:7.1f} s{note}")


class Step:
    """One line on the screen.

    Attributes:
        note: What stands behind the time.
        seconds: How long it took, known when it is done.
    """

    note: str = ""
    seconds: float = 0.0


class ProgressHandler(logging.Handler):
    """Puts what nodes tell of their progress on the screen, below the node that works."""

    def __init__(self, screen: "Screen", interval: float):
        """Attaches it.

        Args:
            screen: Where to.
            interval: Seconds between two lines; what comes sooner is left to the log.
        """
        super().__init__(logging.INFO)
        self._screen, self._interval, self._last = screen, interval, -interval

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._screen.say(f"{PROGRESS_INDENT}{record.getMessage()}")


@contextlib.contextmanager
def progress_on(screen: Screen, interval: float = 0.0) -> Iterator[None]:
    """Shows on the screen what nodes tell of their progress.

    Args:
        screen: Where to.
        interval: See `ProgressHandler`.
    """
    handler, logger = ProgressHandler(screen, interval), logging.getLogger(progress.LOGGER)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)  # without `output_to`, the root's own takes warnings alone
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextlib.contextmanager
def output_to(file: Path) -> Iterator[None]:
    """Sends everything that is written to stdout and stderr, by C++ libraries too, to a file.

    Args:
        file: What it holds stays.

    Raises:
        UserError: It cannot be written.
    """
    try:
        log = file.open("ab")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    copies = os.dup(1), os.dup(2)
    root = logging.getLogger()
    level = root.level
    with log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a disk that is full takes no log
                stream.flush()
        for number, copy in zip((1, 2), copies, strict=True):
            os.dup2(copy, number)
            os.close(copy)
