"""Loads image files, on all cores. Light to import: each process of its own does so anew."""

import contextlib
import ctypes
import functools
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from tfxray.components.common import filesystem, isolation, privacy
from tfxray.components.ingest import image, rejects

_TASK = 8  # files handed to a process at a time
_AHEAD = 3  # tasks per process that may be under way: what bounds the memory
# Of glibc's mallopt, and what a process keeps: the highest size allowed, and a few images' worth.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_ALLOCATION, _KEPT_MEMORY = 2**25, 2**28

LoadedImage = tuple[image.XRay, dict[str, str] | None]  # an image; a DICOM file's tags


def read_file(encoded: bytes, max_pixels: int = image.MAX_PIXELS) -> LoadedImage:
    """Reads a file of any kind.

    Args:
        encoded: DICOM, or what `image.read_image` reads.
        max_pixels: Larger images are rejected undecoded.

    Returns:
        The image; and what a DICOM file's whitelisted tags say, None for other files.

    Raises:
        Rejected: See `dicom.read_dicom` and `image.read_image`.
    """
    if not privacy.is_dicom(encoded):
        return image.read_image(encoded, max_pixels), None
    from tfxray.components.ingest import dicom  # half a second, in each process

    pixels, tags = dicom.read_dicom(encoded, max_pixels)
    return image.measure_pixels(pixels), tags


def decodable_file(encoded: bytes, max_pixels: int = image.MAX_PIXELS) -> bytes:
    """A file of any kind as TensorFlow's decoder takes it; see `image.decodable`.

    Raises:
        Rejected: See `dicom.read_dicom` and `image.decodable`.
    """
    if not privacy.is_dicom(encoded):
        return image.decodable(encoded, max_pixels)
    from tfxray.components.ingest import dicom

    return image.encode_png(dicom.read_dicom(encoded, max_pixels)[0], compress_level=1)


@dataclass(frozen=True)
class Folder:
    """A folder of image files.

    Attributes:
        path: The folder's.
        max_pixels: Larger images are rejected undecoded.
    """

    path: str
    max_pixels: int = image.MAX_PIXELS

    def load(self, name: str) -> LoadedImage | rejects.Rejected:
        """Reads one file. Any error of a library becomes a reject, and the other files go on.

        Args:
            name: Below the folder.

        Returns:
            The image and its DICOM tags, or why it cannot be used.
        """
        try:
            return read_file(self.content(name), self.max_pixels)
        except Exception as error:
            return rejects.as_reject(error)

    def content(self, name: str) -> bytes:
        """The bytes of a file below the folder, and of no other.

        Raises:
            Rejected: It lies outside, or cannot be read.
        """
        if not filesystem.is_local(self.path):
            return self._elsewhere(name)
        parent, base = os.path.split(name)
        full = os.path.join(_real_path(os.path.join(self.path, parent)), base)
        if os.path.islink(full):
            full = os.path.realpath(full)
        root = _real_path(self.path)
        if os.path.commonpath([full, root]) != root:
            raise rejects.Rejected("outside")
        try:
            with open(full, "rb", opener=_without_waiting) as file:
                return file.read()
        except OSError as error:
            raise rejects.Rejected("unreadable", error.strerror or "") from None

    def _elsewhere(self, name: str) -> bytes:
        """As `content`, on another file system of Beam's. These have no links."""
        if name.startswith("/") or ".." in name.split("/"):
            raise rejects.Rejected("outside")
        try:
            with filesystem.open_file(os.path.join(self.path, name)) as file:
                return file.read()
        except OSError as error:
            raise rejects.Rejected("unreadable", error.strerror or "") from None

    def load_all(self, names: Sequence[str]) -> list[LoadedImage | rejects.Rejected]:
        """Reads several."""
        return [self.load(name) for name in names]


def _keep_memory() -> None:
    """Lets this process keep an image's memory for the next one.

    To hand megabytes back to the system and have them anew, zeroed, takes a third of decoding.
    Where the C library is not glibc, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _KEPT_ALLOCATION)
        mallopt(_TRIM_THRESHOLD, _KEPT_MEMORY)


def _begin() -> None:
    """What a process that loads files begins with."""
    isolation.end_with_pool()
    _keep_memory()


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file. A pipe without a writer then reads as empty."""
    return os.open(path, flags | os.O_NONBLOCK)


# Folders only: a set has few of them, and many files.
_real_path = functools.lru_cache(maxsize=1024)(os.path.realpath)


class Loader:
    """Reads a folder's files in processes of their own, in order.

    Processes, since half of the work on a small image is Python's, whose lock makes threads slower
    than one; of our own, since Beam's import TensorFlow first, which takes longer than to read
    5,000 images.
    """

    def __init__(self, folder: Folder, processes: int):
        """Starts the processes.

        Args:
            folder: Where the files are.
            processes: How many; with one, this one reads.
        """
        self._folder = folder
        self._processes = processes
        self._pool = None
        if processes > 1:
            # Spawned: a fork of a process that runs TensorFlow may hang.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, initializer=_begin)

    def load(self, names: Sequence[str]) -> Iterator[LoadedImage | rejects.Rejected]:
        """Reads files, a few ahead of who takes them.

        Args:
            names: Below the folder.

        Returns:
            What each holds, in the order of the names.
        """
        if self._pool is None:
            yield from map(self._folder.load, names)
            return
        tasks = iter([names[i : i + _TASK] for i in range(0, len(names), _TASK)])
        ahead: deque[Future[list[LoadedImage | rejects.Rejected]]] = deque()
        for task in itertools.chain(tasks, itertools.repeat(None)):
            if task is not None:
                ahead.append(self._pool.submit(self._folder.load_all, task))
            if not ahead:
                return
            if task is None or len(ahead) > _AHEAD * self._processes:
                yield from ahead.popleft().result()

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown()
