"""Drawn X-rays in the layouts of public data sets."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfxray.components.sample import several

NIH_HEADING = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_OPACITIES = ("Lobar opacity", "Patchy opacity", "Interstitial opacity")


def _draw(folder: Path, images: int, size: int) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """Drawn X-rays with their rows; a patient is a number. They are gone afterwards."""
    drawn = folder / "drawn"
    several.write_findings(drawn, images=images, size=size, seed=3)
    with (drawn / "manifest.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            yield drawn / row["path"], int(row["patient"][1:]), row
    shutil.rmtree(drawn)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def nih(folder: Path, names: Sequence[str], images: int = 80, size: int = 64) -> dict[str, list]:
    """NIH ChestX-ray14, as Kaggle packs it.

    Args:
        folder: Where it is made.
        names: Findings. Those that are not drawn are told by chance.
        images: How many.
        size: Of each, in pixels.

    Returns:
        The images of each list of the official split.
    """
    random, rows = np.random.default_rng(3), []
    lists: dict[str, list] = {"train_val": [], "test": []}
    for number, (path, patient, row) in enumerate(_draw(folder, images, size)):
        name = f"{patient:08d}_{number:03d}.png"
        _place(path, folder / f"images_{1 + number % 2:03d}" / "images" / name)
        found = [n for n in names if row.get(n, str(int(random.random() < 0.2))) == "1"]
        rows.append([name, "|".join(found) or "No Finding", number, patient, row["age"], row["sex"],
                     row["view"], size, size, 0.1, 0.1])  # fmt: skip
        lists["test" if patient % 4 == 0 else "train_val"].append(name)
    with (folder / "Data_Entry_2017_v2020.csv").open("w", newline="") as table:
        table.write(f"{NIH_HEADING}\n")
        csv.writer(table).writerows(rows)
    for split, listed in lists.items():
        (folder / f"{split}_list.txt").write_text("\n".join(listed))
    return lists


def chexpert(folder: Path, images: int = 300, size: int = 64) -> None:
    """CheXpert, small, with laterals, uncertain labels and empty cells.

    Args:
        folder: Where the archive's own folder is made.
        images: How many.
        size: Of each, in pixels.
    """
    drawn = {
        "Cardiomegaly": "Cardiomegaly", "Pleural Effusion": "Effusion",
        "Pneumothorax": "Pneumothorax", "Lung Opacity": "Lobar opacity",
    }  # fmt: skip
    findings = [
        "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
        "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
        "Pleural Other", "Fracture", "Support Devices",
    ]  # fmt: skip
    tables: dict[str, list] = {"train": [], "valid": []}
    cells = {"1": "1.0", "0": "0.0", "-1": "-1.0", "": ""}
    for number, (path, patient, row) in enumerate(_draw(folder, images, size)):
        split = "valid" if patient % 4 == 0 else "train"
        lateral = number % 10 == 9
        name = f"view1_{'lateral' if lateral else 'frontal'}.jpg"
        image = f"{split}/patient{patient:05d}/study{number}/{name}"
        _place(path, folder / "CheXpert-v1.0-small" / image)
        told = {name: cells[row[ours]] for name, ours in drawn.items()}
        if not any(told[name] in ("1.0", "-1.0") for name in drawn):
            told = {"No Finding": "1.0"}
        tables[split].append([
            f"CheXpert-v1.0-small/{image}", {"F": "Female", "M": "Male"}.get(row["sex"], "Unknown"),
            row["age"] or "0", "Lateral" if lateral else "Frontal",
            "" if lateral else row["view"] or "AP", *(told.get(name, "") for name in findings),
        ])  # fmt: skip
    for split, rows in tables.items():
        path = folder / "CheXpert-v1.0-small" / f"{split}.csv"
        with path.open("w", newline="") as table:
            csv.writer(table).writerows(
                [["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *findings], *rows]
            )


def covid19_radiography(folder: Path, images: int = 400, size: int = 64) -> None:
    """The COVID-19 Radiography Database, with masks that have the images' names.

    Args:
        folder: Where the archive's own folder is made.
        images: How many are drawn; those with several opacities are left out.
        size: Of each, in pixels.
    """
    classes = dict(zip(_OPACITIES, ("Lung_Opacity", "COVID", "Viral Pneumonia"), strict=True))
    counts: dict[str, int] = {}
    for path, _, row in _draw(folder, images, size):
        told = [classes[name] for name in _OPACITIES if row[name] == "1"]
        if len(told) > 1 or any(row[name] == "-1" for name in _OPACITIES):
            continue
        label = told[0] if told else "Normal"
        counts[label] = counts.get(label, 0) + 1
        for kind in ("images", "masks"):
            place = folder / "COVID-19_Radiography_Dataset" / label / kind
            _place(path, place / f"{label}-{counts[label]}.png")
