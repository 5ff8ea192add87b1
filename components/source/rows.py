"""What is known of an image file before it is read, and the rules by which it is found out."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits
from tfxray.components.manifest.findings import SEPARATOR, Words
from tfxray.components.manifest.layout import Columns, Join, Layout
from tfxray.components.source.several import REFUSE


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One image file and what is known of it.

    Attributes:
        path: Below the source folder, with `/`.
        label: The class's name, as found; None where nothing tells.
        split: `train`, `eval`, `test`, or None where no split is given.
        metadata: `patient`, `age`, `sex`, `view`, `site`, as found; absent where unknown.
        eval_share: Where `eval` is drawn by patient, its share; see `splits.draw_split`. The split
            is drawn already if the patient is known; a DICOM file's is known when it is read.
        findings: In the place of a label: 1, 0 or -1 (uncertain) of those findings of which
            something is known. None where findings are not asked for, or nothing is known of them;
            `label` then holds the words that mean none of them, if there are such.
        detail: Why it has no label, where that is known; for `rejects.csv`.
    """

    path: str
    label: str | None
    split: str | None
    metadata: Mapping[str, str]
    eval_share: float | None = None
    findings: Mapping[str, int] | None = None
    detail: str = ""

    def cells(self) -> tuple[Any, ...]:
        """The values of its fields, in their order."""
        return _CELLS(self)

    @property
    def labelled(self) -> bool:
        """Whether anything is said of what the image shows."""
        return bool(self.label or self.findings)


_CELLS = operator.attrgetter(*(field.name for field in dataclasses.fields(Row)))


@dataclasses.dataclass(frozen=True)
class Rules:
    """How labels and metadata are found; see the config's `ingest` and `split`.

    Attributes:
        dataset: The public data set that these are the rules of; empty of any other folder. Then an
            image without a row is a reject.
        whole: Whether an image must have each of the classes or findings; else those count that
            images have.
        eval_share: Of the patients in `train`, for `eval`, where only `train` and `test` are given.
        tolerated: Up to this share of images may have a label that is none of the classes: they
            are set aside. More of them are taken for a mistake in the config.
        limits: What one file may take.
        near_distance: Images whose perceptual hashes differ in at most so many bits go to one of
            the splits that are drawn.
    """

    classes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    manifest: str | Sequence[str] | Mapping[str, str] | None = None
    separator: str | None = None
    headings: tuple[str, ...] = ()
    columns: Columns = dataclasses.field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    keep: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    root: str = ""
    strip: tuple[str, ...] = ()
    extension: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_links: bool = False
    pattern: str | None = None
    labels: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    label_separator: str = SEPARATOR
    label_parts: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    blank: str = "unknown"
    several: str = REFUSE
    views: tuple[str, ...] = ()
    unknown: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    meanings: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dataset: str = ""
    whole: bool = True
    ignore_given: bool = False
    eval_from_train: float | None = None
    split_lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split_words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    eval_share: float = 0.15
    tolerated: float = 0.0
    limits: Limits = DEFAULT_LIMITS
    near_distance: int = 16

    @property
    def layout(self) -> Layout:
        """How a manifest is read."""
        return Layout(
            name=self.manifest,
            separator=self.separator,
            headings=self.headings,
            columns=self.columns,
            joins=self.joins,
            keep=self.keep,
            root=self.root,
            strip=self.strip,
            extension=self.extension,
            with_splits=not self.ignore_given,
            findings=self.findings,
            values=self.values,
            several=self.several != REFUSE,
            root_of_lists=bool(self.split_lists or self.dataset),
            split_words=self.split_words,
        )

    @property
    def words(self) -> Words:
        """How words for classes and findings are read."""
        return Words(self.labels, self.label_separator, self.label_parts, self.values, self.blank)
