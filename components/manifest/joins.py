"""Joins further tables to a manifest's rows, by columns that both have."""

import os
from collections.abc import Sequence

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings
from tfxray.components.manifest.layout import Join


class JoinedTable:
    """One table, by the keys of its rows.

    Attributes:
        headings: Of all its columns.
        path: Of its file.
        partnerless: How many rows of the manifest found none here.
    """

    def __init__(self, path: str, join: Join, needed: Sequence[str], withheld: bool):
        """Reads it.

        Args:
            path: Of its file.
            join: How it belongs to the manifest.
            needed: Headings whose cells are kept; those of other columns are left empty.
            withheld: Whether headings must not be shown.

        Raises:
            UserError: It cannot be read, lacks a key, or has two rows of one key that tell
                different things. Names the lines.
        """
        self.path, self.partnerless = path, 0
        self._names = [name for _, name in join.by]

        def has_keys(found: Sequence[str]) -> bool:
            return all(Headings([found]).places(name) for name in self._names)

        content = table.read_table(path, has_keys)
        self.headings = content.columns
        own = Headings([content.columns])
        keys = find_keys(path, self._names, own, withheld)
        kept = {place for name in needed for place in own.places(name)[:1]}
        lines: dict[tuple[str, ...], int] = {}
        self._rows: dict[tuple[str, ...], list[str]] = {}
        width = len(content.columns)
        for line, cells in content.rows:
            key = tuple(cells[place].strip() if place < len(cells) else "" for place in keys)
            row = [cells[p].strip() if p in kept and p < len(cells) else "" for p in range(width)]
            first = lines.setdefault(key, line)
            if self._rows.setdefault(key, row) != row:
                raise UserError(
                    f"{path}: lines {first} and {line} have the same {', '.join(self._names)} and "
                    "tell different things (ingest.joins). Keep one of them"
                )
        self._empty = [""] * width

    def cells(self, key: tuple[str, ...]) -> list[str]:
        """The cells of a key's row; empty ones where there is none."""
        row = self._rows.get(key)
        if row is None:
            self.partnerless += 1
            return self._empty
        return row

    def note(self, rows: int) -> list[str]:
        """What the user should know of it.

        Args:
            rows: How many the manifest has.

        Raises:
            UserError: None of them has a row here.
        """
        if not self.partnerless:
            return []
        same = f"row of the same {', '.join(self._names)}"
        if self.partnerless == rows:
            raise UserError(
                f"{self.path}: no row of the manifest has a {same} here (ingest.joins). Name other "
                "columns, or take the table out"
            )
        return [f"{self.partnerless} rows have no {same} in {os.path.basename(self.path)}"]

    def refuse_hidden(self, above: Sequence[Sequence[str]], needed: Sequence[str]) -> list[str]:
        """Sees that a column of it is read: the manifest's own count before it.

        Args:
            above: The headings of the tables that count before it.
            needed: Those that may be read.

        Returns:
            What the user should know: the columns that others have, too.

        Raises:
            UserError: All of its columns that may be read are hidden.
        """
        own, others = Headings([self.headings]), Headings(above)
        keys = set(find_keys(self.path, self._names, own, False))
        wanted = dict.fromkeys(
            self.headings[place] for name in needed for place in own.places(name)[:1]
            if place not in keys
        )  # fmt: skip
        hidden = [name for name in wanted if others.places(name)]
        if hidden and len(hidden) == len(wanted):
            raise UserError(
                f"{self.path}: tells nothing (ingest.joins): its columns {', '.join(hidden)} are "
                "in a table that counts before it. Take that one out of ingest.joins, or name this "
                "one as ingest.manifest"
            )
        name = os.path.basename(self.path)
        return [f"{name}: not read, since another table has them: {', '.join(hidden)}"] * bool(
            hidden
        )


def find_keys(path: str, keys: Sequence[str], headings: Headings, withheld: bool) -> list[int]:
    """Where a table has the keys of a join.

    Args:
        path: Of its file, for the error.
        keys: Headings.
        headings: Of the table.
        withheld: Whether headings must not be shown.

    Raises:
        UserError: It lacks one.
    """
    places = []
    for key in keys:
        found = headings.places(key)
        if not found:
            near = did_you_mean(key, headings.tables[0])
            shown = "" if withheld else f"{near}; has: {', '.join(headings.tables[0])}"
            raise UserError(
                f"{path}: has no column {key!r}, by which tables are joined (ingest.joins){shown}"
            )
        places.append(found[0])
    return places
