"""Finds what is in two splits at once: a patient, an image, or nearly the same image."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from tfxray.components.common import contract
from tfxray.components.pixels import near


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
    """Pairs in different splits whose pixels differ, but whose perceptual hashes hardly do.

    Args:
        examples: All examples; those without a hash do not count. Of those that are alike in split,
            pixels and hash, the first one stands for all.
        distance: At most so many differing bits.

    Returns:
        The pairs, in the order of the examples. Of all images with one hash, another image is
        paired with one in each split: where thousands are black, their pairs are millions.
    """
    holders: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for i, example in enumerate(examples):
        if example.phash:
            holders[example.phash.lower()][example.split].setdefault(example.sha256, i)
    hashes = list(holders)
    same = [(hash_, hash_) for hash_ in hashes if len(holders[hash_]) > 1]
    others = [(hashes[i], hashes[j]) for i, j in near.find_pairs(hashes, distance)]
    pairs: set[tuple[int, int]] = set()
    for one, other in [*same, *others, *((two, one) for one, two in others)]:
        for split, images in holders[one].items():
            partners = [places for name, places in holders[other].items() if name != split]
            for sha256, i in images.items():
                for places in partners:
                    # Of two images, one at least has other pixels.
                    found = [j for digest, j in islice(places.items(), 2) if digest != sha256]
                    pairs.update((min(i, j), max(i, j)) for j in found[:1])
    return [(examples[i], examples[j]) for i, j in sorted(pairs)]


def group_patients(examples: Iterable[Example], distance: int) -> near.Groups:
    """Joins patients who share an image, in whatever splits they are; see `near.group_patients`.

    Args:
        examples: All examples. One without a patient is a patient of its own.
        distance: See `find_near`.
    """
    prints = (
        near.Fingerprint(e.patient or contract.own_patient(e.name), e.sha256, e.phash)
        for e in examples
    )
    return near.group_patients(prints, distance)
