"""Finds a table that tells the labels of a folder's images, and which of its columns tell what."""

import dataclasses
import itertools
import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common.errors import UserError
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings, table
from tfxray.components.manifest.columns import heading_key
from tfxray.components.manifest.manifest import MANIFEST
from tfxray.components.metadata.patients import known_patient
from tfxray.components.metadata.split_names import SPLIT_NAMES
from tfxray.components.metadata.words import word_list
from tfxray.pipeline.proposal import class_words
from tfxray.pipeline.proposal.class_folders import MOST_CLASSES

# By which headings columns are known, in the form of `heading_key`; the first one counts.
_HEADINGS: Mapping[str, Sequence[str]] = {
    "label": ("label", "labels", "class", "diagnosis", "finding", "findings", "findinglabels",
              "target", "category", "classname", "groundtruth", "diagnose", "befund", "klasse",
              "diagnostic", "diagnostico", "diagnóstico", "clase", "classe"),
    "patient": ("patient", "patientid", "subject", "subjectid", "pid", "patientnumber",
                "patientennummer", "patientenid", "paciente"),
    "age": ("age", "patientage", "alter", "edad"),
    "sex": ("sex", "gender", "patientsex", "patientgender", "geschlecht", "sexo", "sexe"),
    "view": ("view", "viewposition", "projection"),
    "site": ("site", "hospital", "institution", "center", "centre", "klinik", "krankenhaus"),
    "split": ("split", "set", "fold", "subset", "partition"),
}  # fmt: skip
# Columns of yes and no that tell who a patient is, or what became of them, and nothing of an image.
_OF_PATIENTS = word_list("""
    male, female, man, woman, ismale, isfemale, smoker, smoking, icu, icuadmission, died
    dead, death, alive, deceased, survived, survival, intubated, ventilated, inpatient
    outpatient, pregnant, hospitalized, hospitalised, vaccinated, raucher, diabetes
    hypertension
""")
_KINDS = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".gz")
_MOST_TABLES, _MOST_ROWS = 20, 20_000  # that are looked at
_LEAST = 0.5  # of a table's rows must name an image
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A table of a folder's images.

    Attributes:
        name: Its path below the folder.
        columns: What it calls a column of ours, where the names differ.
        headings: For `ingest.headings`: what its columns are, where it has no line that says so.
        extension: That its paths lack; empty where they have one.
        root: The folders that its paths begin with, and the data folder lacks.
        labels: The texts in its column of labels, and how many rows have each; empty where it has
            no such column.
        findings: Its columns with 0 and 1, if several tell one finding each.
        sure: Whether a heading or a word says that these are labels.
        by_image: The text in its column of labels by the image's name, without folders and without
            the extension.
        tells_patients: Whether it has a column of patients.
        unread: The headings that are none of these.
        told: What a user must know, and check, a line each.
    """

    name: str
    columns: Mapping[str, str]
    headings: Sequence[str]
    extension: str
    root: str
    labels: Mapping[str, int]
    findings: Sequence[str]
    sure: bool
    by_image: Mapping[str, str]
    tells_patients: bool
    unread: Sequence[str]
    told: Sequence[str]


class Tables(NamedTuple):
    """The tables of a folder.

    Attributes:
        chosen: The one that names most of its images.
        others: Those that are not used.
        reasons: Why they are of no use, as far as they may be tables of labels, a line each.
    """

    chosen: Manifest | None
    others: list[str]
    reasons: list[str]


class _NoManifest(Exception):
    """Why a table is none of the images; an empty text where it is another thing altogether."""


def find_tables(folder: str, listing: Listing, shown: bool = True) -> Tables:
    """Finds the table that names most of a folder's images.

    `manifest.csv` counts before others, and those with labels before those without.

    Args:
        folder: The folder.
        listing: What it holds.
        shown: Whether headings and words may be told.
    """
    every = [path for paths in listing.left_out.values() for path in paths]
    names = sorted(
        (p for p in every if os.path.splitext(p)[1].lower() in _KINDS and p.count("/") <= 1),
        key=lambda p: (p != MANIFEST, p.count("/"), p),
    )
    found, reasons = [], []
    for name in names[:_MOST_TABLES]:
        try:
            found.append(_Reading(folder, name, listing.files, shown).finish())
        except _NoManifest as error:
            reasons += [f"{name if shown else 'a table'}: {error}"] if str(error) else []
    # The first of those that are alike.
    chosen = max(
        found,
        key=lambda m: (m.name == MANIFEST, bool(m.labels or m.findings), m.sure),
        default=None,
    )
    others = [name for name in names if chosen is None or name != chosen.name]
    return Tables(chosen, others, reasons)


class _Reading:
    """One table that is looked at."""

    def __init__(self, folder: str, name: str, images: Sequence[str], shown: bool):
        self.name, self.images, self.shown = name, images, shown
        self.told: list[str] = []
        self.given = False
        self.stems = {_stem(path) for path in images}
        try:
            content = table.read_table(os.path.join(folder, name), lambda found: len(found) > 1)
            rows = [cells for _, cells in itertools.islice(content.rows, _MOST_ROWS)]
        except UserError:  # a text of another kind
            raise _NoManifest from None
        self.headings = content.columns
        self.cells = _columns(rows, len(content.columns))
        place = self._place()
        heading = content.columns[place]
        self.given = _stem(heading) in self.stems or _extension(heading) in _extensions(images)
        if self.given:  # the first line is a row
            self.cells = _columns([content.columns, *rows], len(content.columns))
            self.headings = [f"column_{n + 1}" for n in range(len(content.columns))]

    def finish(self) -> Manifest:
        """What the table is.

        Raises:
            _NoManifest: None of the images.
        """
        place = self._place()
        own = {"path": self.headings[place]}
        for ours, keys in _HEADINGS.items():
            known = (h for key in keys for h in self.headings if heading_key(h) == key)
            if heading := next((h for h in known if h != own["path"]), None):
                own[ours] = heading
        self.by_heading = dict(zip(self.headings, self.cells, strict=True))
        if "split" in own and not self._tells_splits(own["split"]):
            del own["split"]
        sure = "label" in own
        rest = [h for h in self.headings if h and h not in own.values()]
        several: list[str] = []
        if not sure:
            several, sure = self._find_labels(own, rest)
        elif others := [h for h in rest if heading_key(h) in _HEADINGS["label"]]:
            self._tell(f"labels are told by the column {own['label']}, not by {others[0]}. CHECK")
        path_cells = self.cells[place]
        path = next(cell for cell in path_cells if cell)
        lacks = _extension(path) not in _extensions(self.images)
        return Manifest(
            name=self.name,
            columns={} if self.given else {o: h for o, h in own.items() if heading_key(h) != o},
            headings=self._own_headings(own) if self.given else (),
            extension=self._extension() if lacks else "",
            root=_find_root(path_cells, self.images),
            labels=Counter(t for t in self.by_heading[own["label"]] if t) if "label" in own else {},
            findings=several,
            sure=sure,
            by_image=self._by_image(path_cells, own),
            tells_patients="patient" in own
            and any(map(known_patient, set(self.by_heading[own["patient"]]))),
            unread=[h for h in self.headings if h and h not in own.values() and h not in several],
            told=self.told,
        )

    def _place(self) -> int:
        """The place of the column that names the images."""
        shares = [_share_of_images(cells, self.stems) for cells in self.cells]
        if len(shares) < 2 or not self.cells[0]:
            raise _NoManifest
        if max(shares) < _LEAST:
            raise _NoManifest(f"none of its columns{self._list(self.headings)} names the images")
        return shares.index(max(shares))

    def _tell(self, line: str) -> None:
        self.told.append(f"{self.name}: {line}" if self.shown else "the table has several columns "
                         "of labels; the config names the one that is taken. CHECK")  # fmt: skip

    def _list(self, names: Sequence[str]) -> str:
        return f" ({', '.join(names[:10])})" if self.shown and not self.given else ""

    def _tells_splits(self, heading: str) -> bool:
        """Whether all words of a column are splits: `set` may be the X-ray machine's, too."""
        words = set(map(str.lower, self.by_heading[heading]))
        return heading_key(heading) == "split" or words <= set(SPLIT_NAMES)

    def _find_labels(self, own: dict[str, str], rest: Sequence[str]) -> tuple[list[str], bool]:
        """Finds labels where no heading says which column tells them.

        Args:
            own: The columns that are known; takes the one of labels.
            rest: The other headings.

        Returns:
            The columns of findings, if several are; and whether a word says that they are labels.
        """
        told = [h for h in rest if heading_key(h) not in _OF_PATIENTS]
        cells = [h for h in told if _holds_findings(self.by_heading[h])]
        none = [h for h in cells if class_words.is_negative(h)]
        present = [h for h in cells if h not in none]
        if len(present) > 1:
            if len(none) == 1:
                own["no_finding"] = none[0]
            return present, any(map(class_words.is_known, present))
        if not present:
            present = [h for h in told if class_words.read_cells(set(self.by_heading[h]) - {""})]
        if len(present) == 1:
            own["label"] = present[0]
            self.told.append(
                f"{self.name if self.shown else 'the table'}: labels are told by yes and no in one "
                f"column{self._list(present)}. CHECK"
            )
            return [], class_words.is_known(present[0]) or bool(none)
        worded = [h for h in told if self._holds_classes(h)]
        if worded:
            own["label"] = worded[0]
            self.told.append(
                f"{self.name if self.shown else 'the table'}: labels are told by a column whose "
                f"heading does not say so{self._list(worded[:1])}. CHECK"
            )
        return [], bool(worded)

    def _holds_classes(self, heading: str) -> bool:
        words = set(self.by_heading[heading]) - {""}
        known = [word for word in words if not word.isdigit() and class_words.is_known(word)]
        return 2 <= len(words) <= MOST_CLASSES and len(known) > len(words) / 2

    def _own_headings(self, own: Mapping[str, str]) -> list[str]:
        self.told.append(
            f"{self.name if self.shown else 'the table'}: has no line of headings: what its "
            "columns are is guessed (ingest.headings). CHECK"
        )
        ours = {heading: name for name, heading in own.items()}
        return [ours.get(heading, heading) for heading in self.headings]

    def _extension(self) -> str:
        counts = Counter(posixpath.splitext(path)[1].lstrip(".") for path in self.images)
        extension, most = counts.most_common(1)[0]
        if most < len(self.images):
            self.told.append(
                f"{self.name if self.shown else 'the table'}: its paths lack an extension, and "
                f"images have several ({', '.join(sorted(counts))}). ingest.extension takes one: "
                f"images other than .{extension} are not found. Write whole names into the table"
            )
        return extension

    def _by_image(self, paths: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
        labels = self.by_heading[own["label"]] if "label" in own else ()
        return {_stem(p): text for p, text in zip(paths, labels, strict=False) if p and text}


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [[row[n].strip() if n < len(row) else "" for row in rows] for n in range(width)]


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path.replace("\\", "/")))[0]


