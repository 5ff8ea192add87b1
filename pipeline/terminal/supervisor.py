"""Tells why a command ended that could not tell it itself.

A C++ library that gets no memory ends its process by a signal; so does the system, to get memory
back. No line of Python runs any more. So a command works in a child of a small process, which forks
before anything large is loaded, hands on signals, and waits.
"""

import os
import signal
import sys

from tfxray.components.common import isolation

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REASONS: dict[int, str] = {
    signal.SIGKILL: "most likely memory ran out: of the machine, of the container, or a limit's",
    signal.SIGABRT: "most likely memory ran out, or a limit (`ulimit -a`) leaves too little",
    signal.SIGXFSZ: "a file would have become larger than `ulimit -f` allows",
    signal.SIGXCPU: "it took longer than `ulimit -t` allows",
    signal.SIGILL: "this processor lacks instructions that TensorFlow needs, such as AVX",
}
_CRASH = "a library crashed; where memory or threads are limited (`ulimit -a`), that may be why"


def open_streams() -> None:
    """Opens stdin, stdout and stderr on nothing where they are closed.

    The next file that is opened would else take the number of a closed one, and get its text.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, open(number, "r+" if number else "r", closefd=False))  # noqa: SIM115


def supervise() -> None:
    """Forks. Returns in the child, which is to work; the parent ends as the child does.

    If a signal ends the child, the parent prints one line and exits with 1. SIGINT, SIGTERM and
    SIGHUP go to the child, which ends by itself (`process.stoppable`). At the second one, it is
    killed.
    """
    parent = os.getpid()
    child = os.fork()
    if not child:
        isolation.end_with(parent)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            # Until `process.stoppable`, without a traceback.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    asked: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        del frame
        os.kill(child, signal.SIGKILL if asked else number)
        asked.append(number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, hand_on)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0 and -code in asked[:1]:  # before it could end by itself
        print(f"stopped by {signal.Signals(-code).name}", file=sys.stderr)
        code = 128 - code
    elif code < 0:
        ended = f"tfxray was ended by the system: {describe_death(-code)}"
        print("stopped: killed at the second signal" if asked else ended, file=sys.stderr)
        code = 1
    sys.stderr.flush()
    os._exit(code)


def describe_death(number: int) -> str:
    """A signal by its name, and what it most likely means."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, {_REASONS.get(number, _CRASH)}"
