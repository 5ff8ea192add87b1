"""Loads image files, on all cores. Light to import: each process of its own does so anew."""

import errno
import functools
import itertools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from tfxray.components.common import filesystem, privacy
from tfxray.components.guard import file_kinds, rejects, workers
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits
from tfxray.components.pixels import image
from tfxray.components.pixels.look import Look, measure_look

_TASK = 8  # files handed to a process at a time
_AHEAD = 3  # tasks per process that may be under way: what bounds the memory
# Memory of a process that reads, beside the file itself: for each pixel of the largest image, and
# for the libraries.
_BYTES_PER_PIXEL, _SPARE_MEMORY = 16, 2**28

LoadedImage = tuple[image.XRay, dict[str, str] | None]  # an image; a DICOM file's tags


def read_file(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> LoadedImage:
    """Reads a file of any kind.

    Args:
        encoded: DICOM, or what `image.read_image` reads.
        limits: What the file may take.

    Returns:
        The image; and what a DICOM file's whitelisted tags say, None for other files.

    Raises:
        Rejected: See `dicom.read_dicom` and `image.read_image`.
    """
    return _apart(_read, encoded, limits)


def _read(encoded: bytes, limits: Limits) -> LoadedImage:
    if not privacy.is_dicom(encoded):
        return image.read_image(encoded, limits), None
    from tfxray.components.pixels import dicom  # half a second, in each process

    notes: list[str] = []
    pixels, tags = dicom.read_dicom(encoded, limits, notes)
    return image.measure_pixels(pixels, notes=tuple(notes)), tags


def decodable_file(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """A file of any kind as TensorFlow's decoder takes it; see `image.decodable`.

    Raises:
        Rejected: See `dicom.read_dicom` and `image.decodable`.
    """
    return _apart(_decodable, encoded, limits)


def _decodable(encoded: bytes, limits: Limits) -> bytes:
    if not privacy.is_dicom(encoded):
        return image.decodable(encoded, limits)
    from tfxray.components.pixels import dicom

    return image.encode_png(dicom.read_dicom(encoded, limits)[0], compress_level=1)


@dataclass(frozen=True)
class Measured:
    """A file as TensorFlow's decoder takes it, and what else it tells.

    Attributes:
        encoded: See `image.decodable`.
        look: None where Pillow cannot decode what TensorFlow is to decode.
        tags: Of a DICOM file, what its whitelisted tags say; else nothing.
    """

    encoded: bytes
    look: Look | None
    tags: dict[str, str]


def measure_file(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> Measured:
    """A file of any kind as `decodable_file` gives it, measured as ingest measures it.

    Raises:
        Rejected: See `decodable_file`.
    """
    return _apart(_measured, encoded, limits)


def _measured(encoded: bytes, limits: Limits) -> Measured:
    if privacy.is_dicom(encoded):
        from tfxray.components.pixels import dicom

        pixels, tags = dicom.read_dicom(encoded, limits)
        kept = image.encode_png(pixels, compress_level=1)
        return Measured(kept, measure_look(pixels), tags)
    kept = image.decodable(encoded, limits)
    try:
        look = measure_look(image.decode_grey(kept, limits)[1])
    except Exception:  # the model's own decoder decides whether the image is damaged
        look = None
    return Measured(kept, look, {})


Result = TypeVar("Result")


def _apart(read: Callable[[bytes, Limits], Result], encoded: bytes, limits: Limits) -> Result:
    """Reads a file in a process of its own, unless its cost is known before it is decoded."""
    if len(encoded) > limits.bytes:  # in a record
        raise rejects.Rejected("too_large", f"more than {limits.bytes} bytes")
    if workers.is_worker() or not encoded or image.is_simple(encoded):
        return read(encoded, limits)
    pool = workers.shared_workers(_memory(limits), limits.seconds)
    (result,) = pool.run(functools.partial(_read_or_reject, read, limits=limits), [encoded])
    if isinstance(result, workers.Death):
        result = _of_death(result, limits)
    if isinstance(result, rejects.Rejected):
        raise result
    return result


def _memory(limits: Limits) -> int:
    return limits.bytes + _BYTES_PER_PIXEL * limits.pixels + _SPARE_MEMORY


def _of_death(death: workers.Death, limits: Limits) -> rejects.Rejected:
    if death.out_of_time:
        return rejects.Rejected("too_slow", f"more than {limits.seconds} seconds")
    return rejects.Rejected("damaged", f"the process that read it died of it: {death.cause}")


def _read_or_reject(
    read: Callable[[bytes, Limits], Result], encoded: bytes, limits: Limits
) -> Result | rejects.Rejected:
    try:
        return read(encoded, limits)
    except Exception as error:
        return rejects.as_reject(error)


def read_bytes(path: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file that may be an image. Of another one, only the first are read.

    Args:
        path: On any of Beam's file systems.
        limits: What the file may take.

    Raises:
        OSError: It cannot be read.
        Rejected: Empty, too large, no image, or no file but a pipe or a device.
    """
    local = filesystem.is_local(path)
    with open(path, "rb", opener=_without_waiting) if local else filesystem.open_file(path) as file:
        most = limits.bytes
        if local:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise rejects.Rejected("unreadable", "no regular file")
            most = min(most, status.st_size)  # what is asked for takes memory at once
        return _read_most(file, most, limits)


def _read_most(file: BinaryIO, most: int, limits: Limits) -> bytes:
    head = file.read(file_kinds.HEAD)
    if not head:
        raise rejects.Rejected("empty")
    if not privacy.is_dicom(head) and not image.may_be_image(head):
        raise file_kinds.name_kind(head)
    file.seek(0)
    encoded = file.read(most + 1)
    if len(encoded) > limits.bytes:
        raise rejects.Rejected("too_large", f"more than {limits.bytes} bytes")
    return encoded


@dataclass(frozen=True)
class Folder:
    """A folder of image files.

    Attributes:
        path: The folder's.
        limits: What one file may take.
        follow_links: Whether a file may lie outside, behind a link.
    """

    path: str
    limits: Limits = DEFAULT_LIMITS
    follow_links: bool = False

    def load(self, name: str) -> LoadedImage | rejects.Rejected:
        """Reads one file. Any error of a library becomes a reject, and the other files go on.

        Args:
            name: Below the folder.

        Returns:
            The image and its DICOM tags, or why it cannot be used.
        """
        try:
            return read_file(self.content(name), self.limits)
        except Exception as error:
            if filesystem.is_store_failure(error):
                return rejects.Unreachable(str(getattr(error, "strerror", error)))
            return rejects.as_reject(error)

    def content(self, name: str) -> bytes:
        """The bytes of a file below the folder, and of no other.

        Raises:
            Rejected: It lies outside, or cannot be read.
            OSError: What holds them all does not answer.
        """
        try:
            return read_bytes(self._path(name), self.limits)
        except OSError as error:
            if filesystem.is_store_failure(error):
                # By the folder's name, since the file's may be a patient's.
                raise type(error)(error.errno, error.strerror, self.path) from None
            raise rejects.Rejected("unreadable", error.strerror or "") from None

    def _path(self, name: str) -> str:
        """Where a file lies. Only local files may be links."""
        full = os.path.join(self.path, name)
        if self.follow_links or not filesystem.is_local(self.path):
            if name.startswith("/") or ".." in name.split("/"):
                raise rejects.Rejected("outside")
            return full
        parent, base = os.path.split(full)
        full = os.path.join(_real_path(parent), base)
        if os.path.islink(full):
            full = os.path.realpath(full)
        root = _real_path(self.path)
        if os.path.commonpath([full, root]) != root:
            raise rejects.Rejected("outside")
        return full


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
        """Gets ready; the processes start when they are needed.

        Args:
            folder: Where the files are.
            processes: How many; with one, this one reads, all but the files that may cost it its
                life: see `read_file`.
        """
        self._folder = folder
        self._processes = processes
        self._threads = None
        if processes > 1:
            self._threads = ThreadPoolExecutor(processes)  # one waits for each process
            limits = folder.limits
            self._workers = workers.Workers(processes, _memory(limits), limits.seconds)

    def load(self, names: Sequence[str]) -> Iterator[LoadedImage | rejects.Rejected]:
        """Reads files, a few ahead of who takes them.

        Args:
            names: Below the folder.

        Returns:
            What each holds, in the order of the names.

        Raises:
            OSError: What holds them all does not answer.
        """
        for result in self._load(names):
            if isinstance(result, rejects.Unreachable):
                raise OSError(errno.EIO, result.detail, self._folder.path)
            yield result

    def _load(self, names: Sequence[str]) -> Iterator[LoadedImage | rejects.Rejected]:
        if self._threads is None:
            yield from map(self._folder.load, names)
            return
        tasks = iter([names[i : i + _TASK] for i in range(0, len(names), _TASK)])
        ahead: deque[Future[list[LoadedImage | rejects.Rejected]]] = deque()
        for task in itertools.chain(tasks, itertools.repeat(None)):
            if task is not None:
                ahead.append(self._threads.submit(self._run, task))
            if not ahead:
                return
            if task is None or len(ahead) > _AHEAD * self._processes:
                yield from ahead.popleft().result()

    def _run(self, names: Sequence[str]) -> list[LoadedImage | rejects.Rejected]:
        limits = self._folder.limits
        return [
            _of_death(result, limits) if isinstance(result, workers.Death) else result
            for result in self._workers.run(self._folder.load, names)
        ]

    def close(self) -> None:
        """Ends the processes."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._workers.close()
