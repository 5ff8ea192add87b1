"""Finds the images of a folder and what is known of each: class, patient, split, metadata."""

import dataclasses
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common import privacy
from tfxray.components.common.contract import METADATA, SPLITS, Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.listing import file_list, left_out
from tfxray.components.manifest import findings, manifest
from tfxray.components.manifest.manifest import MANIFEST, Manifest
from tfxray.components.metadata.split_names import SPLIT_NAMES
from tfxray.components.source import label_checks, splits
from tfxray.components.source.rows import Row, Rules

_SHOWN = 5  # names in a line for the user
Given = splits.FolderSplits | splits.ListedSplits


class LabelledImages(NamedTuple):
    """A folder's images with what is known of them.

    Attributes:
        rows: The images, sorted by path; those that only the manifest names come last.
        task: The rules'; or, where they name neither classes nor findings, the labels found.
        listing: What the folder holds besides, and what the user should know of it.
    """

    rows: list[Row]
    task: Task
    listing: file_list.Listing


def label_images(source: StrPath, rules: Rules) -> LabelledImages:
    """Lists a folder's images.

    Args:
        source: The folder.
        rules: How labels and metadata are found.

    Raises:
        UserError: No folder, no image, a manifest that cannot be used, a label not among the
            classes or findings, fewer than two classes, a finding that no image has, or given
            splits that lack one.
    """
    source = os.fspath(source)
    try:
        pattern = re.compile(rules.pattern) if rules.pattern else None
    except re.error as error:
        raise UserError(f"pattern {rules.pattern!r}: is no regular expression: {error}") from None
    class_names = {_normal(n) for n in (*rules.classes, *rules.findings, *rules.labels)}
    choice = left_out.Choice(
        rules.include, rules.exclude, rules.follow_links, tuple(sorted(class_names))
    )
    listing = file_list.list_images(source, choice)
    layout = manifest.Layout(
        rules.manifest,
        rules.columns,
        rules.root,
        rules.extension,
        not rules.ignore_given,
        rules.findings,
    )
    table = manifest.read_manifest(source, layout, listing)
    paths = listing.files if table is None else _listed(table, listing, rules)
    withheld = privacy.names_withheld(source, paths)
    _note_listing(listing, table, withheld)
    given = _find_given(source, rules, table, paths, class_names, withheld)
    if isinstance(given, splits.ListedSplits) and given.note:
        listing.notes.append(given.note)
    finder = _Finder(table, given, pattern, class_names, rules, paths)
    rows = [finder.row(path) for path in paths]
    if isinstance(given, splits.ListedSplits) and (unlisted := sum(not r.split for r in rows)):
        listing.notes.append(f"{unlisted} images are in none of the lists in split.lists: rejected")
    if not rows:
        raise UserError(
            f"{source}: holds no images (PNG or JPEG, in class folders or with a CSV)"
            + listing.describe_rest()
        )
    check = label_checks.check_findings if rules.findings else label_checks.check_classes
    task = check(source, rows, rules, listing)
    _check_splits(source, rows, rules)
    listing.notes.append(_describe_splits(rows, rules, table, given, withheld))
    share = _eval_share(rows, rules)
    if share is not None:
        rows = [_draw(row, share) for row in rows]
    return LabelledImages(rows, task, listing)


def _find_given(
    source: str,
    rules: Rules,
    table: Manifest | None,
    paths: Sequence[str],
    class_names: set[str],
    withheld: bool,
) -> Given | None:
    """What tells the splits; None where they are drawn, or the table's column tells them."""
    if rules.ignore_given:
        return None
    if rules.split_lists:
        return splits.read_lists(source, rules.split_lists, paths)
    if table and table.tells_splits:
        return None
    return splits.find_folders(source, paths, class_names, withheld)


def _eval_share(rows: Sequence[Row], rules: Rules) -> float | None:
    """The share of the patients in `train` that becomes `eval`; None where nothing is drawn."""
    given = {row.split for row in rows if row.split}
    return splits.eval_share(given, rules.eval_from_train, rules.eval_share)


def _draw(row: Row, share: float) -> Row:
    patient = row.metadata.get("patient")
    split = splits.draw_split(row.split, patient, share) if patient else row.split
    return dataclasses.replace(row, split=split, eval_share=share)


def _normal(name: str) -> str:
    """A name in one form of Unicode: macOS writes another one than keyboards do."""
    return unicodedata.normalize("NFC", name)


def _listed(table: Manifest, listing: file_list.Listing, rules: Rules) -> list[str]:
    """The images that a manifest lists; what it does not list is left out."""
    files = listing.files
    paths = [path for path in files if path in table.rows]
    in_folder = set(paths)
    listing.left_out[left_out.UNLISTED] = [path for path in files if path not in in_folder]
    used = {*table.rows, os.path.normpath(rules.manifest or MANIFEST)}
    for rule, others in listing.left_out.items():
        listing.left_out[rule] = [path for path in others if path not in used]
    # A file that the manifest lists and the folder lacks becomes a reject, not a silence.
    return [*paths, *(path for path in table.rows if path not in in_folder)]


