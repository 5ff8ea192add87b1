"""Finds the images of a folder and what is known of each: class, patient, split, metadata."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common.contract import METADATA
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.common.privacy import holds_dicom, names_withheld
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits
from tfxray.components.source import file_list, splits
from tfxray.components.source.manifest import MANIFEST, WITHHELD, read_manifest


@dataclasses.dataclass(frozen=True)
class Row:
    """One image file and what is known of it.

    Attributes:
        path: Below the source folder, with `/`.
        label: The class's name, as found; None where nothing tells.
        split: `train`, `eval`, `test`, or None where no split folder is given.
        metadata: `patient`, `age`, `sex`, `view`, `site`, as found; absent where unknown.
    """

    path: str
    label: str | None
    split: str | None
    metadata: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Rules:
    """How labels and metadata are found; see the config's `ingest` and `split`.

    Attributes:
        tolerated: Up to this share of images may have a label that is none of the classes: they
            are set aside. More of them are taken for a mistake in the config.
        limits: What one file may take.
        near_distance: Images whose perceptual hashes differ in at most so many bits go to one of
            the splits that are drawn.
    """

    classes: tuple[str, ...] = ()
    manifest: str | None = None
    pattern: str | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignore_given: bool = False
    eval_from_train: float | None = None
    tolerated: float = 0.0
    limits: Limits = DEFAULT_LIMITS
    near_distance: int = 16


class LabelledImages(NamedTuple):
    """A folder's images with what is known of them.

    Attributes:
        rows: The images, sorted by path; those that only the manifest names come last.
        classes: The rules', or, where they name none, the labels found.
        listing: What the folder holds besides.
    """

    rows: list[Row]
    classes: tuple[str, ...]
    listing: file_list.Listing


def label_images(source: StrPath, rules: Rules) -> LabelledImages:
    """Lists a folder's images.

    Args:
        source: The folder.
        rules: How labels and metadata are found.

    Raises:
        UserError: No folder, no image, a manifest that cannot be used, a label not among the
            classes, fewer than two classes, or given splits that lack one.
    """
    source = os.fspath(source)
    listing = file_list.list_images(source)
    files = listing.files
    splits_given = not rules.ignore_given and splits.are_given(files)
    manifest = read_manifest(source, rules.manifest, files)
    class_names = set(rules.classes) | set(rules.labels)
    try:
        pattern = re.compile(rules.pattern) if rules.pattern else None
    except re.error as error:
        raise UserError(f"pattern {rules.pattern!r}: is no regular expression: {error}") from None
    rows = [_row(path, splits_given, manifest, pattern, class_names, rules) for path in files]
    if manifest is not None:
        rows = [row for row in rows if row.path in manifest]
        listing.left_out[file_list.UNLISTED] = files
        used = {*manifest, os.path.normpath(rules.manifest or MANIFEST)}
        for rule, paths in listing.left_out.items():
            listing.left_out[rule] = [path for path in paths if path not in used]
        paths_in_folder = {row.path for row in rows}
        # A file that the manifest lists and the folder lacks becomes a reject, not a silence.
        rows += [
            _row(path, splits_given, manifest, pattern, class_names, rules)
            for path in manifest
            if path not in paths_in_folder
        ]
    if not rows:
        raise UserError(
            f"{source}: holds no images (PNG or JPEG, in class folders or with a CSV)"
            + listing.describe_unread()
        )
    return LabelledImages(rows, _check(source, rows, rules), listing)


def _row(
    path: str,
    splits_given: bool,
    manifest: dict[str, dict[str, str]] | None,
    pattern: re.Pattern[str] | None,
    class_names: set[str],
    rules: Rules,
) -> Row:
    manifest_row = (manifest or {}).get(path, {})
    groups = _match_groups(pattern, path)
    folders = path.split("/")[:-1]
    split = None
    if splits_given and folders:
        split = splits.SPLIT_FOLDERS[folders.pop(0).lower()]
    elif not rules.ignore_given and manifest_row.get("split", "").lower() in splits.SPLIT_FOLDERS:
        split = splits.SPLIT_FOLDERS[manifest_row["split"].lower()]
    # The folder that names a class. Where none does, the nearest, for the error's sake; where no
    # classes are known, the topmost.
    nearest = folders[-1 if class_names else 0] if folders else None
    folder = next((f for f in folders if f in class_names), nearest)
    label = manifest_row.get("label") or groups.get("label") or folder
    if splits_given and not split:  # it lies beside the split folders, and cannot be drawn to one
        label = None
    metadata = {key: manifest_row.get(key) or groups.get(key, "") for key in METADATA}
    if groups.get("kind") and metadata["patient"] == groups.get("patient"):
        metadata["patient"] = f"{groups['kind']}-{metadata['patient']}"
    metadata = {key: value for key, value in metadata.items() if value}
    if rules.eval_from_train is not None:
        split = splits.draw_split(split, metadata.get("patient", path), rules.eval_from_train)
    return Row(path, rules.labels.get(label, label) if label else None, split, metadata)


def _match_groups(pattern: re.Pattern[str] | None, path: str) -> dict[str, str]:
    """A pattern's groups; `patient2` counts as `patient` where the latter did not match."""
    match = pattern.search(path) if pattern else None
    groups: dict[str, str] = {}
    for name, value in match.groupdict().items() if match else ():
        if value:
            groups.setdefault(re.sub(r"\d+$", "", name), value)
    return groups


