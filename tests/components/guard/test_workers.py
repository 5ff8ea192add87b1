"""A process that dies of a task costs that task, and no other."""

import os
import signal
import sys
import threading
import time

import pytest

from tfxray.components.guard.workers import Death, Workers, is_worker

MEMORY = 2**28


def do(task):
    """A task that a process may die of; from one process to another, it goes by its name."""
    kind, value = task
    if kind == "die":
        os.kill(os.getpid(), value)
    if kind == "exit":
        os._exit(value)
    if kind == "spin":
        while True:
            pass
    if kind == "fill":
        try:
            return len(bytearray(value))
        except MemoryError:
            return "no memory"
    if kind == "sleep":
        second = value.exists()
        with value.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0 if second else 60)
    return value if kind != "pid" else os.getpid()


@pytest.fixture
def workers():
    made = Workers(1, MEMORY, seconds=1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (("die", signal.SIGSEGV), Death("SIGSEGV", out_of_time=False)),
        (("die", signal.SIGABRT), Death("SIGABRT", out_of_time=False)),
        (("die", signal.SIGKILL), Death("SIGKILL", out_of_time=False)),
        (("exit", 3), Death("exit code 3", out_of_time=False)),
        (("spin", None), Death("SIGPROF", out_of_time=True)),
        (("fill", 2**30), "no memory"),
        (("fill", 2**20), 2**20),
    ],
    ids=["crash", "abort", "kill", "exit", "endless", "too much memory", "memory"],
)
def test_a_death_costs_its_own_task(workers, task, expected):
    assert workers.run(do, [("say", 1), task, ("say", 2)]) == [1, expected, 2]


def test_a_process_goes_on_and_a_new_one_takes_the_place_of_a_dead(workers):
    first, again = (workers.run(do, [("pid", None)]) for _ in range(2))
    assert first == again != [os.getpid()]
    workers.run(do, [("die", signal.SIGSEGV)])
    assert workers.run(do, [("pid", None)]) not in (first, [os.getpid()])


def test_a_task_is_done_again_if_its_process_was_killed_from_outside(workers, tmp_path):
    note = tmp_path / "pids"
    results = []
    thread = threading.Thread(target=lambda: results.extend(workers.run(do, [("sleep", note)])))
    thread.start()
    while not (note.exists() and note.read_text().endswith("\n")):
        time.sleep(0.05)
    os.kill(int(note.read_text()), signal.SIGKILL)
    thread.join()
    assert results == [note]
    assert len(note.read_text().splitlines()) == 2


def test_what_a_task_imports_does_not_count_as_its_memory(tmp_path):
    """On many cores, numerical libraries alone map more than a task may take."""
    (tmp_path / "large_module.py").write_text(
        "import mmap\n"
        f"MAPPED = mmap.mmap(-1, {2 * MEMORY})\n"
        "def do(size):\n"
        "    try:\n"
        "        return len(bytearray(size))\n"
        "    except MemoryError:\n"
        "        return 'no memory'\n"
    )
    sys.path.insert(0, str(tmp_path))
    workers = Workers(1, MEMORY, seconds=1)
    try:
        import large_module

        assert workers.run(large_module.do, [MEMORY // 2]) == [MEMORY // 2]
        assert workers.run(large_module.do, [MEMORY * 2]) == ["no memory"]
    finally:
        workers.close()
        sys.path.remove(str(tmp_path))


def test_this_process_is_none_of_them(workers):
    assert not is_worker()
    assert workers.run(is_worker_there, [None]) == [True]


def is_worker_there(_):
    return is_worker()


def test_a_process_that_cannot_start_is_an_error_of_ours(monkeypatch):
    monkeypatch.setattr(
        "multiprocessing.spawn.get_executable", lambda: os.fsencode(sys.executable + "-none")
    )
    with pytest.raises((RuntimeError, OSError)):
        Workers(1, MEMORY, seconds=1).run(do, [("say", 1)])
