"""Finds images that are nearly the same by their perceptual hashes, and patients who share one."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfxray.components.common import contract

# A group of patients holds at most this share of the images, or so many of few images. What is
# larger is a chain, in which each image is near to the next one alone, or one image for many.
_LARGEST_SHARE, _FEW = 0.1, 10
# Copies of one image, whose patients have no other, are no chain: they may be up to half of all.
_LARGEST_COPIES = 0.5
HASH_BYTES = 32
_PLACES = np.arange(8 * HASH_BYTES)  # of the bits
_CHUNK = 2**16  # pairs compared at a time: what bounds the memory
_FEW_SHARING = 512  # so many that share a part are compared each with each
_SAMPLE = 2048
# Odd numbers; see `_mix`.
_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)

Pairs = tuple[np.ndarray, np.ndarray]  # the rows of the one, and of the other


def pack(hashes: Sequence[bytes]) -> np.ndarray:
    """Hashes as rows of four words."""
    return np.frombuffer(bytearray().join(hashes), np.uint64).reshape(-1, HASH_BYTES // 8)


def part_keys(words: np.ndarray, distance: int) -> list[np.ndarray]:
    """Of each part, a number for each hash: the same for all that agree on the part.

    Two hashes that differ in at most d bits agree on at least one of d + 1 parts. So only hashes
    that share a part are compared.

    Args:
        words: See `pack`.
        distance: At most so many differing bits.
    """
    return [_mix(words & mask) for mask in _masks(_PLACES, distance)]


def compare(
    words: np.ndarray, distance: int, part: int, splits: np.ndarray | None = None
) -> Iterator[Pairs]:
    """Pairs of hashes that differ in a few bits, agree on a part, and on no part before it.

    Where many agree on a part, only those are compared that agree on a part of the other bits, too,
    and so on. So the work grows nearly as their number does, not as its square.

    Args:
        words: See `pack`; all different.
        distance: At most so many differing bits.
        part: The part's number, from 0 to `distance`.
        splits: Of each hash, a bit for each split that holds it. Two hashes that are in one and the
            same split are no pair. None wants all pairs.

    Yields:
        Some pairs at a time. Over all parts, each pair comes once.
    """
    return _compare(words, distance, _PLACES, part, splits)


def _compare(
    words: np.ndarray, distance: int, places: np.ndarray, part: int, splits: np.ndarray | None
) -> Iterator[Pairs]:
    """As `compare`; the parts are made of some bits only."""
    masks = _masks(places, distance)
    left = np.setdiff1d(places, places[part :: distance + 1])
    order, starts, sizes = _group(_mix(words & masks[part]))
    members = [order[starts[i] :][: sizes[i]] for i in np.flatnonzero(sizes > _FEW_SHARING)]
    large = [rows for rows in members if _parts_tell(words[rows], left, distance)]
    one_by_one = np.ones(len(words), bool)
    for rows in large:
        one_by_one[rows] = False
    for first, second in _sharing(order, starts, sizes, one_by_one):
        if splits is not None:
            both = splits[first] | splits[second]
            across = (both & (both - 1)) != 0
            first, second = first[across], second[across]
        near = _count_bits(words[first] ^ words[second]) <= distance
        yield _first_at(part, masks, words, first[near], second[near])
    for rows in large:
        few = None if splits is None else splits[rows]
        for further in range(distance + 1):
            for first, second in _compare(words[rows], distance, left, further, few):
                yield _first_at(part, masks, words, rows[first], rows[second])


def _masks(places: np.ndarray, distance: int) -> np.ndarray:
    """The bits of each part."""
    bits = np.zeros((distance + 1, len(_PLACES)), np.uint8)
    for part in range(distance + 1):
        # Bits far apart: neighbours are of like frequencies, and agree in many X-rays.
        bits[part, places[part :: distance + 1]] = 1
    return np.packbits(bits, axis=1).view(np.uint64)


def _mix(words: np.ndarray) -> np.ndarray:
    """A number for each row, in all of its bits; that of two rows is hardly ever the same."""
    mixed: np.ndarray = (words * _FACTORS).sum(axis=1, dtype=np.uint64)
    return mixed ^ (mixed >> np.uint64(32))


def _group(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in the order of their keys; where each key begins there, and how many rows it has."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(keys)])
    return order, starts, np.diff(np.append(starts, len(keys)))


def _parts_tell(words: np.ndarray, places: np.ndarray, distance: int) -> bool:
    """Whether hashes share so few parts of these bits that to compare by them is less work."""
    sample = words[:: 1 + len(words) // _SAMPLE]
    keys = (_mix(sample & mask) for mask in _masks(places, distance))
    pairs = sum(int((_group(key)[2] ** 2).sum()) for key in keys)
    return 2 * pairs < len(sample) ** 2


def _sharing(
    order: np.ndarray, starts: np.ndarray, sizes: np.ndarray, chosen: np.ndarray
) -> Iterator[Pairs]:
    """All pairs of chosen rows that have the same key, some at a time; see `_group`."""
    # How many rows of the same key come behind each one.
    behind = np.repeat(starts + sizes, sizes) - np.arange(len(order)) - 1
    rows, step, count = np.flatnonzero(chosen[order]), 0, 0
    pairs: list[Pairs] = []
    while len(rows := rows[behind[rows] > step]):
        step += 1
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            pairs.append((order[chunk], order[chunk + step]))
            count += len(chunk)
            if count >= _CHUNK:
                yield _join(pairs)
                pairs, count = [], 0
    if pairs:
        yield _join(pairs)


def _join(pairs: Sequence[Pairs]) -> Pairs:
    first, second = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    return first, second


def _first_at(
    part: int, masks: np.ndarray, words: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Pairs:
    """Of some pairs, those that agree on a part, and on none before it."""
    differing = words[first] ^ words[second]
    agree = [~(differing & mask).any(axis=1) for mask in masks[: part + 1]]
    here = agree[part] & ~np.any(agree[:part], axis=0) if part else agree[part]
    return first[here], second[here]


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
            smallest one first. Those of its images that are copies may be a group all the same.
        total: All images.
        unknown: How many of `images` name no patient, so that each counts as a patient.
    """

    first: dict[str, str]
    images: int
    count: int
    too_large: tuple[int, ...]
    total: int
    unknown: int = 0

    @property
    def drawn(self) -> "Drawn":
        """The same in numbers."""
        patients = len(self.first)
        return Drawn(patients, self.images, self.count, self.too_large, self.total, self.unknown)


