"""What a signal does to a command, however the exception that it raises fares."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

import pytest

from tfxray.pipeline.terminal import process

errors: list[BaseException] = []


class Careless:
    """Gets the signal where Python drops what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


def dropped() -> None:
    item = Careless()
    del item
    time.sleep(20)


def swallowed() -> None:
    with contextlib.suppress(BaseException):
        stop()
    time.sleep(20)


def kept() -> None:
    try:
        stop()
    except BaseException as error:
        errors.append(error)
    time.sleep(20)


def renamed() -> None:
    try:
        stop()
    except BaseException:
        raise ImportError("no module") from None


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)


@pytest.mark.parametrize("work", [dropped, swallowed, kept, renamed, stop])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_stops_what_is_done(work: Callable[[], None]) -> None:
    with pytest.raises(process.Stopped, match="stopped by SIGTERM") as caught, process.stoppable():
        work()
    assert caught.value.code == 128 + signal.SIGTERM


def test_a_second_signal_does_not_disturb_the_end() -> None:
    done = []

    def work() -> None:
        try:
            stop()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2 * process._AGAIN)
            done.append("all of it")

    with pytest.raises(process.Stopped), process.stoppable():
        work()
    assert done


def test_errors_and_handlers_are_as_before_without_a_signal() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="mine"), process.stoppable():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGTERM) is handler
