"""A public data set as it comes: what `ingest.dataset` stands for."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfxray.components.source.labelling import ReadBeside


@dataclasses.dataclass(frozen=True)
class Mark:
    """A file by which a layout is known.

    Attributes:
        files: A glob below the data set's own folder, or several; at least one file or folder
            matches one of them.
        headings: What the first line of a table among them has; `a or b` for one of two.
        line: In its place: a regular expression that the first line of such a file matches.
        example: Of such a line, for messages.
        absent: That no file or folder matches is what the layout is known by.
    """

    files: str | tuple[str, ...]
    headings: tuple[str, ...] = ()
    line: str = ""
    example: str = ""
    absent: bool = False

    @property
    def globs(self) -> tuple[str, ...]:
        """Those of its files."""
        return (self.files,) if isinstance(self.files, str) else self.files


@dataclasses.dataclass(frozen=True)
class Dataset:
    """How a public data set is read.

    Most of it is a part of a config: the same keys are open to any other data. What no config can
    say is `read_beside`.

    Attributes:
        name: For `ingest.dataset`.
        title: What people call it.
        size: How much it is, in words.
        licence: Its terms of use, in short; those at the address are binding.
        citation: Whom to cite.
        address: Where it is to be had.
        marks: By which its layout is known; all of them must be there.
        images: Globs of its images below its own folder, for messages and to tell a half copy.
        names: A regular expression of its images' paths, if they tell: for who has lost the table.
        classes: Of which an image has exactly one, the negative one first.
        findings: In the place of classes: those that an image may have.
        ingest: Keys of the config's section `ingest`; what a user writes there counts more.
        split: Keys of the config's section `split`, which give the official split; empty where
            there is none, or folders or a table give it.
        official: The official split, in words; empty where there is none.
        left_out: What the reader leaves out, and why, a line each; and what else a reviewer should
            know of its labels.
        read_beside: Reads metadata that lies in files of their own; see `labelling.label_images`.
    """

    name: str
    title: str
    size: str
    licence: str
    citation: str
    address: str
    marks: tuple[Mark, ...]
    images: tuple[str, ...]
    names: str = ""
    classes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    ingest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    official: str = ""
    left_out: Sequence[str] = ()
    read_beside: ReadBeside | None = None

    @property
    def labels(self) -> str:
        """What its labels are, in a few words."""
        if self.findings:
            return f"{len(self.findings)} findings"
        return f"{len(self.classes)} classes ({', '.join(self.classes)})"

    def describe(self) -> dict[str, Any]:
        """What a page or a card says of it."""
        return {
            "name": self.name, "title": self.title, "size": self.size, "licence": self.licence,
            "citation": self.citation, "address": self.address, "official": self.official,
            "left_out": list(self.left_out),
        }  # fmt: skip
