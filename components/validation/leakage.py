"""Finds what is in two splits at once: a patient, an image, or nearly the same image.

A Beam job: nothing is kept whole in one place but how much was found, and the first of it. What is
first goes by splits and names, whatever the order in which a runner reads.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from tfxray.components.common import contract
from tfxray.components.example_gen.fingerprints import Row
from tfxray.components.jobs import packing
from tfxray.components.pixels import near_transforms

LISTED = 50
_PAIRS = 6  # for a reader to look at
_PLACES = 4  # listed of those that share a value
_HASH = "hash"

# An image among those of its hash: the place of its split, its digest, its file's name.
_Image = tuple[int, str, str]
# Of a hash, in each split: the first two images whose pixels differ, by name and digest.
_Firsts = dict[int, tuple[tuple[str, str], ...]]
Pair = Sequence[tuple[str, str]]
# What tells an image from those that are not alike in split, pixels and hash.
_Identity = tuple[int, str, bytes]


class Leaks(NamedTuple):
    """What is in two splits, of one kind.

    Attributes:
        total: How many patients, images or pairs.
        texts: Those that come first, `LISTED` at most: where each of them is.
        pairs: Of images, of the first of those: two that are alike, each by its split and its name.
    """

    total: int
    texts: list[str]
    pairs: Sequence[Pair] = ()


class FindLeaks(beam.PTransform):  # type: ignore[misc]
    """Finds leakage between splits. Begins a job.

    Gives one mapping, with the kinds of which there are any:

    - `patients`: those whose images are in more than one split, in their order.
    - `identical`: digests of images that are in more than one split, in their order.
    - `near_identical`: pairs in different splits whose pixels differ, but whose perceptual hashes
      hardly do, in the order of splits and names. Of those alike in split, pixels and hash, one
      stands for all. Of all images with one hash, another image is paired with one in each split:
      where thousands are black, their pairs are millions.
    """

    def __init__(
        self, read: beam.PTransform, distance: int, splits: Sequence[str] = contract.SPLITS
    ):
        """Takes what is near.

        Args:
            read: Reads a `fingerprints.Row` of each example. It is used twice: what is read once
                and used twice, Beam's in-memory runner keeps at once.
            distance: At most so many differing bits.
            splits: Those of the rows, in their order.
        """
        super().__init__()
        self._read, self._distance, self._splits = read, distance, tuple(splits)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """See `beam.PTransform`."""
        met = (
            pipeline
            | "Read" >> self._read
            | "ByValue" >> beam.FlatMap(_by_value, self._splits)
            | "Meet" >> packing.ByBucket()
            | "Tell"
            >> beam.FlatMap(_tell_bucket, self._splits).with_outputs("hashes", "several", main="in")
        )
        again = pipeline | "ReadAgain" >> self._read
        near_pairs = (met.hashes, met.several, again) | "Near" >> _FindNear(
            self._distance, self._splits
        )
        first = beam.combiners.TopCombineFn(LISTED, reverse=True)
        count = beam.combiners.CountCombineFn()
        return (
            (met["in"], near_pairs)
            | beam.Flatten()
            | "ByKind"
            >> beam.CombinePerKey(beam.combiners.TupleCombineFn(count, first).with_common_input())
            | "Leaks" >> beam.MapTuple(_leaks)
            | beam.combiners.ToDict()
        )


def _by_value(row: Row, splits: tuple[str, ...]) -> Iterator[packing.Keyed]:
    place = splits.index(row.split)
    for kind, value in (("patients", row.patient), ("identical", row.sha256)):
        if value:
            yield packing.keyed(value, kind, value, place, row.name)
    if row.phash:
        value = row.phash.lower()
        yield packing.keyed(value, _HASH, value, place, "")


def _tell_bucket(bucket: tuple[int, Iterable[bytes]], splits: tuple[str, ...]) -> Iterator[Any]:
    """What is in several splits; and beside it the bucket's hashes, for `FindPairs`."""
    bits_of: dict[tuple[str, str], int] = defaultdict(int)
    names: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for kind, value, place, name in packing.unpack(bucket[1]):
        bits_of[kind, value] |= 1 << place
        if kind != _HASH:
            names[kind, value].append((place, name))
    for (kind, value), places in names.items():
        if _are_several(bits_of[kind, value]):
            start = f"{value} " if kind == "patients" else ""
            texts = sorted({f"{splits[place]}: {name}" for place, name in places})
            first = min(places)
            pair = (first, min(place for place in places if place[0] != first[0]))
            told = [(splits[place], name) for place, name in pair] if kind == "identical" else []
            yield kind, ((value,), start + _list_places(texts), told)
    hashes = {value: bits for (kind, value), bits in bits_of.items() if kind == _HASH}
    if hashes:
        yield beam.pvalue.TaggedOutput("hashes", near_transforms.make_batch(hashes))
    for value, bits in hashes.items():
        if _are_several(bits):
            yield beam.pvalue.TaggedOutput("several", bytes.fromhex(value))


def _are_several(bits: int) -> bool:
    return bits & (bits - 1) != 0


