"""How far a node is in reading its examples, as the operating system sees it.

Beam's counters are told when a job of DirectRunner has ended, not before, and the stages in which
TFX's nodes read are TFX's. But they read in this process, from files: Linux tells how far. Where it
does not, or where other processes read, nothing is told.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tfxray.components.common import progress

# The splits that a node reads; what it reads else is not to speak of.
SPLITS = {
    "StatisticsGen": ("train", "eval", "test"),
    "Transform": ("train", "eval"),
    "Evaluator": ("test",),
}
_OPEN = Path("/proc/self/fd")
_EVERY = 1.0  # seconds


def split_share(examples: str, splits: tuple[str, ...]) -> tuple[dict[str, int], float]:
    """The files of some splits of an Examples artifact.

    Args:
        examples: Its folder.
        splits: Their names.

    Returns:
        Sizes by path, and the splits' share in all bytes.
    """
    sizes = {
        split.name: {str(path.resolve()): path.stat().st_size for path in split.glob("*")}
        for split in Path(examples).glob("Split-*")
    }
    wanted = {
        path: size for name in splits for path, size in sizes.get(f"Split-{name}", {}).items()
    }
    every = sum(sum(files.values()) for files in sizes.values())
    return wanted, sum(wanted.values()) / every if every else 0.0


@contextlib.contextmanager
def watch_reading(files: Mapping[str, int], images: int) -> Iterator[None]:
    """Tells of the images as their files are read, as often as `progress.Count` does.

    Args:
        files: Sizes by path.
        images: In all of them; each is taken to have the same size.
    """
    total = sum(files.values())
    if not total or not images or not _OPEN.is_dir():
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        count, told = None, 0
        read: dict[str, int] = {}
        while not ended.wait(_EVERY):
            before = sum(read.values())
            # What was open and is no more was read to its end.
            read = {path: files[path] for path in read} | _places(files)
            if sum(read.values()) > before:
                # The clock starts when the first is read. What is read goes on to be worked on:
                # when reading goes on, that is done.
                count = count or progress.Count(images, about=True)
                done = round(images * before / total)
                count.add(done - told)
                told = done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _places(files: Mapping[str, int]) -> dict[str, int]:
    """Of those that are open in this process, how far they are read."""
    found: dict[str, int] = {}
    for name in os.listdir(_OPEN):
        with contextlib.suppress(OSError):  # closed meanwhile
            path = os.readlink(_OPEN / name)
            if path in files:
                told = (Path("/proc/self/fdinfo") / name).read_text()
                found[path] = max(found.get(path, 0), int(told.split("pos:")[1].split()[0]))
    return found
