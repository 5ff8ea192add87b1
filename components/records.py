"""Reads folders of TFRecords: which splits they hold, and whether they keep the data contract."""

import dataclasses
import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tfxray.components import names
from tfxray.components.errors import UserError
from tfxray.components.images import Rejected
from tfxray.components.sources import SPLIT_FOLDERS

_RECORD_FILE = re.compile(r"\.tfrecords?(\.gz)?$|-\d{5}-of-\d{5}(\.tfrecords?)?(\.gz)?$")
_SPLIT_WORD = re.compile(r"[^a-z]+")


def is_record(name: str) -> bool:
    """Whether a file's name is a TFRecord's: `x.tfrecord`, `x.tfrecord.gz`, `x-00000-of-00002`."""
    return bool(_RECORD_FILE.search(name)) and not name.startswith(".")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a folder's TFRecords lie.

    Attributes:
        base: The folder.
        files: All records, below the folder.
        splits: `train`, `eval`, `test` where given, else empty.
        patterns: A glob below... `base` joined, for each split, or one for all.
    """

    base: Path
    files: tuple[str, ...]
    splits: tuple[str, ...]
    globs: tuple[str, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Full glob patterns, one per split, or one for all."""
        return tuple(str(self.base / glob) for glob in self.globs)


def holds_records(folder: Path) -> bool:
    """Whether a folder holds TFRecords, at its top or one level below."""
    return any(is_record(path.name) for path in _candidates(folder))


def _candidates(folder: Path) -> Iterator[Path]:
    yield from (p for p in folder.glob("*") if p.is_file())
    yield from (p for p in folder.glob("*/*") if p.is_file())


def find(folder: Path, ignore_given: bool = False) -> Layout:
    """Finds a folder's TFRecords and their splits.

    Splits are given by folders (`train/`, `val/`, `test/`) or by a word in the file names
    (`train-00000-of-00008`, `xray_val_00.tfrecord`).

    Raises:
        UserError: None found, some outside the splits, or a split is missing.
    """
    files = sorted(str(p.relative_to(folder)) for p in _candidates(folder) if is_record(p.name))
    if not files:
        raise UserError(f"{folder}: holds no TFRecords (*.tfrecord, *.tfrecord.gz, *-00000-of-00001)")
    groups: dict[str | None, list[str]] = {}
    for file in files:
        groups.setdefault(None if ignore_given else _split_of(file), []).append(file)
    if set(groups) == {None}:
        return Layout(folder, tuple(files), (), (_glob(folder, files),))
    lacking = sorted(set(names.SPLITS) - set(groups))
    if lacking or None in groups:
        raise UserError(
            f"{folder}: some TFRecords name their split, but "
            + (f"there is none for {', '.join(lacking)}" if lacking else "")
            + (f" {groups[None][0]} names no split" if None in groups else "")
            + ". Give train, eval (or val) and test, or set split.ignore_given to split anew by "
            "patient"
        )
    globs = tuple(_glob(folder, groups[split]) for split in names.SPLITS)
    return Layout(folder, tuple(files), names.SPLITS, globs)


def _split_of(file: str) -> str | None:
    folder, name = os.path.split(file.lower())
    for word in (folder, *_SPLIT_WORD.split(name)):
        if word in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[word]
    return None


def _glob(folder: Path, files: list[str]) -> str:
    """One glob that matches these files and no other file of the folder: ExampleGen takes one."""
    everything = [str(p.relative_to(folder)) for p in _candidates(folder)]
    prefix = os.path.commonprefix(files)
    parents = {os.path.dirname(file) for file in files}
    start = os.path.join(parents.pop(), "") if len(parents) == 1 else "*/"
    candidates = [f"{start}*", f"{start}*.tfrecord*", f"{start}*-of-*", f"{prefix}*"]
    for glob in candidates:
        # fnmatch's * crosses folders and Beam's does not: same depth, same match.
        depth = glob.count("/")
        matched = [f for f in everything if f.count("/") == depth and fnmatch.fnmatch(f, glob)]
        if sorted(matched) == sorted(files):
            return glob
    raise UserError(
        f"{folder}: no pattern tells its TFRecords from its other files; keep each split's "
        "records in a folder of their own"
    )


