"""Reads the table that tells what is known of each image."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from tfxray.components.common import filesystem, privacy
from tfxray.components.common.errors import UserError
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings
from tfxray.components.manifest.layout import Layout
from tfxray.components.manifest.lookup import Lookup
from tfxray.components.manifest.row_reader import RowReader, find_table, list_lines
from tfxray.components.metadata.split_names import SPLIT_NAMES, WORDS

MANIFEST = "manifest.csv"
_SHOWN = 5  # images and words that an error names

Values = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        path: Its own; of several files, that of the first.
        rows: The cells of each image's row by our names of the columns, without those that are
            empty; by the image's path below the folder. Of several rows, those of the first.
        several: All rows of those images of which several tell different labels.
        tells_labels: Whether any row has a label. Then a row without one has none.
        tells_splits: Whether all rows have a split.
        tells_findings: Whether it has a column of each finding.
        not_kept: The images whose rows `ingest.keep` leaves out.
        gone: The images that the folder lacks.
        files: The paths of all its files, and of those that are joined, below the folder.
        notes: What the user should know, a line each.
    """

    path: str
    rows: dict[str, dict[str, str]]
    several: dict[str, list[dict[str, str]]]
    tells_labels: bool
    tells_splits: bool
    tells_findings: bool
    not_kept: frozenset[str]
    gone: frozenset[str]
    files: tuple[str, ...]
    notes: tuple[str, ...]

    def rows_of(self, path: str) -> Sequence[Values]:
        """The rows of an image: one, or several that tell different labels."""
        return self.several.get(path) or [self.rows.get(path, {})]


def read_manifest(source: str, layout: Layout, listing: Listing) -> Manifest | None:
    """What a source's manifest says of each image; None where there is no manifest.

    Args:
        source: The folder.
        layout: How it is read.
        listing: What the folder holds.

    Raises:
        UserError: There is no manifest of that name, or it cannot be used. Names its lines.
    """
    names = layout.names()
    if not names:
        path = os.path.join(source, MANIFEST)
        if not filesystem.is_file(path):
            if layout.is_given:
                raise UserError(
                    f"{path}: no such manifest, and the config says how to read one. Name it in "
                    "ingest.manifest, or take out ingest.columns, ingest.root and ingest.extension"
                )
            return None
        names = [(None, MANIFEST)]
    withheld = privacy.names_withheld(source, listing.files)
    readers = [
        RowReader(
            source, find_table(source, name, listing, "ingest.manifest"),
            split if layout.with_splits else None, layout, listing, withheld,
        )
        for split, name in names
    ]  # fmt: skip
    for reader in readers:
        reader.refuse_lacking({n for other in readers for n in other.columns})
    return _Reading(source, readers, layout, listing, withheld).finish()


