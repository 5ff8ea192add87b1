"""How a manifest is read: the part of the config's `ingest` that is about tables."""

import dataclasses
from collections.abc import Mapping, Sequence

# What a column may be called in `ingest.columns`: texts by a name of ours. A list has the headings
# of which the first that holds something counts.
Columns = Mapping[str, str | Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Join:
    """A table that tells more of a manifest's rows.

    Attributes:
        table: Its path below the folder, or a glob that one file matches; or several of these, of
            which the first counts that is there.
        by: The headings of the manifest by which its rows belong to it, each with its own of the
            same column.
    """

    table: str | Sequence[str]
    by: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a manifest is found and read; see the config's `ingest`.

    Attributes:
        name: Its file's, below the folder; or several files', which make one table; or one by each
            split; None for `manifest.csv`, if there is one. A name may be a glob.
        separator: Of its cells; None where it is to be found.
        headings: Of its columns, where no line of it has them.
        columns: Its own headings of the columns that are read, by our names for them.
        joins: Further tables.
        keep: The words that a column must have, by its heading; other rows are left out.
        root: A folder that is put before its paths, or taken off them.
        strip: Globs of the first folders of its paths, which are taken off.
        extension: Of the files, where its paths lack it.
        with_splits: Whether its column `split` counts.
        findings: Whether an image has them, a column of each may tell.
        values: What a cell of a finding's own column means, where it is a word of its own.
        several: Whether rows of one image may tell different labels.
        root_of_lists: Whether `root` may be meant for the files that list a split's images.
        split_words: What words of its column `split` mean that are none of ours, in small letters.
    """

    name: str | Sequence[str] | Mapping[str, str] | None = None
    separator: str | None = None
    headings: tuple[str, ...] = ()
    columns: Columns = dataclasses.field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    keep: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    root: str = ""
    strip: tuple[str, ...] = ()
    extension: str = ""
    with_splits: bool = True
    findings: tuple[str, ...] = ()
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    several: bool = False
    root_of_lists: bool = False
    split_words: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_given(self) -> bool:
        """Whether the config says how a manifest is read."""
        root = self.root and not self.root_of_lists
        return bool(self.columns or root or self.extension or self.joins or self.headings)

    def names(self) -> list[tuple[str | None, str]]:
        """The manifest's files, each with the split of its rows, or None."""
        if self.name is None:
            return []
        if isinstance(self.name, str):
            return [(None, self.name)]
        if isinstance(self.name, Mapping):
            return list(self.name.items())
        return [(None, name) for name in self.name]