def _check(source: str, rows: list[Row], rules: Rules) -> tuple[str, ...]:
    paths = [row.path for row in rows]
    if not rules.classes and holds_dicom(source, paths):
        raise UserError(
            f"{source}: there is DICOM among the images: name the classes (--classes). Folders "
            "would become classes, which records name, and they may be named after patients"
        )
    labels = Counter(row.label for row in rows if row.label)
    classes = rules.classes or tuple(sorted(labels))
    unknown = [label for label in labels if label not in classes]
    if sum(labels[label] for label in unknown) > rules.tolerated * len(rows):
        raise UserError(_unknown(source, rows, classes, {name: labels[name] for name in unknown}))
    if not labels:
        raise UserError(
            f"{source}: nothing tells the class of an image: no class folders "
            f"[{', '.join(classes)}], no `label` column in a {MANIFEST}, no group `label` in "
            "ingest.pattern"
        )
    missing = [name for name in classes if not labels[name]]
    if missing or len(classes) < 2:
        class_names = classes if names_withheld(source, paths) else sorted(labels)
        raise UserError(
            f"{source}: a classifier needs images of two classes or more; found "
            + ", ".join(f"{name}: {labels[name]}" for name in class_names if labels[name])
            + (f"; none of {', '.join(missing)}" if missing else "")
        )
    given = {row.split for row in rows} - {None}
    lacking = sorted({"train", "eval", "test"} - given) if given else []
    if lacking:
        raise UserError(
            f"{source}: the given split folders lack {', '.join(lacking)}. Set "
            "split.eval_from_train to draw eval by patient out of train, or split.ignore_given "
            "to split all of it anew by patient"
        )
    return classes


def _unknown(
    source: str, rows: list[Row], classes: Sequence[str], labels: Mapping[str, int]
) -> str:
    first = {label: _first(rows, label) for label in list(labels)[:5]}
    start = f"{source}: labels that are not among the classes [{', '.join(classes)}]: "
    if not names_withheld(source, [*first.values(), *(row.path for row in rows)]):
        examples = "; ".join(
            f"{label!r} ({labels[label]} images, first {path})" for label, path in first.items()
        )
        return (
            f"{start}{examples}. Add them to `classes`, or say in `ingest.labels` which class each "
            "means"
        )
    return (
        f"{start}{len(labels)} labels of {sum(labels.values())} images, {WITHHELD}. An image's "
        "label is the folder on its path that is named like a class, from the top; where there is "
        f"none, the folder that it lies in. A column `label` in a {MANIFEST} or a group `label` in "
        "`ingest.pattern` counts before folders. Or say in `ingest.labels` which class each means"
    )


def _first(rows: list[Row], label: str) -> str:
    return next(row.path for row in rows if row.label == label)
