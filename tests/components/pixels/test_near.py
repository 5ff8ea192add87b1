import time

import numpy as np
import pytest

from tests.components.pixels import near_lists
from tfxray.components.pixels.near import Fingerprint


def hexes(bits):
    return [row.tobytes().hex() for row in np.packbits(bits, axis=1)]


@pytest.mark.parametrize("distance", [0, 1, 8, 16, 32])
def test_pairs_are_those_of_comparing_every_pair(distance):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (60, 256), np.uint8)
    bits = np.concatenate([base, base])
    for row in range(60):
        bits[60 + row, rng.choice(256, row + 1, replace=False)] ^= 1
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    expected = [(i, j) for i in range(120) for j in range(i + 1, 120) if apart[i, j] <= distance]
    assert near_lists.find_pairs(hexes(bits), distance) == expected
    assert len(expected) >= distance


def test_many_images_take_seconds():
    """Of X-rays, some bits agree nearly always."""
    rng = np.random.default_rng(1)
    bits = (rng.random((20_000, 256)) < np.linspace(0.05, 0.95, 256)).astype(np.uint8)
    start = time.monotonic()
    near_lists.find_pairs(list(dict.fromkeys(hexes(bits))), 16)
    assert time.monotonic() - start < 30


def test_patients_who_share_an_image_are_one_group_and_others_are_none():
    a, b = hexes(np.eye(2, 256, dtype=np.uint8))
    far = "f" * 64
    images = [
        Fingerprint("q", "1", far), Fingerprint("p", "1", far),  # the same pixels
        Fingerprint("p", "2", a), Fingerprint("r", "3", b),  # nearly the same: a chain q, p, r
        Fingerprint("s", "4", "0f" * 32), Fingerprint("s", "5", "0f" * 32),  # one patient alone
        Fingerprint("t", "", ""), Fingerprint("u", "", ""),  # unknown digests are no copies
    ]  # fmt: skip
    groups = near_lists.group_patients(images, 2)
    assert groups.first == {"p": "p", "q": "p", "r": "p"}
    assert (groups.images, groups.count, groups.too_large, groups.total) == (4, 1, (), 8)
    assert near_lists.group_patients(images, 1).first == {"p": "p", "q": "p"}


def test_a_chain_that_would_fill_a_split_is_not_joined():
    steps = np.tril(np.ones((40, 256), np.uint8), -1)  # each is one bit from the next
    chain = [Fingerprint(f"c{i}", f"c{i}", text) for i, text in enumerate(hexes(steps))]
    rng = np.random.default_rng(2)
    others = hexes(rng.integers(0, 2, (100, 256), np.uint8))
    images = chain + [Fingerprint(f"o{i}", f"o{i}", text) for i, text in enumerate(others)]
    images.append(Fingerprint("copy", "o3", others[3]))
    groups = near_lists.group_patients(images, 1)
    assert groups.first == {"o3": "copy", "copy": "copy"}
    assert groups.too_large == (40,)
    assert len(near_lists.group_patients(images + 400 * [images[-1]], 1).first) == 40


def test_of_a_chain_that_is_too_large_copies_still_go_together():
    steps = hexes(np.tril(np.ones((40, 256), np.uint8), -1))  # each is one bit from the next
    chain = [Fingerprint(f"image:{i}", f"c{i}", text) for i, text in enumerate(steps)]
    rng = np.random.default_rng(2)
    rest = hexes(rng.integers(0, 2, (100, 256), np.uint8))
    others = [Fingerprint(f"o{i}", f"o{i}", text) for i, text in enumerate(rest)]
    copies = [Fingerprint("image:copy", "c3", steps[3]), Fingerprint("p", "c9", steps[9])]
    groups = near_lists.group_patients([*chain, *copies, *others], 1)
    assert groups.first == {
        "image:3": "image:3", "image:copy": "image:3", "image:9": "image:9", "p": "image:9",
    }  # fmt: skip
    assert groups.too_large == (42,)
    assert groups.drawn.unknown == 3


def test_copies_of_one_image_alone_are_no_chain():
    rng = np.random.default_rng(3)
    rest = hexes(rng.integers(0, 2, (60, 256), np.uint8))
    others = [Fingerprint(f"o{i}", f"o{i}", text) for i, text in enumerate(rest)]
    blank = [Fingerprint(f"image:{i}", "blank", "0" * 64) for i in range(30)]
    groups = near_lists.group_patients([*blank, *others], 1)
    assert (groups.count, groups.images, groups.too_large) == (1, 30, ())
    # Of patients who have other images, too, a tenth is the most; and of copies, half of all.
    more = [Fingerprint(f"image:{i}", f"m{i}", f"f{i:02}" + "5" * 61) for i in range(30)]
    groups = near_lists.group_patients([*blank, *more, *others], 0)
    assert (groups.count, groups.too_large) == (0, (60,))
    assert near_lists.group_patients([*blank, *others[:29]], 1).too_large == (30,)
