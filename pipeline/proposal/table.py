"""Finds a table that tells the labels of a folder's images, and which of its columns tell what."""

import dataclasses
import itertools
import os
import posixpath
from collections.abc import Mapping, Sequence

from tfxray.components.common.errors import UserError
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings, table
from tfxray.components.manifest.columns import heading_key
from tfxray.components.manifest.manifest import MANIFEST

# By which headings columns are known, in the form of `heading_key`; the first one counts.
_HEADINGS: Mapping[str, Sequence[str]] = {
    "label": ("label", "labels", "class", "diagnosis", "finding", "findings", "findinglabels",
              "target", "category", "classname", "groundtruth"),
    "patient": ("patient", "patientid", "subject", "subjectid", "pid", "patientnumber"),
    "age": ("age", "patientage"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "view": ("view", "viewposition", "projection"),
    "site": ("site", "hospital", "institution", "center", "centre"),
    "split": ("split", "set", "fold", "subset", "partition"),
}  # fmt: skip
_KINDS = (".csv", ".tsv", ".txt", ".xlsx", ".jsonl")
_MOST_TABLES, _MOST_ROWS = 20, 20_000  # that are looked at
_LEAST = 0.5  # of a table's rows must name an image


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A table of a folder's images.

    Attributes:
        name: Its path below the folder.
        columns: What it calls a column of ours, where the names differ.
        extension: That its paths lack; empty where they have one.
        labels: The texts in its column of labels, and how many rows have each; empty where it has
            no such column.
        findings: Its columns with 0 and 1, if several tell one finding each.
        tells_patients: Whether it has a column of patients.
    """

    name: str
    columns: Mapping[str, str]
    extension: str
    labels: Mapping[str, int]
    findings: Sequence[str]
    tells_patients: bool


def find_manifest(folder: str, listing: Listing) -> tuple[Manifest | None, list[str]]:
    """Finds the table that names most of a folder's images.

    Args:
        folder: The folder.
        listing: What it holds.

    Returns:
        It, or None, `manifest.csv` before others, and those with labels before those without; and
        the tables that are not used.
    """
    every = [path for paths in listing.left_out.values() for path in paths]
    names = sorted(
        (p for p in every if os.path.splitext(p)[1].lower() in _KINDS and p.count("/") <= 1),
        key=lambda p: (p != MANIFEST, p.count("/"), p),
    )
    found = [m for name in names[:_MOST_TABLES] if (m := _read(folder, name, listing.files))]
    # The first of those that are alike.
    chosen = max(
        found, key=lambda m: (m.name == MANIFEST, bool(m.labels or m.findings)), default=None
    )
    return chosen, [name for name in names if chosen is None or name != chosen.name]


def _read(folder: str, name: str, images: Sequence[str]) -> Manifest | None:
    try:
        content = table.read_table(os.path.join(folder, name), lambda found: len(found) > 1)
        rows = [cells for _, cells in itertools.islice(content.rows, _MOST_ROWS)]
    except UserError:  # a text of another kind
        return None
    stems = {posixpath.splitext(posixpath.basename(path))[0] for path in images}
    width = len(content.columns)
    columns = [[row[n].strip() if n < len(row) else "" for row in rows] for n in range(width)]
    shares = [_share_of_images(cells, stems) for cells in columns]
    if not rows or not shares or max(shares) < _LEAST:
        return None
    place = shares.index(max(shares))
    own = {"path": content.columns[place]}
    for ours, keys in _HEADINGS.items():
        known = (h for key in keys for h in content.columns if heading_key(h) == key)
        if heading := next((h for h in known if h != own["path"]), None):
            own[ours] = heading
    by_heading = dict(zip(content.columns, columns, strict=True))
    rest = [h for h in content.columns if h and h not in own.values()]
    cells = {h for h in rest if _holds_findings(by_heading[h])}
    several = [h for h in rest if h in cells] if "label" not in own and len(cells) > 1 else []
    labels: dict[str, int] = {}
    for text in by_heading[own["label"]] if "label" in own else ():
        if text:
            labels[text] = labels.get(text, 0) + 1
    path = next(cell for cell in columns[place] if cell)
    lacks = posixpath.splitext(path)[1].lower() not in _extensions(images)
    return Manifest(
        name=name,
        columns={o: h for o, h in own.items() if heading_key(h) != o},
        extension=posixpath.splitext(images[0])[1].lstrip(".") if lacks else "",
        labels=labels,
        findings=several,
        tells_patients="patient" in own,
    )


def _extensions(images: Sequence[str]) -> set[str]:
    return {posixpath.splitext(path)[1].lower() for path in images}


def _share_of_images(cells: Sequence[str], stems: set[str]) -> float:
    """The share of a column's cells that are the names of images, with an extension or without."""
    names = [posixpath.basename(cell.replace("\\", "/")) for cell in cells if cell]
    matches = sum(name in stems or posixpath.splitext(name)[0] in stems for name in names)
    return matches / len(cells) if cells else 0.0


def _holds_findings(cells: Sequence[str]) -> bool:
    """Whether a column tells of each image whether it has a finding."""
    values = {findings.read_cell(cell) for cell in set(cells) if cell}
    return 1 in values and values <= {0, 1, -1}
