"""The inputs of a split on disk, a few windows of it at a time: neither memory nor disk holds all.

Transform writes a large split into buckets, by a hash of each example. Some buckets make a window.
A TFRecord is read from its beginning only, and in Beam's order, often by class; a shuffle buffer
would turn such a stream into long runs of one class. So a window is copied into a scratch file,
where any example can be read at once.
"""

import os
import re
import tempfile
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

import numpy as np
import tensorflow as tf

from tfxray.components.common import contract

WINDOW_BYTES = 2**29  # a window is closed by the bucket that fills it
# Windows on disk: one is read, one follows, and the last batches of one are still on their way.
_AT_HAND = 3
_BUCKETS_PER_HOST = 8  # at least: hosts that read parts of their own then have about as much to do
_BUCKET = re.compile(contract.BUCKET.replace("{:05d}", "([0-9]+)"))


def group_files(files: Iterable[str]) -> list[list[str]]:
    """The files of each bucket, in the order of the buckets; others are one bucket by themselves.

    Args:
        files: Paths of Transform's TFRecords.
    """
    buckets: defaultdict[int, list[str]] = defaultdict(list)
    for file in sorted(files):
        match = _BUCKET.search(os.path.basename(file))
        buckets[int(match[1]) if match else -1].append(file)
    return [buckets[number] for number in sorted(buckets)]


def may_be_shared(buckets: Sequence[Sequence[str]], hosts: int) -> bool:
    """Whether hosts read a part of a split each: it fills more than a window, and has the buckets.

    Args:
        buckets: The files of each.
        hosts: How many.
    """
    if hosts == 1 or len(buckets) < _BUCKETS_PER_HOST * hosts:
        return False
    sizes = (tf.io.gfile.stat(file).length for bucket in buckets for file in bucket)
    return sum(sizes) > WINDOW_BYTES


class Scratch:
    """Inputs in a file, to be read at any place, so that memory holds a batch and no more."""

    def __init__(self) -> None:
        # Gone with the process, however that ends.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._sizes: list[int] = []
        self._ends = np.zeros(1, np.int64)
        self.size = 0

    def add(self, content: bytes) -> None:
        """Appends an input."""
        self._file.write(content)
        self._sizes.append(len(content))
        self.size += len(content)

    def seal(self) -> None:
        """Flushes the file; call it before `read`."""
        self._file.flush()
        self._ends = np.r_[0, np.cumsum(self._sizes, dtype=np.int64)]
        self._sizes = []

    def read(self, rows: np.ndarray) -> list[bytes]:
        """The inputs of some rows."""
        starts, ends, number = self._ends[rows], self._ends[rows + 1], self._file.fileno()
        return [
            os.pread(number, end - start, start)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]


class Windows:
    """A split's windows. An example's place is its number among those of all windows."""

    def __init__(self, read_inputs: Callable[[Sequence[str]], Iterable[bytes]]):
        """Begins without any.

        Args:
            read_inputs: Reads the inputs of files, in their order.
        """
        self._read_inputs = read_inputs
        self._files: list[Sequence[str]] = []
        self._rows: list[np.ndarray] = []
        self._at_hand: OrderedDict[int, Future[Scratch]] = OrderedDict()
        self._lock = threading.Lock()
        self.starts = np.zeros(1, np.int64)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._files)

    def add(self, files: Sequence[str], rows: np.ndarray, scratch: Scratch) -> None:
        """Appends a window.

        Args:
            files: Its files.
            rows: Where in the files the example of each place is, [n].
            scratch: The inputs, as the files have them.
        """
        if len(self._at_hand) < _AT_HAND:
            scratch.seal()
            self._at_hand[len(self._files)] = future = Future[Scratch]()
            future.set_result(scratch)
        self._files.append(files)
        self._rows.append(rows.astype(np.int32))
        self.starts = np.append(self.starts, self.starts[-1] + len(rows))

    def read(self, places: np.ndarray, following: np.ndarray) -> np.ndarray:
        """The inputs at some places, as an array of bytes.

        Args:
            places: Any, [n].
            following: The window that is read next: it is fetched meanwhile. [n], the last counts.
        """
        if not len(places):
            return np.empty(0, object)
        numbers = np.searchsorted(self.starts, places, side="right") - 1
        contents = np.empty(len(places), object)
        for number in np.unique(numbers):
            inside = np.flatnonzero(numbers == number)
            rows = self._rows[number][places[inside] - self.starts[number]]
            contents[inside] = self._fetch(number).result().read(rows)
        self._fetch(int(following[-1]))
        return contents

    def _fetch(self, number: int) -> "Future[Scratch]":
        """A window on disk, or on its way there."""
        with self._lock:
            future = self._at_hand.get(number)
            if future is None:
                future = self._at_hand[number] = Future[Scratch]()
                # Not in the thread of TensorFlow that asks: it has few, and training needs them.
                arguments = (number, future)
                threading.Thread(target=self._copy, args=arguments, daemon=True).start()
            self._at_hand.move_to_end(number)
            while len(self._at_hand) > _AT_HAND:
                self._at_hand.popitem(last=False)
        return future

    def _copy(self, number: int, future: "Future[Scratch]") -> None:
        try:
            scratch = Scratch()
            for content in self._read_inputs(self._files[number]):
                scratch.add(content)
            scratch.seal()
            future.set_result(scratch)
        except BaseException as error:
            future.set_exception(error)