def _list_places(places: list[str]) -> str:
    return f"({'; '.join(places[:_PLACES])}" + ("; …)" if len(places) > _PLACES else ")")


def _leaks(kind: str, found: tuple[int, list[tuple[Any, str, Pair]]]) -> tuple[str, Leaks]:
    total, first = found
    pairs = [pair for _, _, pair in first[:_PAIRS] if pair]
    return kind, Leaks(total, [text for _, text, _ in first], pairs)


class _FindNear(beam.PTransform):  # type: ignore[misc]
    """Pairs of nearly identical images.

    Takes batches of hashes, those of them that are in several splits, and the rows.
    """

    def __init__(self, distance: int, splits: tuple[str, ...]):
        super().__init__()
        self._distance, self._splits = distance, splits

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        hashes, several, rows = inputs
        pairs = hashes | near_transforms.FindPairs(self._distance)
        paired = (pairs | "Each" >> beam.FlatMap(iter), several) | beam.Flatten()
        wanted = beam.pvalue.AsSingleton(paired | beam.combiners.ToSet())
        images = rows | "OfPaired" >> beam.FlatMap(_by_hash, self._splits, wanted)
        firsts = images | "First" >> beam.CombinePerKey(_FirstImages())
        both_ways = pairs | "BothWays" >> beam.FlatMap(lambda pair: (pair, pair[::-1]))
        partners = (
            {"firsts": firsts, "others": both_ways}
            | "Tell" >> beam.CoGroupByKey()
            | "Partners" >> beam.FlatMap(_partners)
        )
        return (
            {"images": images, "partners": partners}
            | "Meet" >> beam.CoGroupByKey()
            | "Pair" >> beam.FlatMap(_pairs)
            | "Names" >> beam.CombinePerKey(_first_names)
            | "Text" >> beam.Map(_near_text, self._splits)
        )


def _by_hash(
    row: Row, splits: tuple[str, ...], wanted: Container[bytes]
) -> Iterator[tuple[bytes, _Image]]:
    hash_ = bytes.fromhex(row.phash)
    if hash_ in wanted:
        yield hash_, (splits.index(row.split), row.sha256, row.name)


class _FirstImages(beam.CombineFn):  # type: ignore[misc]
    """The `_Firsts` of a hash."""

    def create_accumulator(self) -> _Firsts:
        return {}

    def add_input(self, firsts: _Firsts, image: _Image) -> _Firsts:
        split, sha256, name = image
        first = ((name, sha256),)
        if split not in firsts:
            return {**firsts, split: first}
        return self.merge_accumulators([firsts, {split: first}])

    def merge_accumulators(self, several: Iterable[_Firsts]) -> _Firsts:
        merged: dict[int, dict[str, str]] = {}
        for firsts in several:
            for split, images in firsts.items():
                names = merged.setdefault(split, {})
                for name, sha256 in images:
                    names[sha256] = min(name, names.get(sha256, name))
        return {
            split: tuple(sorted((name, sha256) for sha256, name in names.items())[:2])
            for split, names in merged.items()
        }

    def extract_output(self, firsts: _Firsts) -> _Firsts:
        return firsts


def _partners(
    told: tuple[bytes, Mapping[str, Iterable[Any]]],
) -> Iterator[tuple[bytes, tuple[bytes, _Firsts]]]:
    """For the images of a hash: those of a hash that is near, or the same in another split."""
    hash_, found = told
    (firsts,) = found["firsts"]
    if len(firsts) > 1:
        yield hash_, (hash_, firsts)
    for other in found["others"]:
        yield other, (hash_, firsts)


def _pairs(
    told: tuple[bytes, Mapping[str, Iterable[Any]]],
) -> Iterator[tuple[tuple[_Identity, _Identity], tuple[str, str]]]:
    """Pairs of images, and their names. Some come from both sides, and with other names."""
    hash_, found = told
    for other_hash, firsts in found["partners"]:
        for split, sha256, name in found["images"]:
            for other_split, others in firsts.items():
                # Of two images, one at least has other pixels.
                differing = [other for other in others if other[1] != sha256]
                if other_split == split or not differing:
                    continue
                other_name, other_sha256 = differing[0]
                one = ((split, sha256, hash_), name)
                other = ((other_split, other_sha256, other_hash), other_name)
                (first, first_name), (second, second_name) = sorted((one, other))
                yield (first, second), (first_name, second_name)


def _first_names(names: Iterable[tuple[str, str]]) -> tuple[str, str]:
    first, second = zip(*names, strict=True)
    return min(first), min(second)


def _near_text(
    pair: tuple[tuple[_Identity, _Identity], tuple[str, str]], splits: tuple[str, ...]
) -> tuple[str, tuple[Any, str, Pair]]:
    identities, names = pair
    order = [(one[0], name) for one, name in zip(identities, names, strict=True)]
    places = [f"{splits[split]}: {name}" for split, name in order]
    told = [(splits[split], name) for split, name in order]
    return "near_identical", ((*order, *identities), _list_places(sorted(places)), told)