def _note_listing(listing: file_list.Listing, table: Manifest | None, withheld: bool) -> None:
    notes = listing.notes
    notes += table.notes if table else ()
    if unlisted := listing.left_out.get(left_out.UNLISTED):
        first = "" if withheld else f": {', '.join(unlisted[:_SHOWN])}"
        more = f" and {len(unlisted) - _SHOWN} more" if len(unlisted) > _SHOWN and first else ""
        notes.append(f"{len(unlisted)} images have no row in the manifest{first}{more}")
    for folder, original in listing.copies.items():
        what = "a folder" if withheld else f"{folder}/"
        of = "another folder" if withheld else f"{original}/" if original else "the data folder"
        notes.append(f"{what} holds the files of {of} once more; they count once")


class _Finder:
    """Finds what is known of each image."""

    def __init__(
        self,
        table: Manifest | None,
        given: Given | None,
        pattern: re.Pattern[str] | None,
        class_names: set[str],
        rules: Rules,
        paths: Sequence[str],
    ):
        parents = {path.rpartition("/")[0] for path in paths}
        shared = os.path.commonpath(parents) if parents and "" not in parents else ""
        self._shared = len(shared.split("/")) if shared else 0
        self._table, self._given, self._pattern = table, given, pattern
        self._class_names = class_names
        # In the config's own spelling.
        self._spelling = {_normal(name): name for name in rules.classes}
        self._meaning = {_normal(name): label for name, label in rules.labels.items()}
        self._findings = rules.findings

    def row(self, path: str) -> Row:
        """An image, and what is known of it.

        Args:
            path: Below the source folder, with `/`.
        """
        table_row = self._table.rows.get(path, {}) if self._table else {}
        groups = _match_groups(self._pattern, path)
        split = self._split(path, table_row)
        # A table that tells labels leaves none to the folders: a blank is unknown.
        folder = None if self._table and self._table.tells_labels else self._class_folder(path)
        if folder and self._findings and self._read(folder)[1]:
            folder = None  # not every folder tells findings
        label = table_row.get("label") or groups.get("label") or folder
        if self._given and not split:  # it lies beside the split folders, or no list has it
            label = None
        metadata = {key: table_row.get(key) or groups.get(key, "") for key in METADATA}
        if groups.get("kind") and metadata["patient"] == groups.get("patient"):
            metadata["patient"] = f"{groups['kind']}-{metadata['patient']}"
        metadata = {key: value for key, value in metadata.items() if value}
        if self._findings and not (self._given and not split):
            return self._with_findings(Row(path, label, split, metadata), table_row)
        if label:
            label = _normal(label)
            label = self._meaning.get(label) or self._spelling.get(label, label)
        return Row(path, label, split, metadata)

    def _with_findings(self, row: Row, table_row: Mapping[str, str]) -> Row:
        if self._table and self._table.tells_findings:
            cells = {n: findings.read_cell(table_row[n]) for n in self._findings if n in table_row}
            values = {name: value for name, value in cells.items() if value is not None}
            return dataclasses.replace(row, label=None, findings=values or None)
        if not row.label or not row.label.strip(f" {findings.SEPARATOR}"):
            return dataclasses.replace(row, label=None)
        values, unknown = self._read(row.label)
        if unknown:
            return dataclasses.replace(row, label=findings.SEPARATOR.join(unknown))
        return dataclasses.replace(row, label=None, findings=values)

    def _read(self, text: str) -> tuple[dict[str, int], list[str]]:
        return findings.read_text(_normal(text), self._findings, self._meaning)

    def _split(self, path: str, table_row: Mapping[str, str]) -> str | None:
        if self._given:
            return self._given.split_of(path)
        if self._table and self._table.tells_splits:
            return SPLIT_NAMES[table_row["split"].lower()]
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
        return next((f for f in folders if _normal(f) in self._class_names), nearest)


def _match_groups(pattern: re.Pattern[str] | None, path: str) -> dict[str, str]:
    """A pattern's groups; `patient2` counts as `patient` where the latter did not match."""
    match = pattern.search(path) if pattern else None
    groups: dict[str, str] = {}
    for name, value in match.groupdict().items() if match else ():
        if value:
            groups.setdefault(re.sub(r"\d+$", "", name), value)
    return groups


def _check_splits(source: str, rows: list[Row], rules: Rules) -> None:
    given = {row.split for row in rows} - {None}
    drawn = _eval_share(rows, rules)
    lacking = sorted(set(SPLITS) - given - ({"eval"} if drawn is not None else set()))
    if given and lacking:
        raise UserError(
            f"{source}: the given splits lack {', '.join(lacking)}; given are "
            f"{', '.join(sorted(filter(None, given)))}. Add what is lacking (`eval` alone is drawn "
            "by patient out of `train`), or set split.ignore_given to split all of it anew by "
            "patient"
        )


def _describe_splits(
    rows: list[Row],
    rules: Rules,
    table: Manifest | None,
    given: Given | None,
    withheld: bool,
) -> str:
    """Which splits are taken, and where they come from."""
    counts = Counter(row.split for row in rows if row.split)
    if not counts:
        why = "split.ignore_given is set" if rules.ignore_given else "none are given"
        return f"splits: drawn by patient ({why})"
    told = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
    if given:
        place = given.describe(withheld)
    else:
        place = f"the column split of {os.path.basename(table.path) if table else MANIFEST}"
    drawn = _eval_share(rows, rules)
    if drawn is None:
        return f"splits: {told} images, given by {place}"
    told = f"splits: {told} images, given by {place}"
    return f"{told}; {splits.describe_draw(drawn, counts)}"
