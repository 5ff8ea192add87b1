"""The same as `near`, in Beam: pairs of hashes that are nearly the same, and groups of patients.

Nothing here is kept whole in one place but what was found: the pairs that link patients.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from tfxray.components.pixels import near
from tfxray.components.pixels.near import Fingerprint, Groups, Links

# So many hashes go together on their way, and about so many of a part are compared in one place.
_BATCH, _SHARD = 2**16, 2**15
_ANY_SPLIT = 0b11  # in two splits, so that each pair counts

HashPair = tuple[bytes, bytes]


class FindPairs(beam.PTransform):  # type: ignore[misc]
    """Finds pairs of hashes that differ in a few bits; see `near.compare`.

    Takes each hash once, as bytes, with a bit for each split that holds it. Gives each pair once.
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

    def expand(self, hashes: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        count = beam.pvalue.AsSingleton(hashes | beam.combiners.Count.Globally())
        return (
            hashes
            | beam.BatchElements(min_batch_size=_BATCH, max_batch_size=_BATCH)
            | "Shard" >> beam.FlatMap(_shard, self._distance, count)
            | beam.GroupByKey()
            | "Compare" >> beam.FlatMap(_compare, self._distance, self._spanning)
        )


def _shard(
    batch: list[tuple[bytes, int]], distance: int, count: int
) -> Iterator[tuple[tuple[int, int], tuple[bytes, bytes]]]:
    """Hashes and their splits, by part, and by what the part holds."""
    words = near.pack([hash_ for hash_, _ in batch])
    splits = np.array([bits for _, bits in batch], np.uint8)
    for part, keys in enumerate(near.part_keys(words, distance)):
        shards = keys % np.uint64(1 + count // _SHARD)
        order = np.argsort(shards, kind="stable")
        found, starts = np.unique(shards[order], return_index=True)
        for shard, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            yield (part, shard), (words[rows].tobytes(), splits[rows].tobytes())


def _compare(
    shard: tuple[tuple[int, int], Iterable[tuple[bytes, bytes]]], distance: int, spanning: bool
) -> Iterator[HashPair]:
    (part, _), batches = shard
    hashes, splits = (b"".join(column) for column in zip(*batches, strict=True))
    words, links = near.pack([hashes]), Links()
    for first, second in near.compare(words, distance, part, np.frombuffer(splits, np.uint8)):
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
        owned = (
            images
            | "ByValue" >> beam.FlatMap(_by_value)
            | beam.GroupByKey()
            | "Shared" >> beam.FlatMapTuple(_shared).with_outputs("owners", main="links")
        )
        near_pairs = (
            owned.owners
            | "Hash" >> beam.MapTuple(lambda hash_, _: (hash_, _ANY_SPLIT))
            | "FindPairs" >> FindPairs(self._distance, spanning=True)
        )
        paired = near_pairs | "Each" >> beam.FlatMap(iter) | beam.combiners.ToSet()
        owners = owned.owners | "OfPairs" >> beam.Filter(_is_in, beam.pvalue.AsSingleton(paired))
        linked = (owned.links, near_pairs, owners) | beam.Flatten() | beam.CombineGlobally(_Link())
        links = beam.pvalue.AsSingleton(linked)
        sizes = images | "Patient" >> beam.Map(_patient) | beam.combiners.Count.PerElement()
        total = sizes | beam.Values() | "Total" >> beam.CombineGlobally(sum)
        return (
            sizes
            | "Linked" >> beam.Filter(_is_in, links)
            | "Sizes" >> beam.combiners.ToDict()
            | "Group" >> beam.Map(_make_groups, links, beam.pvalue.AsSingleton(total))
        )


def _by_value(image: Fingerprint) -> Iterator[tuple[tuple[bool, str], str]]:
    """Its patient, by what two images may have in common; and whether that is a perceptual hash."""
    if image.sha256:
        yield (False, image.sha256), image.patient
    if image.phash:
        yield (True, image.phash.lower()), image.patient


def _shared(value: tuple[bool, str], patients: Iterable[str]) -> Iterator[Any]:
    """Links between all patients who have the same image; of a hash, one who has it."""
    others = iter(patients)
    first = next(others)
    if value[0]:
        yield beam.pvalue.TaggedOutput("owners", (bytes.fromhex(value[1]), first))
    yield from ((first, other) for other in others if other != first)


def _is_in(pair: tuple[Any, Any], members: Container[Any]) -> bool:
    return pair[0] in members


def _patient(image: Fingerprint) -> str:
    return image.patient


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


def _make_groups(sizes: Mapping[str, int], links: Links, total: int) -> Groups:
    return near.make_groups(links, sizes, total)
