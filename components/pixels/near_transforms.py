"""The same as `near`, in Beam: pairs of hashes that are nearly the same, and groups of patients.

Nothing here is kept whole in one place but what was found: the pairs that link patients.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from tfxray.components.jobs import chunks, packing
from tfxray.components.pixels import near
from tfxray.components.pixels.near import Fingerprint, Groups, Links

# Up to so many hashes go to one place each time, where some parts of them are compared. Of more,
# those that may agree on a part go to one, about so many; each hash as often as there are parts.
_WHOLE, _PARTS_AT_ONCE, _SHARD = 2**20, 5, 2**15
_ANY_SPLIT = 0b11  # in two splits, so that each pair counts

HashPair = tuple[bytes, bytes]
# Some hashes, one behind the other; and for each a byte, with a bit for each split that holds it.
Batch = tuple[bytes, bytes]


class FindPairs(beam.PTransform):  # type: ignore[misc]
    """Finds pairs of hashes that differ in a few bits; see `near.compare`.

    Takes batches, in which each hash comes once. Gives each pair once.
    """

    def __init__(self, distance: int, spanning: bool = False):
        """Takes what is near.

        Args:
            distance: At most so many differing bits.
            spanning: Of hashes that hang together by pairs, only so many pairs are wanted that they
                still do. Where thousands are near to each other, their pairs are millions.
        """
        super().__init__()
        self._distance, self._spanning = distance, spanning

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        count = batches | "Size" >> beam.Map(_size) | "Count" >> beam.CombineGlobally(sum)
        return (
            batches
            | "Shard" >> beam.FlatMap(_shard, self._distance, beam.pvalue.AsSingleton(count))
            | beam.GroupByKey()
            | "Compare" >> beam.FlatMap(_compare, self._distance, self._spanning)
        )


def make_batch(splits: Mapping[str, int]) -> Batch:
    """Some hashes for `FindPairs`.

    Args:
        splits: Of each hash, hexadecimal: a bit for each split that holds it.
    """
    return bytes.fromhex("".join(splits)), bytes(splits.values())


def _size(batch: Batch) -> int:
    return len(batch[1])


def _shard(batch: Batch, distance: int, count: int) -> Iterator[tuple[tuple[int, int, int], Batch]]:
    """Hashes and their splits, by the parts to compare, and by what a part holds."""
    if count <= _WHOLE:
        for start in range(0, distance + 1, _PARTS_AT_ONCE):
            yield (start, min(start + _PARTS_AT_ONCE, distance + 1), 0), batch
        return
    words, splits = near.pack(batch[:1]), np.frombuffer(batch[1], np.uint8)
    for part, keys in enumerate(near.part_keys(words, distance)):
        shards = keys % np.uint64(1 + count // _SHARD)
        order = np.argsort(shards, kind="stable")
        found, starts = np.unique(shards[order], return_index=True)
        for shard, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            yield (part, part + 1, shard), (words[rows].tobytes(), splits[rows].tobytes())


def _compare(
    shard: tuple[tuple[int, int, int], Iterable[Batch]], distance: int, spanning: bool
) -> Iterator[HashPair]:
    (start, end, _), batches = shard
    hashes, bits = (b"".join(column) for column in zip(*batches, strict=True))
    words, splits, links = near.pack([hashes]), np.frombuffer(bits, np.uint8), Links()
    for part in range(start, end):
        for first, second in near.compare(words, distance, part, splits):
            for one, other in zip(first.tolist(), second.tolist(), strict=True):
                if not spanning or links.join(one, other):
                    a, b = words[one].tobytes(), words[other].tobytes()
                    yield min(a, b), max(a, b)


class GroupPatients(beam.PTransform):  # type: ignore[misc]
    """Joins patients who have the same image, or nearly the same.

    A group is all that hangs together: the images of its ends may differ. So it is bounded.

    Takes the fingerprints of all images. Gives one `near.Groups`.
    """

    def __init__(self, distance: int):
        """Takes what is near.

        Args:
            distance: See `near.compare`.
        """
        super().__init__()
        self._distance = distance

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        shared = (
            images
            | "ByValue" >> beam.FlatMap(_by_value)
            | "Meet" >> packing.ByBucket()
            | "Shared" >> beam.FlatMapTuple(_shared).with_outputs("owners", "same", main="links")
        )
        near_pairs = (
            shared.owners
            | "Hashes" >> beam.MapTuple(lambda hashes, _: (hashes, _any_split(hashes)))
            | "FindPairs" >> FindPairs(self._distance, spanning=True)
        )
        paired = near_pairs | "Each" >> beam.FlatMap(iter) | beam.combiners.ToSet()
        wanted = beam.pvalue.AsSingleton(paired)
        owners = shared.owners | "OfPairs" >> beam.FlatMap(_owners_of, wanted)
        linked = (shared.links, near_pairs, owners) | beam.Flatten()
        links = beam.pvalue.AsSingleton(linked | beam.CombineGlobally(_Link()))
        same = shared.same | "LinkSame" >> beam.CombineGlobally(_Link())
        sizes = (
            images
            | "Patient" >> beam.Map(_by_patient)
            | "OfPatient" >> packing.ByBucket()
            | "Sizes" >> beam.MapTuple(_sizes)
        )
        total = sizes | "Images" >> beam.Map(_total) | "Total" >> beam.CombineGlobally(sum)
        return (
            sizes
            | "Linked" >> beam.FlatMap(_sizes_of, links)
            | "ToDict" >> beam.combiners.ToDict()
            | "Group"
            >> beam.Map(
                _make_groups, links, beam.pvalue.AsSingleton(same), beam.pvalue.AsSingleton(total)
            )
        )


def _by_value(image: Fingerprint) -> Iterator[packing.Keyed]:
    """Its patient, by what two images may have in common: a digest, or a perceptual hash."""
    for is_hash, value in ((False, image.sha256), (True, image.phash.lower())):
        if value:
            yield packing.keyed(value, is_hash, value, image.patient)


def _shared(_: int, packed: Iterable[bytes]) -> Iterator[Any]:
    """Links between all patients who have the same image; of all hashes, one who has it.

    Links by the same pixels are told once more, by themselves.
    """
    first: tuple[dict[str, str], dict[str, str]] = {}, {}
    for is_hash, value, patient in packing.unpack(packed):
        one = first[is_hash].setdefault(value, patient)
        if one != patient:
            yield one, patient
            if not is_hash:
                yield beam.pvalue.TaggedOutput("same", (one, patient))
    if hashes := first[True]:
        owners = bytes.fromhex("".join(hashes)), chunks.pack(list(hashes.values()))
        yield beam.pvalue.TaggedOutput("owners", owners)


def _any_split(hashes: bytes) -> bytes:
    return bytes([_ANY_SPLIT]) * (len(hashes) // near.HASH_BYTES)


def _owners_of(
    of_bucket: tuple[bytes, bytes], paired: Container[bytes]
) -> Iterator[tuple[bytes, str]]:
    hashes, owners = of_bucket
    for place, owner in enumerate(chunks.unpack(owners)):
        hash_ = hashes[place * near.HASH_BYTES :][: near.HASH_BYTES]
        if hash_ in paired:
            yield hash_, owner


def _by_patient(image: Fingerprint) -> packing.Keyed:
    return packing.keyed(image.patient, image.patient)


def _sizes(_: int, packed: Iterable[bytes]) -> bytes:
    """How many images each patient has, of a bucket's."""
    return chunks.pack(Counter(patient for (patient,) in packing.unpack(packed)))


def _total(sizes: bytes) -> int:
    return sum(chunks.unpack(sizes).values())


def _sizes_of(sizes: bytes, links: Container[str]) -> Iterator[tuple[str, int]]:
    """The patients of a bucket who are linked."""
    yield from (pair for pair in chunks.unpack(sizes).items() if pair[0] in links)


class _Link(beam.CombineFn):  # type: ignore[misc]
    """All pairs, as what hangs together by them."""

    def create_accumulator(self) -> Links:
        return Links()

    def add_input(self, links: Links, pair: tuple[Any, Any]) -> Links:
        links.join(*pair)
        return links

    def merge_accumulators(self, several: Iterable[Links]) -> Links:
        merged = Links()
        for links in several:
            for pair in links:
                merged.join(*pair)
        return merged

    def extract_output(self, links: Links) -> Links:
        return links


def _make_groups(sizes: Mapping[str, int], links: Links, same: Links, total: int) -> Groups:
    return near.make_groups(links, same, sizes, total)
