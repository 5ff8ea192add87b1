"""Finds images that are nearly the same by their perceptual hashes, and patients who share one."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# A group of patients holds at most this share of the images, or so many of few images. What is
# larger is a chain, in which each image is near to the next one alone, or one image for many.
_LARGEST_SHARE, _FEW = 0.1, 10
_CHUNK = 2**20  # pairs compared at a time: what bounds the memory


def find_pairs(hashes: Sequence[str], distance: int) -> list[tuple[int, int]]:
    """Pairs of hashes that differ in a few bits.

    Two hashes that differ in at most d bits agree on at least one of d + 1 parts. So only hashes
    that share a part are compared, and the work grows far slower than with the square.

    Args:
        hashes: Hexadecimal, all different and of one length.
        distance: At most so many differing bits.

    Returns:
        The places of each pair, the lower one first, in order.
    """
    if len(hashes) < 2:
        return []
    packed = np.array([np.frombuffer(bytes.fromhex(text), np.uint8) for text in hashes])
    bits = np.unpackbits(packed, axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    pairs: set[tuple[int, int]] = set()
    for part in range(distance + 1):
        # Bits far apart: neighbours are of like frequencies, and agree in many X-rays.
        key = np.packbits(bits[:, part :: distance + 1], axis=1)
        for first, second in _sharing(key):
            near = _count_bits(words[first] ^ words[second]) <= distance
            pairs.update(zip(first[near].tolist(), second[near].tolist(), strict=True))
    return sorted({(min(pair), max(pair)) for pair in pairs})


def _sharing(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows that are equal, some at a time."""
    _, groups, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    groups = groups.reshape(-1)  # of a column, in numpy 2.0
    order = np.argsort(groups, kind="stable")
    # How many rows of the same group come behind each one.
    behind = np.cumsum(sizes)[groups[order]] - np.arange(len(order)) - 1
    rows = np.arange(len(order))
    for step in range(1, int(sizes.max())):
        rows = rows[behind[rows] >= step]
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            yield order[chunk], order[chunk + step]


def _count_bits(words: np.ndarray) -> np.ndarray:
    """How many bits of each row are set; `numpy.bitwise_count` is not in numpy 1."""
    one, two, four = (np.uint64(v) for v in (2**64 // 3, 2**64 // 5, 2**64 // 17))
    words = words - ((words >> np.uint64(1)) & one)
    words = (words & two) + ((words >> np.uint64(2)) & two)
    words = (words + (words >> np.uint64(4))) & four
    counts: np.ndarray = (words * np.uint64(2**64 // 255) >> np.uint64(56)).sum(axis=1)
    return counts


class Fingerprint(NamedTuple):
    """What tells whether an image is another patient's, too.

    Attributes:
        patient: Its patient's id.
        sha256: Digest of its pixels, empty where unknown.
        phash: Perceptual hash of its pixels, hexadecimal, empty where unknown.
    """

    patient: str
    sha256: str
    phash: str


@dataclasses.dataclass(frozen=True)
class Groups:
    """Patients who share an image.

    Attributes:
        first: Of each patient in a group of several: the first patient of the group.
        images: How many images these patients have.
        count: How many groups there are.
        too_large: The images of each group that is too large, and was therefore not made; the
            smallest one first.
        total: All images.
    """

    first: dict[str, str]
    images: int
    count: int
    too_large: tuple[int, ...]
    total: int


def group_patients(images: Iterable[Fingerprint], distance: int) -> Groups:
    """Joins patients who have the same image, or nearly the same.

    A group is all that hangs together: the images of its ends may differ. So it is bounded.

    Args:
        images: All of them.
        distance: See `find_pairs`.
    """
    sizes = Counter[str]()
    owners: dict[str, str] = {}  # of each digest and hash, one patient
    hashes: dict[str, None] = {}
    parents: dict[str, str] = {}

    def root(patient: str) -> str:
        while (parent := parents.get(patient, patient)) != patient:
            parents[patient] = parents.get(parent, parent)
            patient = parent
        return patient

    def join(one: str, other: str) -> None:
        lower, higher = sorted((root(one), root(other)))
        parents[higher] = lower

    for patient, sha256, phash in images:
        sizes[patient] += 1
        for value in filter(None, (sha256, phash.lower())):
            join(patient, owners.setdefault(value, patient))
        if phash:
            hashes[phash.lower()] = None
    texts = list(hashes)
    for i, j in find_pairs(texts, distance):
        join(owners[texts[i]], owners[texts[j]])
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sizes:
        members[root(patient)].append(patient)
    most = max(_FEW, _LARGEST_SHARE * sizes.total())
    counts = {first: sum(sizes[p] for p in group) for first, group in members.items()}
    several = {first: group for first, group in members.items() if len(group) > 1}
    fitting = {first: group for first, group in several.items() if counts[first] <= most}
    return Groups(
        {patient: first for first, group in fitting.items() for patient in group},
        sum(counts[first] for first in fitting),
        len(fitting),
        tuple(sorted(counts[first] for first in several.keys() - fitting.keys())),
        sizes.total(),
    )
