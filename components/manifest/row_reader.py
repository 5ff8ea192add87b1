"""Reads the rows of one file of a manifest, with what other tables tell of each."""

import os
import re
from collections.abc import Collection, Iterator, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.contract import METADATA
from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.listing.file_list import Listing
from tfxray.components.listing.left_out import match_glob
from tfxray.components.manifest import columns, joins, table
from tfxray.components.manifest.columns import COLUMNS, Column, Headings
from tfxray.components.manifest.layout import Join, Layout

WITHHELD = "not shown, since there is DICOM among the images and names may be patients'"
_SHOWN = 5  # lines of a table that an error names
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".gz")  # by their names


def find_table(source: str, name: str, listing: Listing, key: str) -> str:
    """The path of a table.

    Args:
        source: The folder.
        name: The table's, below the folder, or a glob that one file matches.
        listing: What the folder holds.
        key: The config's, for the error.

    Raises:
        UserError: There is none, or a glob matches several.
    """
    path = os.path.join(source, name)
    if filesystem.is_file(path):
        return path
    if not re.search(r"[*?[]", name):
        every = [*listing.files, *(p for paths in listing.left_out.values() for p in paths)]
        tables = [p for p in every if os.path.splitext(p)[1].lower() in _TABLES]
        raise UserError(f"{path}: no such manifest ({key}){did_you_mean(name, tables)}")
    found = _matches(source, name, listing)
    if len(found) == 1:
        return os.path.join(source, found[0])
    if not found:
        raise UserError(f"{path}: no file matches ({key})")
    raise UserError(
        f"{path}: {len(found)} files match: {', '.join(found[:_SHOWN])}. Name the one that is "
        f"meant ({key})"
    )


def _matches(source: str, name: str, listing: Listing) -> list[str]:
    """The files, below the folder, that a table's name means."""
    if filesystem.is_file(os.path.join(source, name)):
        return [name]
    match = match_glob(f"/{name}")
    every = [*listing.files, *(p for paths in listing.left_out.values() for p in paths)]
    return sorted(path for path in every if match(path))


