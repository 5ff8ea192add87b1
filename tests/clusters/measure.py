"""What each Beam job on a cluster took: seconds, hosts, memory."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from subprocess import Popen

import psutil


@dataclass
class Memory:
    """Watches what processes and their children hold, in bytes.

    Attributes:
        seen: Second since 1970, and what each process held.
    """

    seen: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def peak(self, start: float, end: float) -> dict[str, int]:
        """The most that each held between two times."""
        most: dict[str, int] = {}
        for moment, held in self.seen:
            if start <= moment <= end:
                most |= {name: max(size, most.get(name, 0)) for name, size in held.items()}
        return most


@contextlib.contextmanager
def watch(processes: Callable[[], Mapping[str, Popen]], every: float = 1.0) -> Iterator[Memory]:
    """Watches processes from a thread, until the block ends.

    Args:
        processes: Tells them, by name.
        every: Seconds between two looks.
    """
    memory, ended = Memory(), threading.Event()

    def look() -> None:
        while not ended.wait(every):
            held = {name: _held(process.pid) for name, process in dict(processes()).items()}
            memory.seen.append((time.time(), held))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def _held(pid: int) -> int:
    """What a process and its children hold. What they share counts for each of them."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows as Markdown."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = [" | ".join(map(str.ljust, line, widths)) for line in lines]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (written[0], rule, *written[1:]))
