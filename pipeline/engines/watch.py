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

# The splits that a node reads; anything else that it reads is small.
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
    files_of_splits = {
        path: size for name in splits for path, size in sizes.get(f"Split-{name}", {}).items()
    }
    total = sum(sum(files.values()) for files in sizes.values())
    return files_of_splits, sum(files_of_splits.values()) / total if total else 0.0


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
    stop = threading.Event()

    def watch() -> None:
        counter, count_before = None, 0
        places: dict[str, int] = {}
        while not stop.wait(_EVERY):
            before = sum(places.values())
            # What was open and is no more was read to its end.
            places = {path: files[path] for path in places} | _places(files)
            if sum(places.values()) > before:
                # The clock starts when the first bytes are read. A node works on what it has read
                # before it reads on: the images before this look are done.
                counter = counter or progress.Count(images, about=True)
                images_done = round(images * before / total)
                counter.add(images_done - count_before)
                count_before = images_done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _places(files: Mapping[str, int]) -> dict[str, int]:
    """Of those that are open in this process, how far they are read."""
    places: dict[str, int] = {}
    for name in os.listdir(_OPEN):
        with contextlib.suppress(OSError):  # closed meanwhile
            path = os.readlink(_OPEN / name)
            if path in files:
                descriptor = (Path("/proc/self/fdinfo") / name).read_text()
                places[path] = max(places.get(path, 0), int(descriptor.split("pos:")[1].split()[0]))
    return places
