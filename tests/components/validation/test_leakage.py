import numpy as np
from PIL import Image

from tfxray.components.pixels.image import perceptual_hash
from tfxray.components.sample import draw
from tfxray.components.validation import leakage
from tfxray.components.validation.leakage import Example


def test_a_patient_or_image_in_two_splits_is_found_and_within_one_is_not():
    items = [
        Example("train", "a", "p1", "x"), Example("train", "b", "p1", "x"),
        Example("test", "c", "p2", "y"), Example("eval", "d", "p2", "z"),
        Example("train", "e", "", "z"), Example("test", "f", "", ""),
        Example("eval", "g", "", ""),
    ]  # fmt: skip
    patients = leakage.find_shared(items, "patient")
    images = leakage.find_shared(items, "sha256")
    assert [[i.name for i in group] for group in patients] == [["c", "d"]]
    assert [[i.name for i in group] for group in images] == [["d", "e"]]


def test_nearly_identical_images_are_found_and_other_patients_are_not(tmp_path):
    rng = np.random.default_rng(3)
    items = []
    for number in range(30):
        patient = draw.draw_patient(rng, number)
        pixels, _ = draw.draw_xray(rng, patient, "PA", draw.Findings(), 160)
        image = Image.fromarray(pixels)
        path = tmp_path / "again.jpeg"
        image.resize((150, 150)).save(path, quality=60)
        for split, version in (("train", image), ("test", Image.open(path))):
            phash = perceptual_hash(version)
            items.append(Example(split, f"{number}", f"{split}{number}", f"{split}{number}", phash))
    pairs = leakage.find_near(items, 16)
    assert {(a.name, b.name) for a, b in pairs} >= {(str(n), str(n)) for n in range(25)}
    assert all(a.name == b.name for a, b in pairs)


def test_thousands_of_black_images_are_paired_with_one_each():
    """A million pairs would say no more, and take minutes."""
    items = [
        Example(split, f"{split}{i}", "", f"{split}{i}", "0" * 64)
        for split in ("train", "test")
        for i in range(20_000)
    ]
    pairs = leakage.find_near(items, 16)
    assert {e.name for pair in pairs for e in pair} == {e.name for e in items}
    assert len(pairs) < len(items)


def test_near_finds_what_comparing_every_pair_finds():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (40, 256))
    flipped = base.copy()
    for row, count in enumerate(range(40)):
        flipped[row, rng.choice(256, count, replace=False)] ^= 1

    def items(bits, split):
        hexes = [np.packbits(b).tobytes().hex() for b in bits]
        return [Example(split, f"{split}{i}", "", f"{split}{i}", h) for i, h in enumerate(hexes)]

    pairs = leakage.find_near(items(base, "train") + items(flipped, "test"), 8)
    assert [a.name for a, b in pairs] == [f"train{i}" for i in range(9)]
