"""Leakage is found by a Beam job as comparing everything with everything finds it."""

import itertools
from collections import defaultdict

import apache_beam as beam
import numpy as np
from PIL import Image

from tfxray.components.common import contract
from tfxray.components.example_gen.fingerprints import Row
from tfxray.components.pixels.image import perceptual_hash
from tfxray.components.sample import draw
from tfxray.components.validation import leakage

FOUND = []


def keep(element):
    """By its name, Beam's workers in this process call the very same."""
    FOUND.append(element)


def find(rows, distance=16):
    FOUND.clear()
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | leakage.FindLeaks(beam.Create(list(rows), reshuffle=False), distance)
            | beam.Map(keep)
        )
    (leaks,) = FOUND
    for kind, of_kind in leaks.items():
        # The pairs that a page shows are those that the texts tell.
        assert len(of_kind.pairs) == (0 if kind == "patients" else min(6, len(of_kind.texts)))
        for pair, text in zip(of_kind.pairs, of_kind.texts, strict=False):
            assert pair[0][0] != pair[1][0]
            if "…" not in text:
                assert {f"{split}: {name}" for split, name in pair} <= {
                    *text.strip("()").split("; ")
                }
    return {kind: (of_kind.total, of_kind.texts) for kind, of_kind in leaks.items()}


def every_leak(rows, distance):
    """The same, told in the words of the docstring, for few rows."""
    rows = sorted(rows, key=lambda row: (contract.SPLITS.index(row.split), row.name, row.sha256))
    found = {}
    for kind, key in (("patients", "patient"), ("identical", "sha256")):
        groups = defaultdict(list)
        for row in rows:
            groups[getattr(row, key)].append(row)
        several = [v for v in sorted(groups) if v and len({r.split for r in groups[v]}) > 1]
        found[kind] = [(value, {(r.split, r.name) for r in groups[value]}) for value in several]
    holders = defaultdict(lambda: defaultdict(dict))
    for i, row in enumerate(rows):
        if row.phash:
            holders[row.phash.lower()][row.split].setdefault(row.sha256, i)
    pairs = set()
    for one, other in itertools.product(holders, holders):
        if (int(one, 16) ^ int(other, 16)).bit_count() > distance:
            continue
        for split, images in holders[one].items():
            for other_split, partners in holders[other].items():
                for sha256, i in images.items():
                    places = [j for digest, j in partners.items() if digest != sha256]
                    if split != other_split and places:
                        pairs.add((min(i, places[0]), max(i, places[0])))
    found["near_identical"] = [
        ("", {(rows[k].split, rows[k].name) for k in pair}) for pair in sorted(pairs)
    ]
    return found


def in_words(value, places):
    texts = sorted(f"{split}: {name}" for split, name in places)
    ending = "; …)" if len(texts) > 4 else ")"
    return (f"{value} " if value else "") + f"({'; '.join(texts[:4])}{ending}"


def test_a_patient_or_image_in_two_splits_is_found_and_within_one_is_not():
    rows = [
        Row("train", "a", "p1", "x"), Row("train", "b", "p1", "x"),
        Row("test", "c", "p2", "y"), Row("eval", "d", "p2", "z"),
        Row("train", "e", "", "z"), Row("test", "f", "", ""),
        Row("eval", "g", "", ""),
    ]  # fmt: skip
    assert find(rows) == {
        "patients": (1, ["p2 (eval: d; test: c)"]),
        "identical": (1, ["(eval: d; train: e)"]),
    }


def test_all_is_found_that_comparing_everything_finds_in_any_order():
    rng = np.random.default_rng(4)
    centres = rng.integers(0, 2, (25, 256), np.uint8)
    rows = []
    for number in range(500):
        bits = centres[rng.integers(25)] ^ (rng.random(256) < rng.choice([0, 0.02])).astype(
            np.uint8
        )
        phash = np.packbits(bits).tobytes().hex() if rng.random() < 0.95 else ""
        sha256 = f"s{rng.integers(400)}" if rng.random() < 0.95 else ""
        split = str(rng.choice(contract.SPLITS, p=(0.9, 0.05, 0.05)))
        rows.append(Row(split, f"n{number:03}", f"p{rng.integers(300)}", sha256, phash))
    leaks = find(rows)
    expected = every_leak(rows, 16)
    for kind, groups in expected.items():
        patients = kind == "patients"
        texts = [in_words(value if patients else "", places) for value, places in groups]
        assert len(texts) > (leakage.LISTED if kind == "near_identical" else 10)
        assert leaks[kind] == (len(texts), texts[: leakage.LISTED])
    rng.shuffle(rows)
    assert find([Row(*row) for row in rows]) == leaks


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
            items.append(Row(split, f"{number}", f"{split}{number}", f"{split}{number}", phash))
    total, texts = find(items)["near_identical"]
    assert total == len(texts) >= 25
    assert set(texts) <= {f"(test: {n}; train: {n})" for n in range(30)}


def test_thousands_of_black_images_are_paired_with_one_each():
    """A million pairs would say no more, and take minutes."""
    items = [
        Row(split, f"{split}{i:04}", "", f"{split}{i}", "0" * 64)
        for split in ("train", "test")
        for i in range(2000)
    ]
    total, texts = find(items)["near_identical"]
    assert total == 2 * 2000 - 1
    assert texts[0] == "(test: test0000; train: train0000)"
    assert texts[-1] == "(test: test0049; train: train0000)"


def test_near_finds_what_comparing_every_pair_finds():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (40, 256))
    flipped = base.copy()
    for row, count in enumerate(range(40)):
        flipped[row, rng.choice(256, count, replace=False)] ^= 1

    def items(bits, split):
        hexes = [np.packbits(b).tobytes().hex() for b in bits]
        return [Row(split, f"{i}", "", f"{split}{i}", h) for i, h in enumerate(hexes)]

    leaks = find(items(base, "train") + items(flipped, "test"), 8)
    assert leaks == {"near_identical": (9, [f"(test: {i}; train: {i})" for i in range(9)])}
