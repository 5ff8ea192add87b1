"""Finds what is in two splits at once: a patient, an image, or nearly the same image."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np


@dataclasses.dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        split: Where it is.
        name: Its file's name.
        patient: Its patient's id, empty where unknown.
        sha256: Digest of its pixels, empty where unknown.
        phash: Perceptual hash of its pixels, hexadecimal, empty where unknown.
    """

    split: str
    name: str
    patient: str = ""
    sha256: str = ""
    phash: str = ""


def find_shared(examples: Iterable[Example], key: str) -> list[list[Example]]:
    """Groups of examples that share a value and are in more than one split.

    Args:
        examples: All examples.
        key: `patient` or `sha256`.

    Returns:
        One list per value, in the order of the values; examples without one do not count.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if value := getattr(example, key):
            groups[value].append(example)
    return [groups[v] for v in sorted(groups) if len({example.split for example in groups[v]}) > 1]


def find_near(examples: Sequence[Example], distance: int) -> list[tuple[Example, Example]]:
    """Pairs in different splits whose perceptual hashes differ in a few bits, but not in none.

    Two hashes that differ in at most d bits agree on at least one of d + 1 parts. So only
    examples that share a part are compared, and the work grows with the number of images, not with
    its square.

    Args:
        examples: All examples; those without a hash do not count.
        distance: At most so many differing bits.

    Returns:
        The pairs, in the order of the examples.
    """
    hashed_examples = [example for example in examples if example.phash]
    if not hashed_examples:
        return []
    bits = np.array([_bits(example.phash) for example in hashed_examples])
    pairs = set()
    for part in np.array_split(np.arange(bits.shape[1]), distance + 1):
        for bucket in _buckets(np.packbits(bits[:, part], axis=1)):
            pairs |= set(_close(hashed_examples, bits, bucket, distance))
    return [(hashed_examples[i], hashed_examples[j]) for i, j in sorted(pairs)]


def _bits(phash: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(phash), np.uint8))


def _buckets(keys: np.ndarray) -> Iterator[list[int]]:
    buckets: dict[bytes, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        buckets[key.tobytes()].append(i)
    return (bucket for bucket in buckets.values() if len(bucket) > 1)


def _close(
    examples: Sequence[Example], bits: np.ndarray, bucket: list[int], distance: int
) -> Iterator[tuple[int, int]]:
    for i, j in combinations(bucket, 2):
        apart = examples[i].split != examples[j].split and examples[i].sha256 != examples[j].sha256
        if apart and np.count_nonzero(bits[i] != bits[j]) <= distance:
            yield i, j
