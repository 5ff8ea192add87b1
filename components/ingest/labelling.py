"""Finds the images of a folder and what is known of each: class, patient, split, metadata."""

import csv
import dataclasses
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.contract import METADATA
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import REJECTS
from tfxray.components.common.filesystem import StrPath
from tfxray.components.common.privacy import holds_dicom, names_withheld
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits

SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "eval", "valid": "eval", "validation": "eval", "eval": "eval", "dev": "eval",
    "test": "test", "testing": "test",
}  # fmt: skip
MANIFEST = "manifest.csv"
# What lies beside images and is none of them. Anything else is opened, whatever its extension.
_NOT_IMAGES = {".csv", ".json", ".txt", ".md", ".html", ".pdf", ".py", ".yaml", ".yml", ".xml",
               ".xlsx", ".ini", ".db", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z",
               ".rar"}  # fmt: skip
# The rules by which a file is left out, as `ingest.json` counts them.
HIDDEN, OTHER_KIND, UNLISTED = "hidden", "other_kind", "not_in_manifest"
_WITHHELD = "not shown, since there is DICOM among the images and names may be patients'"


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
    """

    classes: tuple[str, ...] = ()
    manifest: str | None = None
    pattern: str | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignore_given: bool = False
    eval_from_train: float | None = None
    tolerated: float = 0.0
    limits: Limits = DEFAULT_LIMITS


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds: each entry is in one of these.

    Attributes:
        files: Those that may be images, below the folder, sorted, with `/`.
        unread: Folders that were not entered: path, reason as of `rejects.REASONS`, and detail.
        left_out: Files that are none of both, by rule: `hidden` (their name, or a folder's on
            their path, begins with a dot or `__MACOSX`), `other_kind` (an extension that no image
            has), `not_in_manifest`. A manifest that was read is none of them.
    """

    files: list[str] = dataclasses.field(default_factory=list)
    unread: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def count_left_out(self) -> dict[str, int]:
        """How many files each rule left out."""
        return {rule: len(paths) for rule, paths in sorted(self.left_out.items()) if paths}

    def describe_unread(self) -> str:
        """The folders that were not entered, for an error, without their names: `` if none."""
        counts = Counter(f"{code} folders" for _, code, _ in self.unread)
        return "".join(f"; {what}: {count}" for what, count in sorted(counts.items()))


class LabelledImages(NamedTuple):
    """A folder's images with what is known of them.

    Attributes:
        rows: The images, sorted by path; those that only the manifest names come last.
        classes: The rules', or, where they name none, the labels found.
        listing: What the folder holds besides.
    """

    rows: list[Row]
    classes: tuple[str, ...]
    listing: Listing


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
    listing = list_images(source)
    files = listing.files
    splits_given = _given_splits(files, rules)
    manifest = _read_manifest(source, rules, files)
    class_names = set(rules.classes) | set(rules.labels)
    try:
        pattern = re.compile(rules.pattern) if rules.pattern else None
    except re.error as error:
        raise UserError(f"pattern {rules.pattern!r}: is no regular expression: {error}") from None
    rows = [_row(path, splits_given, manifest, pattern, class_names, rules) for path in files]
    if manifest is not None:
        rows = [row for row in rows if row.path in manifest]
        listing.left_out[UNLISTED] = files
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


def list_images(source: str) -> Listing:
    """Lists a folder, at any depth.

    A folder behind a link is not entered. What it holds is not a part of the folder, or is in it
    under its own name; and a link may lead in a circle.

    Raises:
        UserError: There is no such folder, or it cannot be listed.
    """
    if not filesystem.is_folder(source):
        raise UserError(f"{source}: no such folder")
    listing = Listing(left_out={HIDDEN: [], OTHER_KIND: []})
    for path in _walk(source, listing):
        *parents, name = path.split("/")
        if any(map(_is_hidden, [*parents, name])):
            listing.left_out[HIDDEN].append(path)
        elif os.path.splitext(name)[1].lower() in _NOT_IMAGES:
            listing.left_out[OTHER_KIND].append(path)
        else:
            listing.files.append(path)
    listing.files.sort()
    listing.unread.sort()
    return listing


def _walk(source: str, listing: Listing) -> Iterator[str]:
    """All files below a folder; folders that are not entered go into the listing."""
    if not filesystem.is_local(source):
        yield from (file.name for file in filesystem.list_files(source))
        return

    def below(path: str) -> str:
        return os.path.relpath(path, source).replace(os.sep, "/")

    def note(error: OSError) -> None:
        name = below(os.fsdecode(error.filename))
        if name == ".":
            raise UserError(f"{source}: cannot be listed: {error.strerror}") from None
        listing.unread.append((name, "unreadable", f"a folder: {error.strerror}"))

    for folder, inside, names in os.walk(source, onerror=note):
        yield from (below(os.path.join(folder, name)) for name in names)
        for path in (os.path.join(folder, name) for name in inside):
            if os.path.islink(path):
                listing.unread.append((below(path), "outside", "a linked folder, not entered"))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _given_splits(files: list[str], rules: Rules) -> bool:
    tops = {path.split("/")[0].lower() for path in files if "/" in path}
    return bool(tops) and not rules.ignore_given and tops <= set(SPLIT_FOLDERS)


