"""Locks by the kernel: `flock(2)` ends with the process that holds it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from tfxray.components.disk import locks

HOLDER = """
import sys, time
from tfxray.components.disk import locks
with locks.hold(sys.argv[1], "tfxray run", print):
    print("mine", flush=True)
    time.sleep(600)
"""


def held_by_another(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"mine\n"
    return process


def test_who_waits_is_told_who_works_and_goes_on_when_that_one_is_killed(tmp_path):
    path = tmp_path / "lock"
    process = held_by_another(path)
    lines, told = [], threading.Event()

    def say(line):
        lines.append(line)
        told.set()

    threading.Thread(target=lambda: told.wait(20) and process.send_signal(signal.SIGKILL)).start()
    with locks.hold(path, "tfxray tune", say) as lock:
        assert lock.held
    process.wait()
    (line,) = lines
    assert f"tfxray run (process {process.pid} on {os.uname().nodename}, since 20" in line
    assert str(tmp_path) in line


def test_who_does_not_wait_is_told_who_works(tmp_path):
    process = held_by_another(tmp_path / "lock")
    try:
        who = rf"tfxray run \(process {process.pid} on"
        lock = locks.hold(tmp_path / "lock", "me", print, wait=False)
        with pytest.raises(locks.Busy, match=who), lock:
            pass
    finally:
        process.kill()
        process.wait()


def test_a_lock_whose_file_is_removed_keeps_all_but_one_out(tmp_path):
    """Who waited holds a file that is gone; the next one would make another, and hold that."""
    inside, most = [], []

    def work():
        for _ in range(20):
            with locks.hold(tmp_path / "lock", "me", lambda line: None, remove=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) == 160
    assert os.listdir(tmp_path) == []


def test_where_there_are_no_locks_a_line_says_so_and_work_goes_on(tmp_path, monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    lines = []
    with locks.hold(tmp_path / "lock", "me", lines.append) as lock:
        assert not lock.held
    (line,) = lines
    assert "knows no locks (No locks available)" in line
