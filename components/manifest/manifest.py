"""Reads the table that tells what is known of each image."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

from tfxray.components.common import filesystem, privacy
from tfxray.components.common.contract import METADATA
from tfxray.components.common.errors import UserError
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings, table
from tfxray.components.manifest.lookup import Lookup
from tfxray.components.metadata.split_names import SPLIT_NAMES, WORDS

MANIFEST = "manifest.csv"
WITHHELD = "not shown, since there is DICOM among the images and names may be patients'"
COLUMNS = ("path", "label", "split", *METADATA)
_SHOWN = 5  # lines of a table that an error names


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a manifest is found and read; see the config's `ingest`.

    Attributes:
        name: Its file's, below the folder; None for `manifest.csv`, if there is one.
        columns: Its own headings of the columns that are read, by our names for them.
        root: A folder that is put before its paths, or taken off them.
        extension: Of the files, where its paths lack it.
        with_splits: Whether its column `split` counts.
        findings: Whether an image has them, a column of each may tell.
    """

    name: str | None = None
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    root: str = ""
    extension: str = ""
    with_splits: bool = True
    findings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        path: Its own.
        rows: The cells of each image's row by our names of the columns, without those that are
            empty; by the image's path below the folder.
        tells_labels: Whether any row has a label. Then a row without one has none.
        tells_splits: Whether all rows have a split.
        tells_findings: Whether it has a column of each finding.
        notes: What the user should know, a line each.
    """

    path: str
    rows: dict[str, dict[str, str]]
    tells_labels: bool
    tells_splits: bool
    tells_findings: bool
    notes: tuple[str, ...]


def read_manifest(source: str, layout: Layout, listing: Listing) -> Manifest | None:
    """What a source's manifest says of each image; None where there is no manifest.

    Args:
        source: The folder.
        layout: How it is read.
        listing: What the folder holds.

    Raises:
        UserError: There is no manifest of that name, or it cannot be used. Names its lines.
    """
    path = os.path.join(source, layout.name or MANIFEST)
    if not filesystem.is_file(path):
        if layout.name:
            raise UserError(f"{path}: no such manifest (ingest.manifest)")
        if layout.columns or layout.root or layout.extension:
            raise UserError(
                f"{path}: no such manifest, and the config says how to read one. Name it in "
                "ingest.manifest, or take out ingest.columns, ingest.root and ingest.extension"
            )
        return None
    return _Reading(source, path, layout, listing).finish()


def _key(heading: str) -> str:
    """`Patient ID`, `patient_id` and `PatientID` are one name."""
    return re.sub(r"[\W_]+", "", heading.casefold())


class _Reading:
    """One manifest that is being read."""

    def __init__(self, source: str, path: str, layout: Layout, listing: Listing):
        self.source, self.path, self.layout = source, path, layout
        self.files = listing.files
        self.withheld = privacy.names_withheld(source, listing.files)
        self.table = table.read_table(path, lambda found: bool(self._places(found, "path")))
        self.rows = list(self.table.rows)
        self.places = self._find_columns()
        self.lookup = Lookup(source, listing, layout.root, layout.extension)
        self.notes: list[str] = []

    def _places(self, found: Sequence[str], name: str) -> list[int]:
        """Where a column of ours may be among headings."""
        wanted = self.layout.columns.get(name)
        keys = {_key(wanted)} if wanted else {_key(name)}
        places = [place for place, heading in enumerate(found) if _key(heading) in keys]
        if wanted and len(places) > 1:  # exactly so, if that tells
            places = [place for place in places if found[place] == wanted] or places
        return places

    def _find_columns(self) -> dict[str, int]:
        found = self.table.columns
        # Without a line of headings, the first image's stand in their place.
        shown = WITHHELD if self.withheld else ", ".join(found) or "nothing"
        places: dict[str, int] = {}
        for name in (*COLUMNS, *self.layout.findings):
            if name == "split" and not self.layout.with_splits:
                continue  # rows may then name several splits of one image
            own = self._places(found, name)
            if name == "patient" and not own and name not in self.layout.columns:
                own = [place for place, heading in enumerate(found) if _key(heading) == "patientid"]
            if len(own) > 1:
                raise UserError(
                    f"{self.path}: {len(own)} columns are called {name}. Keep one, or name it in "
                    f"ingest.columns; has: {shown}"
                )
            if not own and name in self.layout.columns:
                raise UserError(
                    f"{self.path}: has no column {self.layout.columns[name]!r} "
                    f"(ingest.columns.{name}); has: {shown}"
                )
            places.update({name: own[0]} if own else {})
        if "path" not in places:
            raise UserError(
                f"{self.path}: needs a column `path`; has: {shown}. Further columns that are read: "
                f"label, split, {', '.join(METADATA)} (or patient_id). Columns of other names: "
                "ingest.columns, such as {path: Image Index, label: Finding}"
            )
        return places

    def finish(self) -> Manifest:
        """Reads all rows."""
        self._check_cells()
        lines: dict[str, tuple[int, dict[str, str]]] = {}
        conflicts, repeated, pathless = [], 0, []
        for line, cells in self.rows:
            values = {
                name: text
                for name, place in self.places.items()
                if place < len(cells) and (text := cells[place].strip())
            }
            if not (cell := values.pop("path", "")):
                pathless.append(line)
                continue
            path = self.lookup.find(cell, line)
            if path is None:
                continue
            known = lines.setdefault(path, (line, values))
            if known[1] != values:
                conflicts.append((known[0], line, path))
            repeated += known[0] != line
        self._refuse_rows("name no image", pathless)
        self._refuse_conflicts(conflicts, lines)
        self._refuse_paths()
        if repeated:
            self.notes.append(f"{repeated} rows repeat another row and count once")
        rows = {path: values for path, (_, values) in lines.items()}
        gone = [line for path, (line, _) in lines.items() if path not in self.lookup.every]
        if gone and len(gone) == len(rows):
            first = next(iter(rows))
            raise UserError(
                f"{self.path}: no path in it is a file below {self.source}"
                + ("" if self.withheld else f", such as {first}")
                + ". Set ingest.root and ingest.extension if the table leaves them out"
            )
        if gone:
            self.notes.append(f"{len(gone)} rows name files that are not there: {_list(gone)}")
        rows = {path: values for path, values in rows.items() if path not in self.lookup.unwanted}
        tells_splits = self._check_splits({lines[path][0]: rows[path] for path in rows})
        tells_findings = self._check_findings({lines[path][0]: rows[path] for path in rows})
        self._note_unread()
        name = os.path.basename(self.path)
        return Manifest(
            self.path,
            rows,
            any("label" in values for values in rows.values()),
            tells_splits,
            tells_findings,
            tuple(f"{name}: {note}" for note in self.notes),
        )

    def _check_cells(self) -> None:
        width, needed = len(self.table.columns), max(self.places.values()) + 1
        rows = self.rows
        every, place = set(self.files), self.places["path"]

        def is_row(cells: list[str]) -> bool:
            return len(cells) > place and cells[place].strip() in every

        for line, cells in rows:
            swallowed = table.find_swallowed(line, cells, self.table.separator, is_row)
            if swallowed:
                raise UserError(
                    f"{self.path}: line {line}: a quotation mark opens a cell that swallows "
                    f"line {swallowed}, a row of its own. Close it on its line"
                )
        long = [line for line, cells in rows if any(c.strip() for c in cells[width:])]
        self._refuse_rows(f"have more cells than the {width} headings", long)
        short = [line for line, cells in rows if len(cells) < needed]
        if short:  # as some programs write them: what is lacking is unknown
            self.notes.append(
                f"{len(short)} rows end before the columns that are read: {_list(short)}"
            )

    def _refuse_rows(self, what: str, lines: list[int]) -> None:
        if lines:
            raise UserError(f"{self.path}: {len(lines)} rows {what}: {_list(lines)}. Mend them")

    def _refuse_conflicts(
        self,
        conflicts: list[tuple[int, int, str]],
        lines: Mapping[str, tuple[int, dict[str, str]]],
    ) -> None:
        if not conflicts:
            return
        shown = "; ".join(
            f"lines {first} and {second}" + ("" if self.withheld else f" of {path}")
            for first, second, path in conflicts[:_SHOWN]
        )
        images = len({path for _, _, path in conflicts})
        raise UserError(
            f"{self.path}: rows of one image tell different things, for {images} images: {shown}. "
            "Nobody can say which is right: keep one row for each image"
        )

    def _refuse_paths(self) -> None:
        if self.lookup.outside:
            lines = self.lookup.outside
            raise UserError(
                f"{self.path}: {len(lines)} rows have absolute paths that lie outside of "
                f"{self.source}: {_list(lines)}. Write the paths as they are below the data "
                "folder; ingest.root takes a folder off their beginning"
            )
        if self.lookup.ambiguous:
            line, paths = next(iter(self.lookup.ambiguous.items()))
            several = f"{len(paths)} files" if self.withheld else " and ".join(paths[:_SHOWN])
            raise UserError(
                f"{self.path}: {len(self.lookup.ambiguous)} rows name files that are there more "
                f"than once: line {line} means {several}. Write the whole path, or leave one out "
                "(ingest.exclude)"
            )

    def _check_splits(self, rows: Mapping[int, dict[str, str]]) -> bool:
        told = {line: values.get("split", "") for line, values in rows.items()}
        if not any(told.values()):
            return False
        unknown = [line for line, word in told.items() if word and not _is_split(word)]
        if unknown:
            names = sorted({told[line] for line in unknown})[:_SHOWN]
            shown = "" if self.withheld else f" ({', '.join(map(repr, names))})"
            raise UserError(
                f"{self.path}: the column split has words{shown} that are none of {WORDS}: "
                f"{_list(unknown)}. Write one of these, take the rows out, or set "
                "split.ignore_given to split all of it anew by patient"
            )
        blank = [line for line, word in told.items() if not word]
        if blank:
            raise UserError(
                f"{self.path}: {len(blank)} rows name no split where others do: {_list(blank)}. "
                "Name it, take the rows out, or set split.ignore_given to split all of it anew by "
                "patient"
            )
        return True

    def _check_findings(self, rows: Mapping[int, Mapping[str, str]]) -> bool:
        names = self.layout.findings
        lacking = [name for name in names if name not in self.places]
        if not names or len(lacking) == len(names):
            return False
        if lacking:
            shown = "" if self.withheld else f"; has: {', '.join(self.table.columns)}"
            raise UserError(
                f"{self.path}: has columns of some findings, and none of {', '.join(lacking)}"
                f"{shown}. Name theirs in ingest.columns, or take them out of `findings`"
            )
        for name in names:
            wrong = [
                line
                for line, values in rows.items()
                if name in values and findings.read_cell(values[name]) is None
            ]
            if wrong:
                shown = "" if self.withheld else f" (first {rows[wrong[0]][name]!r})"
                raise UserError(
                    f"{self.path}: the column of {name} has values{shown} that are none of "
                    f"{findings.ALLOWED}: {_list(wrong)}. Write one of these, or leave the cell "
                    "empty"
                )
        if any("label" in values for values in rows.values()):
            self.notes.append("column label is not read: each finding has a column of its own")
        return True

    def _note_unread(self) -> None:
        used = {self.table.columns[place] for place in self.places.values()}
        unread = [name for name in self.table.columns if name and name not in used]
        if self.table.encoding == "cp1252":
            self.notes.append("is not UTF-8, and was read as cp1252 (Windows in Western Europe)")
        if unread and not self.withheld:
            more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
            self.notes.append(f"columns that are not read: {', '.join(unread[:10])}{more}")


def _is_split(word: str) -> bool:
    return word.lower() in SPLIT_NAMES


def _list(lines: Sequence[int]) -> str:
    """Lines of a table, the first of them."""
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:_SHOWN]))}{more}"
