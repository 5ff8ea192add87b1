"""In Beam, the same is found as in one process."""

import apache_beam as beam
import numpy as np
import pytest

from tests.components.pixels import near_lists
from tests.components.pixels.test_near import hexes
from tfxray.components.pixels import near, near_transforms
from tfxray.components.pixels.near import Fingerprint


def clustered(rng, clusters, count):
    """Hashes of which some are near to each other."""
    centres = rng.integers(0, 2, (clusters, 256), np.uint8)
    bits = centres[rng.integers(0, clusters, count)]
    return bits ^ (rng.random(bits.shape) < 0.03).astype(np.uint8)


FOUND = []


def keep(element):
    """By its name, Beam's workers in this process call the very same."""
    FOUND.append(element)


def found(transform, elements):
    """All that a transform gives."""
    FOUND.clear()
    with beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(elements, reshuffle=False) | transform | beam.Map(keep)
    return list(FOUND)


def pairs_of(bits, splits, distance, spanning=False):
    hashes = [row.tobytes() for row in np.packbits(bits, axis=1)]
    by_hash = dict(zip((hash_.hex() for hash_ in hashes), splits, strict=True))
    some = [dict(list(by_hash.items())[start : start + 70]) for start in range(0, len(hashes), 70)]
    batches = [near_transforms.make_batch(splits) for splits in some]
    return found(near_transforms.FindPairs(distance, spanning), batches)


@pytest.mark.parametrize("whole", [2**20, 50])
@pytest.mark.parametrize("distance", [0, 1, 16])
def test_pairs_are_those_of_comparing_every_pair_across_splits(distance, whole, monkeypatch):
    monkeypatch.setattr(near_transforms, "_WHOLE", whole)
    monkeypatch.setattr(near_transforms, "_SHARD", 100)
    rng = np.random.default_rng(0)
    bits = np.unique(clustered(rng, 60, 400), axis=0)
    splits = rng.choice([0b1, 0b10, 0b100, 0b11], len(bits)).tolist()
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    hashes = [row.tobytes() for row in np.packbits(bits, axis=1)]
    expected = {
        (min(hashes[i], hashes[j]), max(hashes[i], hashes[j]))
        for i, j in zip(*np.nonzero(np.triu(apart <= distance, 1)), strict=True)
        if splits[i] | splits[j] not in (0b1, 0b10, 0b100)
    }
    pairs = pairs_of(bits, splits, distance)
    assert len(pairs) == len(expected)
    assert set(pairs) == expected


def test_of_many_that_are_near_to_each_other_few_pairs_link_them():
    rng = np.random.default_rng(1)
    bits = np.unique((rng.random((300, 256)) < 0.02).astype(np.uint8), axis=0)
    every = pairs_of(bits, [0b11] * len(bits), 16)
    few = pairs_of(bits, [0b11] * len(bits), 16, spanning=True)
    links = near.Links()
    for pair in few:
        links.join(*pair)
    assert len(every) > 30_000
    assert len(few) < 17 * len(bits)
    assert len({links.root(member) for pair in every for member in pair}) == 1


def test_groups_are_those_of_one_process():
    rng = np.random.default_rng(2)
    texts = hexes(clustered(rng, 150, 600))
    images = [
        Fingerprint(f"p{rng.integers(300)}", str(rng.integers(3000)), text.upper())
        for text in texts
    ]
    images += [Fingerprint("x", "", ""), Fingerprint("y", "", ""), Fingerprint("z", "7", "")]
    images += [Fingerprint(f"b{i}", f"black{i}", "0" * 64) for i in range(9)]
    images += [Fingerprint(f"image:{i}", "copy", texts[0]) for i in range(9)]
    (groups,) = found(near_transforms.GroupPatients(8), images)
    assert groups == near_lists.group_patients(images, 8)
    assert groups.first
    (groups,) = found(near_transforms.GroupPatients(20), images)
    assert groups == near_lists.group_patients(images, 20)
    assert groups.too_large


def test_no_images_make_no_groups():
    (groups,) = found(near_transforms.GroupPatients(16), [])
    assert (groups.first, groups.total) == ({}, 0)
