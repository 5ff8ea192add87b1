"""What a signal does to a command, however the exception that it raises fares."""

import contextlib
import os
import signal
import sys
import time

import pytest

from tfxray.pipeline.terminal import process


class Careless:
    """Gets the signal where Python drops what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


def test_a_stop_that_is_dropped_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)  # pytest's keeps the exception
    with pytest.raises(process.Stopped, match="stopped by SIGTERM"), process.stoppable():
        item = Careless()
        del item
        time.sleep(20)


def test_a_stop_that_is_swallowed_comes_again() -> None:
    with pytest.raises(process.Stopped, match="stopped by SIGINT"), process.stoppable():
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        time.sleep(20)


def test_a_stop_that_became_another_error_is_told_as_one() -> None:
    with pytest.raises(process.Stopped) as caught, process.stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
        except BaseException:
            raise ImportError("no module") from None
    assert caught.value.code == 128 + signal.SIGTERM


def test_a_second_signal_does_not_disturb_the_end() -> None:
    ended = False
    with pytest.raises(process.Stopped), process.stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2 * process._AGAIN)
            ended = True
    assert ended


def test_errors_and_handlers_are_as_before_without_a_signal() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="mine"), process.stoppable():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGTERM) is handler