class RowReader:
    """One file of a manifest.

    Attributes:
        path: Its own.
        split: Of all its rows, or None.
        headings: Of the file's own columns.
        joined: The paths of the tables that are joined to it.
        columns: Those that are read, by our names.
        lacking: Those that the config names and the table has not.
        notes: What the user should know, complete when all rows are read.
    """

    def __init__(
        self, source: str, path: str, split: str | None, layout: Layout, listing: Listing,
        withheld: bool,
    ):  # fmt: skip
        """Opens it, and the tables that are joined to it.

        Raises:
            UserError: It cannot be read, or lacks a column.
        """
        self.path, self.split = path, split
        self.notes: list[str] = []
        self._layout, self._withheld = layout, withheld
        names = [*COLUMNS, *layout.findings]
        if not layout.with_splits:
            names.remove("split")  # rows may then name several splits of one image

        def has_path(found: Sequence[str]) -> bool:
            return "path" in columns.find_columns(["path"], layout.columns, Headings([found]))[0]

        self._table = table.read_table(path, has_path, layout.separator, layout.headings)
        needed = [*_headings_of(layout, names), *layout.keep]
        self.headings = self._table.columns
        self.joined = [self._find_joined(source, join, listing) for join in layout.joins]
        self._joins = [
            joins.JoinedTable(joined, join, needed, withheld)
            for joined, join in zip(self.joined, layout.joins, strict=True)
        ]
        own = Headings([self._table.columns])
        self._keys = [
            joins.find_keys(path, [name for name, _ in join.by], own, withheld)
            for join in layout.joins
        ]
        above = [self._table.columns]
        for table_below in self._joins:
            self.notes += table_below.refuse_hidden(above, needed)
            above.append(table_below.headings)
        self._headings = Headings([self._table.columns, *(j.headings for j in self._joins)])
        self.columns, self.lacking = columns.find_columns(names, layout.columns, self._headings)
        self._refuse_columns()
        self._keep = self._find_kept()

    def refuse_lacking(self, others: Collection[str]) -> None:
        """Sees that columns that the config names are there, in this table or in another one.

        Args:
            others: Those that other tables of the manifest have, by our names.

        Raises:
            UserError: No table has one.
        """
        for name, column in self.lacking.items():
            wanted = " or ".join(map(repr, column.lacking))
            where = f"has no column {wanted} (ingest.columns.{name})"
            if name not in others:
                near = self._near(column.lacking)
                raise UserError(f"{self.path}: {where}{near}{self._shown('; has: ')}")
            self.notes.append(f"{where}, which another table has")

    def rows(self, files: Collection[str]) -> Iterator[tuple[int, dict[str, str], bool]]:
        """Each row's line, its cells by our names, without empty ones, and whether it is kept.

        Args:
            files: The folder's, by which a row is known that a quotation mark swallowed.

        Raises:
            UserError: A row is none.
        """
        width = len(self._table.columns)
        own = [p for column in self.columns.values() for p in column.places if p < width]
        needed = max(own, default=0) + 1
        long, short = [], []
        getters = [(name, column.read) for name, column in self.columns.items()]
        read_path = self.columns["path"].read

        def is_row(cells: list[str]) -> bool:
            return read_path(cells) in files

        self._count = 0
        for line, cells in self._table.rows:
            self._count += 1
            swallowed = table.find_swallowed(line, cells, self._table.separator, is_row)
            if swallowed:
                raise UserError(
                    f"{self.path}: line {line}: a quotation mark opens a cell that swallows line "
                    f"{swallowed}, a row of its own. Close it on its line"
                )
            if len(cells) > width and any(c.strip() for c in cells[width:]):
                long.append(line)
            if len(cells) < needed:
                short.append(line)
            if self._joins:
                cells = [*cells[:width], *[""] * (width - len(cells))]
                for joined, places in zip(self._joins, self._keys, strict=True):
                    key = tuple(cells[place].strip() for place in places)
                    cells += joined.cells(key)
            values = {name: text for name, read in getters if (text := read(cells))}
            if self.split and self._layout.with_splits:
                values["split"] = self.split
            yield line, values, not self._keep or self._is_kept(cells)
        if long:
            raise UserError(
                f"{self.path}: {len(long)} rows have more cells than the {width} headings: "
                f"{list_lines(long)}. Mend them"
            )
        if short:  # as some programs write them: what is lacking is unknown
            self.notes.append(
                f"{len(short)} rows end before the columns that are read: {list_lines(short)}"
            )
        self._note_rest()

    def _find_joined(self, source: str, join: Join, listing: Listing) -> str:
        """The path of a table that is joined; of several, the first that is there."""
        names = [join.table] if isinstance(join.table, str) else join.table
        there = [name for name in names if _matches(source, name, listing)]
        if there and there[0] != names[0]:
            self.notes.append(f"{there[0]} is joined to it, since there is no {names[0]}")
        if not there and len(names) > 1:
            path = os.path.join(source, " or ".join(names))
            raise UserError(f"{path}: no file matches (ingest.joins)")
        return find_table(source, (there or names)[0], listing, "ingest.joins")

    def _note_rest(self) -> None:
        for joined in self._joins:
            self.notes += joined.note(self._count)
        others = [*self._layout.keep, *(name for join in self._layout.joins for name, _ in join.by)]
        unread = columns.unread(self.columns, self._headings, others)
        if self._table.encoding == "cp1252":
            self.notes.append("is not UTF-8, and was read as cp1252 (Windows in Western Europe)")
        if unread and not self._withheld:
            more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
            self.notes.append(f"columns that are not read: {', '.join(unread[:10])}{more}")

    def _find_kept(self) -> list[tuple[Column, frozenset[str]]]:
        kept = []
        for heading, words in self._layout.keep.items():
            column = Column([heading], self._headings)
            if not column.found:
                raise UserError(
                    f"{self.path}: has no column {heading!r} (ingest.keep)"
                    f"{self._near([heading])}{self._shown('; has: ')}"
                )
            kept.append((column, frozenset(word.strip().casefold() for word in words)))
        return kept

    def _is_kept(self, cells: Sequence[str]) -> bool:
        return all(column.read(cells).casefold() in words for column, words in self._keep)

    def _shown(self, start: str) -> str:
        # Without a line of headings, the first image's stand in their place.
        return start + (WITHHELD if self._withheld else ", ".join(self._table.columns) or "nothing")

    def _near(self, headings: Sequence[str]) -> str:
        """The columns that headings of the config may mean, which no table has."""
        every = (name for table_above in self._headings.tables for name in table_above)
        taken = {place for column in self.columns.values() for place in column.places}
        free = [name for place, name in enumerate(every) if place not in taken]
        return "" if self._withheld else did_you_mean(headings, free)

    def _refuse_columns(self) -> None:
        for name, column in self.columns.items():
            if column.doubled:
                raise UserError(
                    f"{self.path}: {column.doubled} columns are called "
                    f"{name}. Keep one, or name it in ingest.columns{self._shown('; has: ')}"
                )
        if "path" in self.lacking:  # each table needs it
            self.refuse_lacking(())
        if "path" not in self.columns:
            raise UserError(
                f"{self.path}: needs a column `path`{self._shown('; has: ')}. Further columns that "
                f"are read: label, split, {', '.join(METADATA)} (or patient_id). Columns of other "
                "names: ingest.columns, such as {path: Image Index, label: Finding}"
            )


def _headings_of(layout: Layout, names: Sequence[str]) -> list[str]:
    """All headings that may be read, those within braces too."""
    every: list[str] = []
    for name in names:
        wanted = layout.columns.get(name, name)
        for text in [wanted] if isinstance(wanted, str) else wanted:
            every += [text, *columns.fields(text)]
    return every


def list_lines(lines: Sequence[int]) -> str:
    """Lines of a table, the first of them."""
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:_SHOWN]))}{more}"