class Drawn(NamedTuple):
    """How patients who share an image were drawn; see `Groups`.

    Attributes:
        patients: How many share an image, and are drawn together.
        images: How many images these patients have.
        drawn_as: As how many patients.
        too_large: The images of each group that is too large, the smallest one first.
        total: All images.
        unknown: How many of `images` name no patient, so that each counts as a patient.
    """

    patients: int
    images: int
    drawn_as: int
    too_large: tuple[int, ...]
    total: int
    unknown: int = 0

    def describe(self) -> str:
        """One line on what is drawn together; empty where nothing is."""
        if not self.drawn_as:
            return ""
        unknown = f" ({self.unknown} of the images name no patient)" if self.unknown else ""
        return (
            f"{self.images} images of {self.patients} patients, who share an image or have nearly "
            f"the same one, are drawn as {self.drawn_as} patients{unknown}"
        )


class Links:
    """What hangs together by pairs: a forest, which grows with its members alone."""

    def __init__(self) -> None:
        self._parents: dict[Any, Any] = {}

    def __contains__(self, member: object) -> bool:
        """Whether anything hangs together with it."""
        return member in self._parents

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Pairs by which all that hangs together does."""
        return iter(self._parents.items())

    def root(self, member: Any) -> Any:
        """One of all that hangs together with a member: the same for all of them."""
        parents = self._parents
        while (parent := parents.get(member, member)) != member:
            parents[member] = parents.get(parent, parent)
            member = parent
        return member

    def join(self, one: Any, other: Any) -> bool:
        """Joins two, with all that hangs together with them.

        Returns:
            Whether they were apart before.
        """
        one, other = self.root(one), self.root(other)
        self._parents[one] = self._parents[other] = one
        return bool(one != other)


def make_groups(links: Links, same: Links, sizes: Mapping[str, int], total: int) -> Groups:
    """The groups of the patients who hang together.

    Of a group that is too large, those with an image of the same pixels are groups of their own: to
    draw these apart is leakage, whatever else they are near to.

    Args:
        links: Of patients; also with what else links them.
        same: Of patients who have an image of the same pixels; they are among `links`.
        sizes: How many images each patient has; of those who are linked, at least.
        total: All images.
    """
    most = max(_FEW, _LARGEST_SHARE * total)
    too_large, fitting = list[int](), dict[str, list[str]]()
    for group in _together(links, sizes):
        if (count := sum(sizes[p] for p in group)) <= most:
            fitting[min(group)] = group
            continue
        too_large.append(count)
        for copies in _together(same, group):
            count = sum(sizes[p] for p in copies)
            alone = count == len(copies)
            if count <= (max(_FEW, _LARGEST_COPIES * total) if alone else most):
                fitting[min(copies)] = copies
                # Where the copies are the whole group, nothing is drawn apart.
                if len(copies) == len(group):
                    too_large.pop()
    members = [patient for group in fitting.values() for patient in group]
    return Groups(
        {patient: first for first, group in fitting.items() for patient in group},
        sum(sizes[patient] for patient in members),
        len(fitting),
        tuple(sorted(too_large)),
        total,
        sum(sizes[patient] for patient in members if contract.is_own_patient(patient)),
    )


def _together(links: Links, patients: Iterable[str]) -> list[list[str]]:
    """Of some patients, those who hang together with others of them."""
    members: dict[Any, list[str]] = defaultdict(list)
    for patient in patients:
        members[links.root(patient)].append(patient)
    return [group for group in members.values() if len(group) > 1]
