"""Finds what is known of each image: by a table, by a pattern in its path, and by its folders."""

import dataclasses
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from tfxray.components.common.contract import METADATA
from tfxray.components.listing import left_out
from tfxray.components.manifest import findings
from tfxray.components.manifest.manifest import Manifest
from tfxray.components.metadata import views
from tfxray.components.metadata.ages import age_between
from tfxray.components.metadata.patients import known_patient
from tfxray.components.metadata.words import NotUnderstood
from tfxray.components.source import several, splits
from tfxray.components.source.rows import Row, Rules

Given = splits.FolderSplits | splits.ListedSplits
Values = Mapping[str, str]
_NO_FINDING = "no_finding"
_NOTHING: Values = {}  # known of an image; one for all of them
_NO_ROW = "no row of the table names it"
# What a label that says so does not exclude: devices are no finding of the lungs. CheXpert's
# labeler gives `No Finding` beside them (github.com/stanfordmlgroup/chexpert-labeler).
_BESIDE_NONE = ("supportdevices",)


class Finder:
    """Finds what is known of each image of a folder.

    Attributes:
        left_out: The images that the rules leave out for what is known of them, by the rule.
        disagreed: How many images have rows whose labels have no majority.
        contradicted: How many have a finding, and a cell that says that there is none.
        parts: Parts of words that mean nothing, beside others that do, with their numbers.
    """

    def __init__(
        self,
        table: Manifest | None,
        given: Given | None,
        pattern: re.Pattern[str] | None,
        rules: Rules,
        paths: Sequence[str],
        beside: Mapping[str, Values],
    ):
        """Gets ready for many images.

        Args:
            table: The manifest, or None.
            given: What tells the splits, besides the manifest.
            pattern: Searched in each path.
            rules: How labels and metadata are found.
            paths: Of all images.
            beside: Metadata, and perhaps the `label`, that other files tell of an image, by its
                path.
        """
        parents = {path.rpartition("/")[0] for path in paths}
        shared = os.path.commonpath(parents) if parents and "" not in parents else ""
        self.left_out: dict[str, list[str]] = {}
        self.disagreed = self.contradicted = 0
        self.parts: Counter[str] = Counter()
        self._shared = len(shared.split("/")) if shared else 0
        self._table, self._given, self._pattern = table, given, pattern
        self._rules, self._words, self._beside = rules, rules.words, beside
        self._class_names = class_names(rules)
        # In the config's own spelling.
        self._spelling = {normal(name): name for name in rules.classes}
        self._meaning = {normal(name): label for name, label in rules.labels.items()}
        self._unknown = {k: {w.casefold() for w in words} for k, words in rules.unknown.items()}
        self._meanings = {
            kind: {text.casefold(): meaning for text, meaning in texts.items()}
            for kind, texts in rules.meanings.items()
        }
        self._texts: dict[str, tuple[dict[str, int], list[str]]] = {}
        self._told: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}
        self._cells: dict[str, int | None] = {}
        self._odd_parts: dict[str, list[str]] = {}
        self._views: dict[str, bool] = {}
        # Where something else tells labels, none is left to the folders: a blank is unknown.
        self._folders_tell = not (
            (table and table.tells_labels) or any("label" in told for told in beside.values())
        )

    def row(self, path: str) -> Row | None:
        """An image, and what is known of it; None where the rules leave it out.

        Args:
            path: Below the source folder, with `/`.
        """
        table_rows: Sequence[Values] = self._table.rows_of(path) if self._table else [{}]
        groups = _match_groups(self._pattern, path)
        split = self._split(path, table_rows[0])
        metadata = self._metadata(path, table_rows[0], groups)
        if not self._is_wanted(metadata.get("view", "")):
            self._leave_out(path, left_out.OTHER_VIEW)
            return None
        if self._given and not split:  # it lies beside the split folders, or no list has it
            detail = "" if self._is_listed(path) else _NO_ROW
            return Row(path, None, None, metadata, detail=detail or "no split is given for it")
        try:
            rows = [self._one(path, row, groups, split, metadata) for row in table_rows]
        except findings.Dropped:
            self._leave_out(path, left_out.DROPPED)
            return None
        return rows[0] if len(rows) == 1 else self._join(rows, table_rows)

    def _leave_out(self, path: str, rule: str) -> None:
        self.left_out.setdefault(rule, []).append(path)

    def _one(
        self, path: str, row: Values, groups: Values, split: str | None, metadata: Values
    ) -> Row:
        """What one row of the table tells of an image."""
        folder = self._class_folder(path) if self._folders_tell else None
        if folder and self._rules.findings and self._read(folder)[1]:
            folder = None  # not every folder tells findings
        told = row.get("label") or groups.get("label")
        label = told or self._beside.get(path, {}).get("label") or folder
        if not label and not self._is_listed(path):  # an empty cell may be a label; no row is none
            return Row(path, None, split, metadata, detail=_NO_ROW)
        if self._rules.findings:
            odd, values = self._findings_of(label or "", row)
            return Row(path, odd, split, metadata, findings=self._once(values))
        return Row(path, self._class_of(label or ""), split, metadata)

    def _once(self, values: dict[str, int] | None) -> Mapping[str, int] | None:
        """The same values, once for all images that have them: there may be millions."""
        return values and self._told.setdefault(tuple(values.items()), values)

    def _is_listed(self, path: str) -> bool:
        return self._table is None or path in self._table.rows

    def _class_of(self, text: str) -> str | None:
        """The class that a text means; the text itself where it means none."""
        text = normal(text)
        if text in self._meaning:
            return self._named(self._meaning[text])
        if self._words.parts and text not in self._spelling:
            parts = [p for p in text.split(self._words.parts) if p in self._spelling]
            text = parts[-1] if parts else text
        if text and text not in self._spelling and findings.OTHER in self._meaning:
            return self._named(self._meaning[findings.OTHER])
        return self._spelling.get(text, text) or None

    def _named(self, label: str | None) -> str | None:
        if label is None:
            raise findings.Dropped
        return label or None

    def _findings_of(self, label: str, row: Values) -> tuple[str | None, dict[str, int] | None]:
        """The words that are none of the findings, and what is known of these."""
        names = self._rules.findings
        if self._table and self._table.tells_findings and row:
            cells = {name: self._read_cell(row.get(name, "")) for name in names}
            values = {name: value for name, value in cells.items() if value is not None}
            if _NO_FINDING in row and findings.read_cell(row[_NO_FINDING]) == 1:
                rest = [n for n in names if findings.word_key(n) not in _BESIDE_NONE]
                self.contradicted += any(values.get(name) == 1 for name in rest)
                values = {**dict.fromkeys(rest, 0), **values}
            return None, values or None
        values, unknown = self._read(label) if label else ({}, [])
        self.parts.update(self._silent_parts(label))
        return (findings.SEPARATOR.join(unknown), None) if unknown else (None, values or None)

    def _silent_parts(self, label: str) -> Sequence[str]:
        """Parts of a label's words that mean nothing, though others of the same word do."""
        if not self._words.parts or not label:
            return ()
        if label not in self._odd_parts:
            known = {findings.word_key(n) for n in (*self._rules.findings, *self._rules.labels)}
            self._odd_parts[label] = [
                part
                for word in findings.split_text(label, self._words.separator)
                if findings.word_key(word) not in known and findings.OTHER not in self._meaning
                for part in word.split(self._words.parts)
                if findings.word_key(part) not in known
            ]
        return self._odd_parts[label]

    def _read_cell(self, text: str) -> int | None:
        """What a cell says; a table has few texts, in many cells."""
        if text not in self._cells:
            self._cells[text] = findings.read_cell(text, self._words)
        return self._cells[text]

    def _read(self, text: str) -> tuple[dict[str, int], list[str]]:
        """What a text says of findings, nothing where it has no word; many images share one."""
        if text not in self._texts:
            try:
                some = findings.split_text(text, self._words.separator)
                told = findings.read_text(normal(text), self._rules.findings, self._words)
                self._texts[text] = told if some else ({}, [])
            except ValueError:
                self._texts[text] = {}, [text]
        values, unknown = self._texts[text]
        return dict(values), unknown

    def _join(self, rows: Sequence[Row], table_rows: Sequence[Values]) -> Row:
        """What several rows say of one image."""
        readers = [row.get("reader", "") for row in table_rows]
        rule = self._rules.several
        if self._rules.findings:
            odd = next((row for row in rows if row.label), None)
            if odd:
                return odd
            values = several.join_findings(
                [(reader, row.findings) for reader, row in zip(readers, rows, strict=True)], rule
            )
            return dataclasses.replace(rows[0], findings=values)
        labels = [(reader, row.label) for reader, row in zip(readers, rows, strict=True)]
        label = several.join_labels(labels, self._rules.classes, rule)
        self.disagreed += label is None and any(text for _, text in labels)
        detail = "no class has the majority of its rows" if label is None else ""
        return dataclasses.replace(rows[0], label=label, detail=detail)

    def _metadata(self, path: str, row: Values, groups: Values) -> Values:
        beside = self._beside.get(path, {})
        metadata = {key: row.get(key) or groups.get(key) or beside.get(key, "") for key in METADATA}
        own = groups.get("kind") and metadata["patient"] == groups.get("patient")
        if own and known_patient(metadata["patient"]):
            metadata["patient"] = f"{groups['kind']}-{metadata['patient']}"
        if not metadata["age"] and "birth" in row:
            metadata["age"] = age_between(row["birth"], row.get("study_date", ""))
        for key, words in self._unknown.items():
            if metadata.get(key, "").casefold() in words:
                metadata[key] = ""
        for key, texts in self._meanings.items():
            if meaning := texts.get(metadata.get(key, "").casefold()):
                metadata[key] = meaning
        for key, text in self._rules.defaults.items():
            metadata[key] = metadata[key] or text
        return {key: value for key, value in metadata.items() if value} or _NOTHING

    def _is_wanted(self, text: str) -> bool:
        """Whether a view is wanted, as far as it is known: a DICOM file may tell it later."""
        if not text:
            return True
        if text not in self._views:
            try:
                wanted = views.is_wanted(views.read_view(text), False, self._rules.views)
            except NotUnderstood:
                wanted = views.is_wanted("", True, self._rules.views)
            self._views[text] = wanted
        return self._views[text]

    def _split(self, path: str, table_row: Values) -> str | None:
        if self._given:
            return self._given.split_of(path)
        if self._table and self._table.tells_splits and "split" in table_row:
            return table_row["split"]
        return None

    def _class_folder(self, path: str) -> str | None:
        """The folder that names a class.

        Where none does, the nearest, for the error's sake; where no classes are known, the topmost.
        """
        folders = path.split("/")[:-1]
        given = self._given
        if isinstance(given, splits.FolderSplits) and len(folders) > given.depth:
            del folders[given.depth]
        # What holds all images is an archive's own folder, though it be named like a class.
        folders = folders[self._shared :] or folders
        nearest = folders[-1 if self._class_names else 0] if folders else None
        return next((f for f in folders if normal(f) in self._class_names), nearest)


def class_names(rules: Rules) -> set[str]:
    """The names by which folders may tell classes or findings."""
    return {normal(n) for n in (*rules.classes, *rules.findings, *rules.labels)}


def normal(name: str) -> str:
    """A name in one form of Unicode: macOS writes another one than keyboards do."""
    return unicodedata.normalize("NFC", name)


def _match_groups(pattern: re.Pattern[str] | None, path: str) -> dict[str, str]:
    """A pattern's groups; `patient2` counts as `patient` where the latter did not match."""
    match = pattern.search(path) if pattern else None
    groups: dict[str, str] = {}
    for name, value in match.groupdict().items() if match else ():
        if value:
            groups.setdefault(re.sub(r"\d+$", "", name), value)
    return groups
