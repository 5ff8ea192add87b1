"""Draws X-rays with several findings each, some of which nobody is sure of, or nobody tells."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from tfxray.components.disk import durable
from tfxray.components.sample import draw

# By their names in the manifest: the field of a `draw.Findings`, or the kind of an opacity.
FINDINGS = {
    "Effusion": "effusion", "Cardiomegaly": "cardiomegaly", "Nodule": "nodule",
    "Pneumothorax": "pneumothorax", "Lobar opacity": "lobar", "Patchy opacity": "patchy",
    "Interstitial opacity": "interstitial",
}  # fmt: skip
_COLUMNS = ("path", "patient", "age", "sex", "view", "site")
_SHARE, _OPACITY = 0.25, 0.5  # of the images with each finding, and with an opacity
# Of the labels, so many say that nobody is sure, and so many say nothing. Who reports an X-ray is
# seldom unsure of what is plainly absent.
_UNCERTAIN = {1: 0.1, 0: 0.03}
_UNKNOWN = 0.1


def write_findings(out: Path, images: int = 1200, size: int = 160, seed: int = 0) -> int:
    """Draws a set with a manifest that has a column for each of `FINDINGS`.

    Patients have one to four images each, with findings of their own.

    Args:
        out: Folder for `images/` and `manifest.csv`; made if missing.
        images: How many to draw.
        size: Width and height in pixels.
        seed: The same seed draws the same images.

    Returns:
        The number of patients drawn.
    """
    rng = np.random.default_rng([seed, len(FINDINGS)])
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    patients = 0
    while len(rows) < images:
        patient = draw.draw_patient(rng, patients)
        view = str(rng.choice(["PA", "AP"], p=[0.7, 0.3]))
        for number in range(min(int(rng.integers(1, 5)), images - len(rows))):
            findings = draw_findings(rng)
            pixels, _ = draw.draw_xray(rng, patient, view, findings, size)
            path = f"images/{patient.id}_{number}.png"
            Image.fromarray(pixels).save(out / path, compress_level=1)
            traits = (patient.id, patient.age, patient.sex, view, patient.site.name)
            rows.append((path, *traits, *report(rng, findings)))
        patients += 1
    durable.sync_tree(out)
    with durable.fresh_file(out / draw.MANIFEST) as fresh, fresh.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *FINDINGS))
        writer.writerows(rows)
    return patients


def draw_findings(rng: np.random.Generator) -> draw.Findings:
    """The findings of one image, each independent of the others; strengths as of a sample's."""
    present = {
        name: bool(rng.random() < _SHARE)
        for name in FINDINGS.values()
        if name not in draw.OPACITIES
    }
    opacity = str(rng.choice(draw.OPACITIES)) if rng.random() < _OPACITY else None
    strength = float(np.clip(rng.lognormal(-1.75, 0.5), 0.04, 0.5))
    return draw.Findings(opacity=opacity, strength=strength, **present)


def tell_truth(findings: draw.Findings) -> list[int]:
    """1 or 0 for each of `FINDINGS`."""
    return [
        int(findings.opacity == name if name in draw.OPACITIES else getattr(findings, name))
        for name in FINDINGS.values()
    ]


def report(rng: np.random.Generator, findings: draw.Findings) -> list[int | str]:
    """What a manifest says of each of `FINDINGS`: 1, 0, -1 for uncertain, or nothing."""
    cells: list[int | str] = []
    for value in tell_truth(findings):
        chance = rng.random()
        if chance < _UNKNOWN:
            cells.append("")
        else:
            cells.append(-1 if chance < _UNKNOWN + _UNCERTAIN[value] else value)
    return cells