class _Reading:
    """One manifest that is being read, of one file or several.

    A row is known by a number: its line, and behind it the file's place among several.
    """

    def __init__(
        self, source: str, readers: list[RowReader], layout: Layout, listing: Listing,
        withheld: bool,
    ):  # fmt: skip
        self.source, self.readers, self.layout = source, readers, layout
        self.listing, self.withheld = listing, withheld
        others = [os.path.basename(reader.path) for reader in readers[1:]]
        self.path = ", ".join([readers[0].path, *others])
        self.lookup = Lookup(source, listing, layout.root, layout.extension, layout.strip)
        self.notes: list[str] = []
        self.free = {"label", "reader", "no_finding", *layout.findings} if layout.several else set()

    def finish(self) -> Manifest:
        """Reads all rows."""
        lines: dict[str, tuple[int, dict[str, str]]] = {}
        several: dict[str, list[dict[str, str]]] = {}
        conflicts, repeated, pathless = [], 0, []
        not_kept: set[str] = set()
        files = set(self.listing.files)
        count = len(self.readers)
        for place, reader in enumerate(self.readers):
            for line, values, kept in reader.rows(files):
                row = line * count + place
                if not (cell := values.pop("path", "")):
                    pathless.append(row)
                    continue
                path = self.lookup.find(cell, row)
                if path is None:
                    continue
                if not kept:
                    not_kept.add(path)
                    continue
                known = lines.setdefault(path, (row, values))
                if known[0] == row:
                    continue
                if known[1] == values or values in several.get(path, ()):
                    repeated += 1
                elif self._fixed(known[1]) == self._fixed(values):
                    several.setdefault(path, [known[1]]).append(values)
                else:
                    conflicts.append((known[0], row, path))
        self._refuse_rows("name no image", pathless)
        self._refuse_conflicts(conflicts)
        self._refuse_paths()
        if repeated:
            self.notes.append(f"{repeated} rows repeat another row and count once")
        if deeper := self.lookup.deeper:
            self.notes.append(f"{deeper} paths were found below folders that it does not name")
        if not_kept:
            self.notes.append(f"rows of {len(not_kept)} images are left out by ingest.keep")
        if several:
            self.notes.append(f"{len(several)} images have several rows that tell different things")
        if not_kept and not lines:
            wanted = "; ".join(f"{h}: {', '.join(words)}" for h, words in self.layout.keep.items())
            raise UserError(f"{self.path}: no row has the words of ingest.keep ({wanted})")
        rows = {path: values for path, (_, values) in lines.items()}
        self._note_gone(rows, lines)
        rows = {path: values for path, values in rows.items() if path not in self.lookup.unwanted}
        every = [
            (lines[path][0], row)
            for path, values in rows.items()
            for row in several.get(path, [values])
        ]
        tells_splits = self._check_splits(every)
        tells_findings = self._check_findings(every)
        labelled = any("label" in row for _, row in every)
        if tells_findings and labelled:
            self.notes.append("column label is not read: each finding has a column of its own")
        return Manifest(
            self.readers[0].path, rows, several, labelled, tells_splits, tells_findings,
            frozenset(not_kept), frozenset(rows.keys() - self.lookup.every), self._files(),
            tuple(self._notes()),
        )  # fmt: skip

    def _fixed(self, values: Values) -> Values:
        """What rows of one image must share."""
        return {name: text for name, text in values.items() if name not in self.free}

    def _files(self) -> tuple[str, ...]:
        paths = [reader.path for reader in self.readers]
        paths += [path for reader in self.readers for path in reader.joined]
        return tuple(dict.fromkeys(os.path.relpath(path, self.source) for path in paths))

    def _notes(self) -> list[str]:
        joined = ", ".join(os.path.basename(reader.path) for reader in self.readers)
        notes = [f"{joined}: {note}" for note in self.notes]
        for reader in self.readers:
            notes += [f"{os.path.basename(reader.path)}: {note}" for note in reader.notes]
        return notes

    def _list(self, rows: Sequence[int]) -> str:
        """Rows by their lines, the first of them."""
        count = len(self.readers)
        if count == 1:
            return list_lines(rows)
        by_file: dict[int, list[int]] = {}
        for row in rows:
            by_file.setdefault(row % count, []).append(row // count)
        return ", ".join(
            f"{list_lines(lines)} of {os.path.basename(self.readers[place].path)}"
            for place, lines in sorted(by_file.items())
        )

    def _refuse_rows(self, what: str, rows: list[int]) -> None:
        if rows:
            raise UserError(f"{self.path}: {len(rows)} rows {what}: {self._list(rows)}. Mend them")

    def _refuse_conflicts(self, conflicts: list[tuple[int, int, str]]) -> None:
        if not conflicts:
            return
        shown = "; ".join(
            (
                f"lines {first} and {second}"
                if len(self.readers) == 1
                else f"{self._list([first])} and {self._list([second])}"
            )
            + ("" if self.withheld else f" of {path}")
            for first, second, path in conflicts[:_SHOWN]
        )
        images = len({path for _, _, path in conflicts})
        what = "a patient, a split, an age, a sex, a view or a site" if self.free else ""
        raise UserError(
            f"{self.path}: rows of one image tell different things{what and f' of {what}'}, for "
            f"{images} images: {shown}. Nobody can say which is right: keep one row for each image"
            + ("" if self.free else ", or say how labels of several rows are joined "
               "(ingest.several: any or majority)")
        )  # fmt: skip

    def _refuse_paths(self) -> None:
        if self.lookup.outside:
            rows = self.lookup.outside
            raise UserError(
                f"{self.path}: {len(rows)} rows have absolute paths that lie outside of "
                f"{self.source}: {self._list(rows)}. Write the paths as they are below the data "
                "folder; ingest.root takes a folder off their beginning"
            )
        if self.lookup.ambiguous:
            row, paths = next(iter(self.lookup.ambiguous.items()))
            several = f"{len(paths)} files" if self.withheld else " and ".join(paths[:_SHOWN])
            raise UserError(
                f"{self.path}: {len(self.lookup.ambiguous)} rows name files that are there more "
                f"than once: {self._list([row])} means {several}. Write the whole path, or leave "
                "one out (ingest.exclude)"
            )

    def _note_gone(
        self, rows: Mapping[str, Values], lines: Mapping[str, tuple[int, Values]]
    ) -> None:
        gone = [line for path, (line, _) in lines.items() if path not in self.lookup.every]
        if gone and len(gone) == len(rows):
            first = next(iter(rows))
            raise UserError(
                f"{self.path}: no path in it is a file below {self.source}"
                + ("" if self.withheld else f", such as {first}")
                + ". Set ingest.root and ingest.extension if the table leaves them out"
                + self.listing.describe_rest()
            )
        if gone:
            self.notes.append(f"{len(gone)} rows name files that are not there: {self._list(gone)}")

    def _check_splits(self, rows: Sequence[tuple[int, dict[str, str]]]) -> bool:
        """Sees that all rows name a split, and puts our name in the place of each word."""
        told = [(row, values.get("split", "")) for row, values in rows]
        if not any(word for _, word in told):
            return False
        meanings = {**SPLIT_NAMES, **self.layout.split_words}
        unknown = [row for row, word in told if word and word.lower() not in meanings]
        if unknown:
            names = sorted({w for _, w in told if w and w.lower() not in meanings})[:_SHOWN]
            shown = "" if self.withheld else f" ({', '.join(map(repr, names))})"
            raise UserError(
                f"{self.path}: the column split has words{shown} that are none of {WORDS}: "
                f"{self._list(unknown)}. Write one of these, say in split.words what they mean, "
                "take the rows out, or set split.ignore_given to split all of it anew by patient"
            )
        blank = [row for row, word in told if not word]
        if blank:
            raise UserError(
                f"{self.path}: {len(blank)} rows name no split where others do: "
                f"{self._list(blank)}. Name it, take the rows out, or set split.ignore_given to "
                "split all of it anew by patient"
            )
        for _, values in rows:
            values["split"] = meanings[values["split"].lower()]
        return True

    def _check_findings(self, rows: Sequence[tuple[int, Values]]) -> bool:
        names = self.layout.findings
        told = set.union(*(set(reader.columns) for reader in self.readers))
        if not names or not told.intersection(names):
            return False
        for reader in self.readers:
            if lacking := [name for name in names if name not in reader.columns]:
                shown = "" if self.withheld else f"; has: {', '.join(reader.headings)}"
                raise UserError(
                    f"{reader.path}: has columns of some findings, and none of "
                    f"{', '.join(lacking)}{shown}. Name theirs in ingest.columns, or take them out "
                    "of `findings`"
                )
        for name in names:
            wrong = [
                (row, values[name])
                for row, values in rows
                if name in values and not findings.is_cell(values[name], self.layout.values)
            ]
            if wrong:
                shown = "" if self.withheld else f" (first {wrong[0][1]!r})"
                raise UserError(
                    f"{self.path}: the column of {name} has values{shown} that are none of "
                    f"{findings.ALLOWED}: {self._list([row for row, _ in wrong])}. Write one of "
                    "these, leave the cell empty, or say what they mean in ingest.values"
                )
        return True
