"""Joins further tables to a manifest's rows, by keys that both have."""

import os
from collections.abc import Sequence

from tfxray.components.common.errors import UserError
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings
from tfxray.components.manifest.layout import Join


class JoinedTable:
    """One table, by the keys of its rows.

    Attributes:
        headings: Of all its columns.
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
        self._name, self._on = os.path.basename(path), join.on
        self.partnerless = 0

        def has_keys(found: Sequence[str]) -> bool:
            return all(Headings([found]).places(key) for key in join.on)

        content = table.read_table(path, has_keys)
        self.headings = content.columns
        own = Headings([content.columns])
        keys = find_keys(path, join.on, own, withheld)
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
                    f"{path}: lines {first} and {line} have the same {', '.join(join.on)} and tell "
                    "different things (ingest.joins). Keep one of them"
                )
        self._empty = [""] * width

    def cells(self, key: tuple[str, ...]) -> list[str]:
        """The cells of a key's row; empty ones where there is none."""
        row = self._rows.get(key)
        if row is None:
            self.partnerless += 1
            return self._empty
        return row

    def note(self) -> list[str]:
        """What the user should know of it."""
        if not self.partnerless:
            return []
        return [f"{self.partnerless} rows have no row of the same {', '.join(self._on)} in "
                f"{self._name}"]  # fmt: skip


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
            shown = "" if withheld else f"; has: {', '.join(headings.tables[0])}"
            raise UserError(
                f"{path}: has no column {key!r}, by which tables are joined (ingest.joins){shown}"
            )
        places.append(found[0])
    return places
