"""Processes that do tasks and may die of them: each such death costs one task.

A decoder of hostile bytes may run for hours, take all memory, or crash. Python can end none of that
within its own process.
"""

import contextlib
import ctypes
import dataclasses
import functools
import itertools
import multiprocessing
import os
import queue
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

from tfxray.components.common import isolation

# Of glibc's mallopt, and what a process keeps: the highest size allowed, and a few images' worth.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_ALLOCATION, _KEPT_MEMORY = 2**25, 2**27
_PATIENCE = 5  # seconds for a process to end by itself

Task = TypeVar("Task")
Result = TypeVar("Result")

_within_worker = False
_starting = threading.Lock()  # threads share one working folder


@dataclasses.dataclass(frozen=True)
class Death:
    """What stands in the place of a task's result: the process died of it.

    Attributes:
        cause: The signal's name, or the exit code.
        out_of_time: Whether the task took all seconds that it had.
    """

    cause: str
    out_of_time: bool


def is_worker() -> bool:
    """Whether this process is one of them."""
    return _within_worker


class Workers:
    """Some processes of this kind. Threads may share them."""

    def __init__(self, most: int, memory: int, seconds: int):
        """Gets ready; a process starts when it is needed.

        Args:
            most: How many processes; a further thread waits.
            memory: Bytes that each may take beyond those of its start, with what its first tasks
                import. An allocation that would pass them raises MemoryError, or fails as its
                library has it fail.
            seconds: Of processor time, for one task.
        """
        self._limits = (memory, seconds)
        self._free = threading.Semaphore(most)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def run(self, do: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result | Death]:
        """Has one process do some tasks.

        Args:
            do: Importable, as are its arguments; it raises nothing.
            tasks: For `do`, one after the other.

        Returns:
            What it gave for each; or the death that the process died of it.

        Raises:
            RuntimeError: A process cannot start.
        """
        results: list[Result | Death] = []
        step, tried = len(tasks), -1
        with self._free:
            while len(results) < len(tasks):
                worker = self._take()
                done = worker.run(do, tasks[len(results) : len(results) + step])
                if done is not None:
                    results += done
                    self._idle.put(worker)
                elif step > 1:
                    step = 1  # one by one, to see which of them it was
                elif worker.was_killed() and tried < len(results):
                    tried = len(results)  # killed by whoever it was, perhaps not for this: again
                else:
                    results.append(worker.death())
        return results

    def _take(self) -> "_Worker":
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                return _Worker(*self._limits)
            if worker.is_alive():
                return worker

    def close(self) -> None:
        """Ends the processes."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


@functools.lru_cache(maxsize=1)
def shared_workers(memory: int, seconds: int) -> Workers:
    """Workers for all threads of this process, as many as there are cores; see `Workers`."""
    return Workers(os.cpu_count() or 1, memory, seconds)


class _Worker:
    """One process, and this end of the pipe to it."""

    def __init__(self, memory: int, seconds: int):
        # Spawned: a fork of a process that runs TensorFlow may hang.
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        arguments = (far_end, memory, seconds)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        # A process begins in its parent's folder, which may hold modules of a stranger's.
        with _starting, isolation.apart():
            self._process.start()
        far_end.close()
        try:
            self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(
                f"a process of its own could not start: exit code {self._process.exitcode}"
            ) from None

    def run(self, do: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result] | None:
        """The results of the tasks; None where the process died."""
        # In the midst of a message, the end of a pipe is an OSError.
        with contextlib.suppress(EOFError, OSError):
            self._pipe.send((do, tasks))
            results: list[Result] | str = self._pipe.recv()
            if isinstance(results, str):
                raise RuntimeError(f"a process of its own does not know its task: {results}")
            return results
        self._process.join()
        self._pipe.close()
        return None

    def is_alive(self) -> bool:
        """Whether it can go on."""
        return self._process.is_alive()

    def was_killed(self) -> bool:
        """Whether it ended by a signal that comes from outside."""
        return self._process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)

    def death(self) -> Death:
        """How it ended."""
        code = self._process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Death(cause, -code == signal.SIGPROF)

    def close(self) -> None:
        """Ends it."""
        self._pipe.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(pipe: Connection, memory: int, seconds: int) -> None:
    """What the process does, until the other end of the pipe is closed."""
    global _within_worker
    _within_worker = True
    isolation.end_with_pool()
    _silence_codecs()
    _keep_memory()
    with contextlib.suppress(EOFError, OSError):
        pipe.send(None)
        for count in itertools.count():
            try:
                do, tasks = pipe.recv()
            except (ImportError, AttributeError) as error:  # of no file's fault
                pipe.send(str(error))
                return
            # By now all is imported: OpenBLAS alone maps tens of megabytes for each core.
            if count == 0:
                _limit_memory(memory)
            results = []
            for task in tasks:
                # At its end, the system ends the process, in the midst of a decoder, too.
                signal.setitimer(signal.ITIMER_PROF, seconds)
                results.append(do(task))
                signal.setitimer(signal.ITIMER_PROF, 0)
            # At once: each message costs as much as a tenth of a small image.
            pipe.send(results)


def _silence_codecs() -> None:
    """Sends what is written to stderr nowhere: codecs in C write there of what they read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _keep_memory() -> None:
    """Lets this process keep an image's memory for the next one.

    To hand megabytes back to the system and have them anew, zeroed, takes a third of decoding.
    Where the C library is not glibc, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _KEPT_ALLOCATION)
        mallopt(_TRIM_THRESHOLD, _KEPT_MEMORY)


def _limit_memory(memory: int) -> None:
    """Has allocations fail beyond so many bytes: a net for what nobody foresaw.

    Where the system does not tell how much is in use, nothing happens.
    """
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        most = used + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
