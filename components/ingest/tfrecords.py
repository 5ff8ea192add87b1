"""Finds the TFRecords of a folder, and which splits they are."""

import dataclasses
import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfxray.components.common import contract, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.ingest.labelling import SPLIT_FOLDERS

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
        globs: One below `base` per split, or one for all.
    """

    base: str
    files: tuple[str, ...]
    splits: tuple[str, ...]
    globs: tuple[str, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Full glob patterns, one per split, or one for all."""
        return tuple(os.path.join(self.base, glob) for glob in self.globs)


def holds_records(folder: StrPath) -> bool:
    """Whether a folder holds TFRecords, at its top or one level below."""
    return any(is_record(os.path.basename(name)) for name in _candidates(folder))


def list_records(folder: StrPath) -> list[str]:
    """A folder's TFRecords, at its top or one level below, sorted, whatever their splits."""
    return _records(_candidates(folder))


def _records(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if is_record(os.path.basename(name)))


def _candidates(folder: StrPath) -> Iterator[str]:
    if not filesystem.is_local(folder):
        every = (file.name for file in filesystem.list_files(os.fspath(folder)))
        yield from (name for name in every if name.count("/") <= 1)
        return
    for pattern in ("*", "*/*"):
        paths = (path for path in Path(folder).glob(pattern) if path.is_file())
        yield from (str(path.relative_to(folder)) for path in paths)


def find_layout(folder: StrPath, ignore_given: bool = False) -> Layout:
    """Finds a folder's TFRecords and their splits.

    Splits are given by folders (`train/`, `val/`, `test/`) or by a word in the file names
    (`train-00000-of-00008`, `xray_val_00.tfrecord`).

    Raises:
        UserError: None found, some outside the splits, or a split is missing.
    """
    folder = os.fspath(folder)
    everything = list(_candidates(folder))
    files = _records(everything)
    if not files:
        raise UserError(
            f"{folder}: holds no TFRecords (*.tfrecord, *.tfrecord.gz, *-00000-of-00001)"
        )
    groups: dict[str | None, list[str]] = {}
    for file in files:
        groups.setdefault(None if ignore_given else _split_of(file), []).append(file)
    if set(groups) == {None}:
        return Layout(folder, tuple(files), (), (_glob(folder, files, everything),))
    lacking = sorted(set(contract.SPLITS) - set(groups))
    if lacking or None in groups:
        raise UserError(
            f"{folder}: some TFRecords name their split, but "
            + (f"there is none for {', '.join(lacking)}" if lacking else "")
            + (f" {groups[None][0]} names no split" if None in groups else "")
            + ". Give train, eval (or val) and test, or set split.ignore_given to split anew by "
            "patient"
        )
    globs = tuple(_glob(folder, groups[split], everything) for split in contract.SPLITS)
    return Layout(folder, tuple(files), contract.SPLITS, globs)


def _split_of(file: str) -> str | None:
    folder, name = os.path.split(file.lower())
    for word in (folder, *_SPLIT_WORD.split(name)):
        if word in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[word]
    return None


def _glob(folder: str, files: list[str], everything: list[str]) -> str:
    """One glob that matches these files and no other file of the folder: ExampleGen takes one."""
    prefix = os.path.commonprefix(files)  # noqa: RUF071  characters are what a glob needs
    parents = {os.path.dirname(file) for file in files}
    start = os.path.join(parents.pop(), "") if len(parents) == 1 else "*/"
    candidates = [f"{start}*", f"{start}*.tfrecord*", f"{start}*-of-*", f"{prefix}*"]
    for glob in candidates:
        # fnmatch's * crosses folders and Beam's does not: same depth, same match.
        depth = glob.count("/")
        matches = [f for f in everything if f.count("/") == depth and fnmatch.fnmatch(f, glob)]
        if sorted(matches) == sorted(files):
            return glob
    raise UserError(
        f"{folder}: no pattern tells its TFRecords from its other files; keep each split's "
        "records in a folder of their own"
    )
