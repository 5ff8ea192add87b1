"""Elements that must meet, some thousands packed as one: for jobs that look at every image.

An element that is grouped by itself costs Beam's in-memory runner a kilobyte, and any runner some
bytes of its own. So elements go to buckets by their keys, and a worker packs what it has for each.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms import window
from apache_beam.utils.windowed_value import WindowedValue

BUCKETS = 256  # of a job that does not know how many elements there will be
_HELD = 10_000  # elements, until a worker packs them

Keyed = tuple[int, str]  # what decides the bucket, and what is kept


def keyed(key: str, *content: object) -> Keyed:
    """An element for `ByBucket`.

    Args:
        key: What has the same key meets in one bucket.
        content: What is kept: lists, texts and numbers.
    """
    # As JSON, which is ASCII: Beam takes no name that is not UTF-8.
    return _hash(key), json.dumps(content)


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of a key: the same on each machine."""
    return _hash(key) % buckets


def _hash(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "surrogateescape"))


class ByBucket(beam.PTransform):
    """Brings together what has the same key; takes what `keyed` makes.

    Gives each bucket's number, and its elements packed, of which `unpack` tells the contents.
    """

    def __init__(self, buckets: int = BUCKETS):
        """Takes a number.

        Args:
            buckets: So many. What a bucket holds is in one place at once.
        """
        super().__init__()
        self._buckets = buckets

    def expand(self, elements: beam.PCollection[Keyed]) -> beam.PCollection:
        """See `beam.PTransform`."""
        pack = beam.ParDo(_Pack(self._buckets)).with_output_types(tuple[int, bytes])
        return elements | "Pack" >> pack | beam.GroupByKey()


def unpack(packed: Iterable[bytes]) -> Iterator[list[Any]]:
    """The contents that a bucket holds, in no order."""
    for chunk in packed:
        yield from map(json.loads, zlib.decompress(chunk).split(b"\n"))


class _Pack(beam.DoFn):
    """Elements, some thousands at a time, to a packed element for each bucket."""

    def __init__(self, buckets: int):
        self._buckets = buckets

    def start_bundle(self) -> None:
        self._held: defaultdict[int, list[str]] = defaultdict(list)
        self._count = 0

    def process(self, element: Keyed) -> Iterator[tuple[int, bytes]]:
        number, line = element
        self._held[number % self._buckets].append(line)
        self._count += 1
        if self._count >= _HELD:
            yield from self._packed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for element in self._packed():
            yield WindowedValue(element, window.MIN_TIMESTAMP, [window.GlobalWindow()])

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        for bucket, lines in sorted(self._held.items()):
            yield bucket, zlib.compress("\n".join(lines).encode(), 1)
        self._held.clear()
        self._count = 0