def values(record: bytes, mapping: Mapping[str, str]) -> dict[str, bytes | int | float | str]:
    """A record's first values under the contract's names; what is missing is left out."""
    features = tf.train.Example.FromString(record).features.feature
    found: dict[str, bytes | int | float | str] = {}
    for name in names.FEATURES:
        feature = features.get(mapping.get(name, name))
        kind = feature.WhichOneof("kind") if feature is not None else None
        if kind and (content := getattr(feature, kind).value):
            value = content[0]
            is_text = isinstance(value, bytes) and name != names.IMAGE
            found[name] = value.decode("utf-8", "replace") if is_text else value
    return found


def label(found: Mapping[str, object], classes: Sequence[str]) -> str:
    """The class of a record, by its text or its number.

    Raises:
        Rejected: Neither is there, or it is none of the classes.
    """
    text, number = found.get(names.TEXT), found.get(names.LABEL)
    if text in classes:
        return str(text)
    if isinstance(number, str) and number in classes:
        return number
    if isinstance(number, int) and 0 <= number < len(classes):
        return classes[number]
    if text is None and number is None:
        raise Rejected("no label")
    raise Rejected(f"label {number if text is None else text!r} is not among the classes")


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan of TFRecords by the contract found.

    Attributes:
        examples: Records.
        labels: Records per class.
        group: The feature to split by: `patient/id`, else `image/filename`, else None.
    """

    examples: int
    labels: dict[str, int]
    group: str | None


def scan(layout: Layout, classes: Sequence[str]) -> Scan:
    """Reads all records once, to find damage before anything is trained.

    Raises:
        UserError: A damaged file, a record without image or label, a label out of range, fewer
            than two classes. Names file and record.
    """
    counts: Counter[int] = Counter()
    groups = {names.PATIENT, names.FILENAME}
    for file in layout.files:
        path = str(layout.base / file)
        compression = "GZIP" if file.endswith(".gz") else ""
        position = 0
        try:
            for record in tf.data.TFRecordDataset(path, compression).as_numpy_iterator():
                features = tf.train.Example.FromString(record).features.feature
                _check_record(features, f"{path}, record {position}", classes)
                counts[features[names.LABEL].int64_list.value[0]] += 1
                groups -= {g for g in groups if not features[g].bytes_list.value}
                position += 1
        except tf.errors.OpError as error:
            raise UserError(
                f"{path}: damaged after record {position}: {error.message.split(';')[0]}. Write "
                "it again, or take it out of the folder"
            ) from None
        except ValueError:
            raise UserError(f"{path}, record {position}: is no tf.train.Example") from None
    labels = {name: counts[i] for i, name in enumerate(classes)}
    if min(labels.values(), default=0) == 0:
        raise UserError(f"{layout.base}: needs records of every class; found {labels}")
    group = next((g for g in (names.PATIENT, names.FILENAME) if g in groups), None)
    return Scan(counts.total(), labels, group)


def _check_record(features: Mapping[str, tf.train.Feature], where: str, classes: Sequence[str]) -> None:
    for name in (names.IMAGE, names.LABEL):
        if name not in features:
            held = ", ".join(sorted(features)) or "nothing"
            raise UserError(
                f"{where}: has no {name!r}; it has {held}. If it is there under another name, say "
                f"so in the config: ingest.features: {{{name}: THAT_NAME}}"
            )
    if not features[names.IMAGE].bytes_list.value:
        raise UserError(f"{where}: {names.IMAGE!r} is empty")
    labels = features[names.LABEL].int64_list.value
    if len(labels) != 1 or not 0 <= labels[0] < len(classes):
        raise UserError(
            f"{where}: {names.LABEL!r} is {list(labels)}; allowed: 0 to {len(classes) - 1}, for "
            f"[{', '.join(classes)}]"
        )
