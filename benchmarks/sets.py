"""The sets that bench.py measures on: real X-rays where they are at hand, else drawn ones."""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

FIELDS = ("path", "label", "patient")
_KINDS = {".png", ".jpg", ".jpeg"}
# Of an image, up to seven more: turned and mirrored, so that none is a duplicate of another.
_TURNS = (
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270, Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)  # fmt: skip

Row = tuple[str, str, str]


def draw_set(folder: Path, images: int) -> Path:
    """Draws X-rays of 224 pixels."""
    from tfxray.components.sample.draw import write_sample

    write_sample(folder, images, 224, 0)
    return folder


def take_set(source: Path, pattern: str, folder: Path, images: int) -> Path:
    """Takes X-rays from a folder of class folders; more than it holds come turned, of new patients.

    Args:
        source: The folder; an image's class is its folder's name.
        pattern: Whose groups, joined, are the patient.
        folder: The set to write, with its manifest.csv.
        images: How many.

    Raises:
        SystemExit: There are not so many, even turned.
    """
    rows = list(_rows(source, pattern))
    if images > len(rows) * (1 + len(_TURNS)):
        raise SystemExit(f"{source}: {len(rows)} images make no {images}, turned and mirrored")
    # Every so-many-th, so that a small set has all classes.
    source_rows = rows[:: max(1, len(rows) // images)][:images]
    rows_of_set: list[Row] = []
    for number in range(images):
        path, label, patient = source_rows[number % len(source_rows)]
        turn = number // len(source_rows)
        target = folder / label / f"{number:06d}{Path(path).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if turn:
            with Image.open(source / path) as image:
                image.convert("L").transpose(_TURNS[turn - 1]).save(target, quality=92)
        else:
            shutil.copyfile(source / path, target)
        rows_of_set.append((str(target.relative_to(folder)), label, f"{patient}-{turn}"))
    with (folder / "manifest.csv").open("w", newline="") as manifest:
        csv.writer(manifest).writerows([FIELDS, *rows_of_set])
    return folder


def _rows(source: Path, pattern: str) -> Iterator[Row]:
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in _KINDS:
            match = re.search(pattern, path.name)
            patient = "-".join(part or "" for part in match.groups()) if match else path.name
            yield str(path.relative_to(source)), path.parent.name, patient
