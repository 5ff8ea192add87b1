"""What every process of ours begins with; to be imported before TensorFlow is."""

import contextlib
import errno
import gc
import os
import re
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Iterator

from tfxray.pipeline.terminal.lines import indent_lines

# TensorFlow's start-up notes are no news to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Libraries' notices of their own futures, likewise; for child processes too.
os.environ.setdefault("PYTHONWARNINGS", "ignore")
warnings.filterwarnings("ignore", category=FutureWarning)

# TFX's modules make a million objects that stay. At Python's own thresholds, a fifth of the seconds
# that importing them takes goes into looking through them for garbage, again and again.
gc.set_threshold(50_000, 20, 100)


def _show_failure(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
    """Python's own way to tell of an error, for terminals: the message may quote any name."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print(indent_lines(text), file=sys.stderr)


sys.excepthook = _show_failure


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Lets TensorFlow be imported as where Keras is not installed, which it allows for.

    Keras brings scikit-learn, pandas and IPython: two fifths of TensorFlow's start. It can be
    imported afterwards.
    """
    if "tensorflow" in sys.modules or "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["keras"]


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Drops what is written to stderr, by C++ libraries too, such as while they are imported.

    TensorFlow 2.21's start-up notes come before its own setting for them is heeded.
    """
    sys.stderr.flush()
    stderr_copy, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)


class Stopped(KeyboardInterrupt):
    """The process was asked to end.

    Not an Exception, which some library would take for a failure of what it does just then.

    Attributes:
        code: What the process exits with, as a shell's command that the signal ends.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


_AGAIN = 0.5  # seconds, after which a stop that went unheard is told again
_asked: list[int] = []  # the signal that asked this process to end


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Lets a signal end what is done within by `Stopped`. A second one does not disturb the end.

    A callback or a library's C code may drop an exception, or keep it. So the stop is raised again
    as long as nothing is ending because of it.
    """
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What is ignored stays so, as `nohup` has it.
    before = {n: signal.getsignal(n) for n in signals if signal.getsignal(n) is not signal.SIG_IGN}
    timer = signal.getsignal(signal.SIGALRM)

    def stop(number: int, frame: object) -> None:
        del frame
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        _asked.append(number)
        signal.signal(signal.SIGALRM, stop_again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise Stopped(number)

    def stop_again(number: int, frame: object) -> None:
        del number, frame
        if not _is_ending():
            raise Stopped(_asked[0])

    for number in before:
        signal.signal(number, stop)
    try:
        with told_as_stop():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, timer)
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def _is_ending() -> bool:
    """Whether an exception is being handled that is a `Stopped`, or came of one."""
    error = sys.exc_info()[1]
    while error and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


@contextlib.contextmanager
def told_as_stop() -> Iterator[None]:
    """Lets what fails because the process was asked to end be `Stopped`, as that is the reason.

    A library's C code makes another error of it, such as of a module that cannot be imported.
    """
    try:
        yield
    except Exception as error:
        if not _asked:
            raise
        raise Stopped(_asked[0]) from error


_LIMITS = {
    errno.ENOMEM: "memory (`ulimit -v`)",
    errno.EAGAIN: "processes or threads (`ulimit -u`)",
    errno.EMFILE: "open files (`ulimit -n`)",
    errno.ENFILE: "open files, of the whole machine",
    errno.EFBIG: "size of a file (`ulimit -f`)",
    errno.ENOSPC: "space on the disk",
    errno.EDQUOT: "space on the disk that this user may take",
}


def lacking(error: BaseException) -> str | None:
    """What the machine has too little of, if that is what an error tells; else None."""
    number = _lacking_number(error)
    if number is None and (cause := error.__cause__ or error.__context__):
        return lacking(cause)
    return f"too little of what the system allows: {_LIMITS[number]}" if number else None


def _lacking_number(error: BaseException) -> int | None:
    text = str(error)
    if isinstance(error, OSError) and error.errno in _LIMITS:
        return error.errno
    # Beam makes another error of it, with the same text.
    if (found := re.search(r"OSError: \[Errno (\d+)\]", text)) and int(found[1]) in _LIMITS:
        return int(found[1])
    # A library's code takes memory, too.
    mapping = isinstance(error, ImportError) and "failed to map segment" in text
    if isinstance(error, MemoryError) or mapping or text.startswith("MemoryError"):
        return errno.ENOMEM
    return errno.EAGAIN if "can't start new thread" in text else None
