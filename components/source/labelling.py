"""Finds the images of a folder and what is known of each: class, patient, split, metadata."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common import privacy
from tfxray.components.common.contract import SPLITS, Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.listing import file_list, left_out
from tfxray.components.manifest import manifest
from tfxray.components.manifest.manifest import MANIFEST, Manifest
from tfxray.components.metadata.patients import known_patient
from tfxray.components.source import finder, label_checks, splits
from tfxray.components.source.rows import Row, Rules

_SHOWN = 5  # names in a line for the user
ReadBeside = Callable[[str, Sequence[str]], Mapping[str, Mapping[str, str]]]


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


def label_images(
    source: StrPath, rules: Rules, read_beside: ReadBeside | None = None
) -> LabelledImages:
    """Lists a folder's images.

    Args:
        source: The folder.
        rules: How labels and metadata are found.
        read_beside: Reads what other files tell of images, from the folder and the images' paths
            to metadata by path; a `label` may be among it.

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
    class_names = finder.class_names(rules)
    choice = left_out.Choice(
        rules.include, rules.exclude, rules.follow_links, tuple(sorted(class_names))
    )
    listing = file_list.list_images(source, choice)
    table = manifest.read_manifest(source, rules.layout, listing)
    paths = listing.files if table is None else _listed(table, listing, rules)
    withheld = privacy.names_withheld(source, paths)
    _note_listing(listing, table, withheld)
    listing.gone.update(table.gone if table else ())
    given = _find_given(source, rules, table, paths, class_names, withheld)
    if isinstance(given, splits.ListedSplits) and given.note:
        listing.notes.append(given.note)
    beside = read_beside(source, paths) if read_beside else {}
    found = finder.Finder(table, given, pattern, rules, paths, beside)
    rows = [row for path in paths if (row := found.row(path))]
    listing.left_out.update(found.left_out)
    if found.contradicted:
        listing.notes.append(
            f"{found.contradicted} images have a finding, and a cell that says that there is none: "
            "the finding counts"
        )
    if found.parts:
        told = ", ".join(f"{part} ({count})" for part, count in found.parts.most_common(_SHOWN))
        told = told if rules.dataset or not withheld else str(found.parts.total())
        listing.notes.append(f"parts of words that mean none of the findings: {told}")
    if found.disagreed:
        listing.notes.append(f"{found.disagreed} images have rows without a majority: rejected")
    if isinstance(given, splits.ListedSplits) and (unlisted := sum(not r.split for r in rows)):
        listing.notes.append(f"{unlisted} images are in none of the lists in split.lists: rejected")
    if not rows:
        raise UserError(
            f"{source}: holds no images (PNG, JPEG, BMP, TIFF, WebP or DICOM, in class folders or "
            f"with a table){listing.describe_rest()}"
        )
    check = label_checks.check_findings if rules.findings else label_checks.check_classes
    task = check(source, rows, rules, listing)
    _check_splits(source, rows, rules)
    listing.notes.append(_describe_splits(rows, rules, table, given, withheld))
    if rules.findings and task.names != rules.findings:
        rows = [_only(row, task.names) for row in rows]
    share = _eval_share(rows, rules)
    if share is not None:
        share = splits.least_share(_known_patients(rows), share)
        rows = [_draw(row, share) for row in rows]
    return LabelledImages(rows, task, listing)


def _find_given(
    source: str,
    rules: Rules,
    table: Manifest | None,
    paths: Sequence[str],
    class_names: set[str],
    withheld: bool,
) -> finder.Given | None:
    """What tells the splits; None where they are drawn, or the table's column tells them."""
    if rules.ignore_given:
        return None
    if rules.split_lists:
        return splits.read_lists(source, rules.split_lists, paths, rules.root)
    if table and table.tells_splits:
        return None
    return splits.find_folders(source, paths, class_names, withheld)


def _eval_share(rows: Sequence[Row], rules: Rules) -> float | None:
    """The share of the patients in `train` that becomes `eval`; None where nothing is drawn."""
    given = {row.split for row in rows if row.split}
    return splits.eval_share(given, rules.eval_from_train, rules.eval_share)


def _only(row: Row, names: Sequence[str]) -> Row:
    """A row with some of its findings alone."""
    told = {name: value for name, value in (row.findings or {}).items() if name in names}
    return dataclasses.replace(row, findings=told or None)


def _known_patients(rows: Sequence[Row]) -> set[str]:
    """The patients in `train` and `eval`, where all of them are known."""
    drawn = [row for row in rows if row.split in ("train", "eval") and row.labelled]
    owners = {known_patient(row.metadata.get("patient", "")) for row in drawn}
    return set() if "" in owners else owners


def _draw(row: Row, share: float) -> Row:
    patient = known_patient(row.metadata.get("patient", ""))
    split = splits.draw_split(row.split, patient, share) if patient else row.split
    return Row(row.path, row.label, split, row.metadata, share, row.findings, row.detail)


def _listed(table: Manifest, listing: file_list.Listing, rules: Rules) -> list[str]:
    """The images that a manifest lists; what it does not list is left out.

    Of a public data set, what its table does not list is set aside as images without a label: the
    table is known to list all of them.
    """
    files = listing.files
    paths = [path for path in files if path in table.rows]
    in_folder = set(paths)
    not_kept = table.not_kept - in_folder
    unlisted = [path for path in files if path not in in_folder and path not in not_kept]
    listing.left_out[left_out.NOT_KEPT] = [path for path in files if path in not_kept]
    if not rules.dataset:
        listing.left_out[left_out.UNLISTED] = unlisted
    used = {*table.rows, *table.files}
    for rule, others in listing.left_out.items():
        listing.left_out[rule] = [path for path in others if path not in used]
    # A file that the manifest lists and the folder lacks becomes a reject, not a silence.
    absent = [path for path in table.rows if path not in in_folder]
    if rules.dataset:
        told = f"{len(unlisted)} images have no row in the table, and {len(absent)} rows no image"
        if unlisted or absent:
            listing.notes.append(f"{told}: rejected")
        return sorted([*paths, *unlisted]) + absent
    return [*paths, *absent]


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


def _describe_tables(rules: Rules, name: str) -> str:
    """Which tables give the splits."""
    if isinstance(rules.manifest, Mapping):
        return f"the tables {', '.join(rules.manifest.values())}"
    return f"the column split of {name}{' and the tables joined to it' if rules.joins else ''}"


def _describe_splits(
    rows: list[Row],
    rules: Rules,
    table: Manifest | None,
    given: finder.Given | None,
    withheld: bool,
) -> str:
    """Which splits are taken, and where they come from."""
    counts = Counter(row.split for row in rows if row.split)
    if not counts:
        why = "split.ignore_given is set" if rules.ignore_given else "none are given"
        why = "no official split is taken" if rules.dataset else why
        return f"splits: drawn by patient ({why})"
    told = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
    if given:
        place = given.describe(withheld)
    else:
        place = _describe_tables(rules, os.path.basename(table.path) if table else MANIFEST)
    drawn = _eval_share(rows, rules)
    if drawn is None:
        return f"splits: {told} images, given by {place}"
    told = f"splits: {told} images, given by {place}"
    return f"{told}; {splits.describe_draw(drawn, counts)}"
