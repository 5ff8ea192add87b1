import csv

import numpy as np
from PIL import Image

from tfxray.components.sample import draw


def test_the_same_seed_draws_the_same_images_and_another_does_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw.write_sample(tmp_path / name, images=6, size=64, seed=seed)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    same = [(tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files]
    other = (tmp_path / "c" / "manifest.csv").read_bytes()
    assert len(files) == 7
    assert all(same)
    assert other != (tmp_path / "a" / "manifest.csv").read_bytes()


def test_the_manifest_lists_patients_of_two_sites_with_several_images(drawn):
    rows = list(csv.DictReader((drawn / "manifest.csv").open()))
    patients = {row["patient"] for row in rows}
    assert len(rows) == 300
    assert 75 <= len(patients) < 300
    assert {row["site"] for row in rows} == {"north", "south"}
    assert {row["sex"] for row in rows} == {"F", "M"}
    assert {row["view"] for row in rows} == {"PA", "AP"}
    assert {row["label"] for row in rows} == {"NORMAL", "PNEUMONIA"}
    assert all((drawn / row["path"]).is_file() for row in rows)


def test_an_opacity_brightens_the_lung_where_its_mask_says():
    rng = np.random.default_rng(0)
    patient = draw.draw_patient(rng, 0)
    for kind in draw.OPACITIES:
        findings = draw.Findings(opacity=kind, strength=0.4)
        with_it, mask = draw.draw_xray(np.random.default_rng(5), patient, "PA", findings, 128)
        without, none = draw.draw_xray(
            np.random.default_rng(5), patient, "PA", draw.Findings(), 128
        )
        inside = mask > 0.5
        assert not none.any()
        assert with_it[inside].mean() > without[inside].mean() + 15, kind


def test_sites_differ_in_sharpness(drawn):
    rows = list(csv.DictReader((drawn / "manifest.csv").open()))
    edges = {"north": [], "south": []}
    for row in rows[:80]:
        pixels = np.asarray(Image.open(drawn / row["path"]), float)
        edges[row["site"]].append(np.abs(np.diff(pixels)).mean())
    assert np.mean(edges["north"]) > 1.1 * np.mean(edges["south"])