def _read_manifest(source: str, rules: Rules, files: list[str]) -> dict[str, dict[str, str]] | None:
    path = os.path.join(source, rules.manifest or MANIFEST)
    if not filesystem.is_file(path):
        if rules.manifest:
            raise UserError(f"{path}: no such manifest (ingest.manifest)")
        return None
    with filesystem.open_file(path) as file:
        try:
            text = io.StringIO(file.read().decode("utf-8-sig"), newline="")
            reader = csv.DictReader(text)
            columns = reader.fieldnames or []
            if "path" not in columns:
                # Without a line of headings, the first image's stand in their place.
                column_names = _WITHHELD if names_withheld(source, files) else ", ".join(columns)
                raise UserError(
                    f"{path}: needs a column `path`; has: {column_names}. Further columns "
                    f"that are read: label, split, {', '.join(METADATA)} (or patient_id)"
                )
            rows = {}
            for row in reader:
                values = {key: value.strip() for key, value in row.items() if key and value}
                if "patient_id" in values:
                    values.setdefault("patient", values["patient_id"])
                if "path" in values:
                    rows[values["path"].replace("\\", "/").removeprefix("./")] = values
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path}: is not a CSV file in UTF-8: {error}") from None
    return rows


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
        split = SPLIT_FOLDERS[folders.pop(0).lower()]
    elif not rules.ignore_given and manifest_row.get("split", "").lower() in SPLIT_FOLDERS:
        split = SPLIT_FOLDERS[manifest_row["split"].lower()]
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
        split = _draw_split(split, metadata.get("patient", path), rules.eval_from_train)
    return Row(path, rules.labels.get(label, label) if label else None, split, metadata)


def _match_groups(pattern: re.Pattern[str] | None, path: str) -> dict[str, str]:
    """A pattern's groups; `patient2` counts as `patient` where the latter did not match."""
    match = pattern.search(path) if pattern else None
    groups: dict[str, str] = {}
    for name, value in match.groupdict().items() if match else ():
        if value:
            groups.setdefault(re.sub(r"\d+$", "", name), value)
    return groups


def _draw_split(split: str | None, patient: str, share: float) -> str | None:
    """Draws `eval` by patient out of `train`; a given `eval` joins `train` first."""
    if split not in ("train", "eval"):
        return split
    bucket = int(hashlib.sha256(_bytes(patient)).hexdigest(), 16) % 10_000
    return "eval" if bucket < share * 10_000 else "train"


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
    splits = {row.split for row in rows} - {None}
    lacking = sorted({"train", "eval", "test"} - splits) if splits else []
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
        f"{start}{len(labels)} labels of {sum(labels.values())} images, {_WITHHELD}. An image's "
        "label is the folder on its path that is named like a class, from the top; where there is "
        f"none, the folder that it lies in. A column `label` in a {MANIFEST} or a group `label` in "
        "`ingest.pattern` counts before folders. Or say in `ingest.labels` which class each means"
    )


def _bytes(text: str) -> bytes:
    """As the file system has it: a name need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _first(rows: list[Row], label: str) -> str:
    return next(row.path for row in rows if row.label == label)


def fingerprint(source: StrPath) -> str:
    """A digest of a folder's file names, sizes and times: changes when the data does."""
    digest = hashlib.sha256()
    if not filesystem.is_local(source):
        for file in filesystem.list_files(os.fspath(source)):
            digest.update(_bytes(f"{file}\n" if os.path.basename(file.name) != REJECTS else ""))
        return digest.hexdigest()

    def note(error: OSError) -> None:  # it quotes a name
        digest.update(_bytes(f"{os.fsdecode(error.filename)}\0{error.errno}\n"))

    for folder, inside, names in os.walk(source, onerror=note):
        inside.sort()
        links = (name for name in inside if os.path.islink(os.path.join(folder, name)))
        for name in sorted([*names, *links]):
            if name == REJECTS:
                continue
            path = os.path.join(folder, name)
            try:
                stat = os.lstat(path)
            except OSError:  # gone meanwhile, or forbidden; the error would quote the name
                digest.update(_bytes(f"{path}\0\n"))
                continue
            digest.update(_bytes(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
    return digest.hexdigest()