def _find_root(cells: Sequence[str], images: Sequence[str]) -> str:
    """The folders that absolute paths begin with, and the data folder lacks; else empty."""
    paths = [cell.replace("\\", "/") for cell in cells if cell]
    if not any(map(_ABSOLUTE.match, paths)):
        return ""
    own: dict[str, list[str]] = {}
    for image in images:
        own.setdefault(_stem(image), []).append(image)
    roots: Counter[str] = Counter()
    for path in paths:
        folders = path.split("/")[:-1]
        for image in own.get(_stem(path), ()):
            below = image.split("/")[:-1]
            shared = 0
            while (
                shared < min(len(folders), len(below))
                and folders[-1 - shared] == below[-1 - shared]
            ):
                shared += 1
            roots["/".join(folders[: len(folders) - shared])] += 1
    root = max(roots, key=lambda name: (roots[name], len(name)), default="")
    return root if root and all(path.startswith(f"{root}/") for path in paths) else ""


def _extensions(images: Sequence[str]) -> set[str]:
    return set(map(_extension, images)) - {""}


def _extension(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _share_of_images(cells: Sequence[str], stems: set[str]) -> float:
    """The share of a column's cells that are the names of images, with an extension or without."""
    names = [posixpath.basename(cell.replace("\\", "/")) for cell in cells if cell]
    matches = sum(name in stems or posixpath.splitext(name)[0] in stems for name in names)
    return matches / len(cells) if cells else 0.0


def _holds_findings(cells: Sequence[str]) -> bool:
    """Whether a column tells of each image whether it has a finding."""
    values = {findings.read_cell(cell) for cell in set(cells) if cell}
    return 1 in values and values <= {0, 1, -1}
