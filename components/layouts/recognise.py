"""Finds which public data set a folder holds, by its files."""

import functools
import glob
import itertools
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.layouts import registry
from tfxray.components.listing.left_out import match_glob
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings
from tfxray.components.source.dataset import Dataset, Mark

# How far below a data folder a data set's own folder may lie, as archives pack them; and how much
# further where each folder holds but one, as in `physionet.org/files/mimic-cxr-jpg/2.0.0`.
_DEEPEST = 2
_LOOKED_AT = 500  # files
_IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_MOST_FOUND = 8  # of the files that match a mark
_MOST_FOLDERS = 64  # of a level: folders of patients or studies are no archives


class Match(NamedTuple):
    """A data set that was found.

    Attributes:
        dataset: Which.
        folder: Its own folder: the data folder, or one below it.
    """

    dataset: Dataset
    folder: str


def find_datasets(folder: str) -> list[Match]:
    """The public data sets that a folder holds.

    Args:
        folder: On any of Beam's file systems.

    Returns:
        Each with its own folder; a copy within another one's folder does not count.
    """
    _remote_files.cache_clear()
    matches: list[Match] = []
    for place in _places(folder):
        for dataset in registry.DATASETS:
            above = [m.folder for m in matches if m.dataset is dataset]
            if not any(place.startswith(f"{other.rstrip('/')}/") for other in above) and _is_there(
                place, dataset
            ):
                matches.append(Match(dataset, place))
    return matches


def find_dataset(folder: str, dataset: Dataset, own_table: bool = False) -> Match:
    """Where a data set lies that is known to be there.

    Args:
        folder: The data folder.
        dataset: The one that the user names.
        own_table: Whether the user's own config names the table, so that the data set's may be
            another one.

    Raises:
        UserError: It is not there. Says which file or column is missing, and what is expected.
    """
    _remote_files.cache_clear()
    for place in _places(folder):
        if _is_there(place, dataset):
            return Match(dataset, place)
    if own_table and all(mark.headings or mark.line for mark in dataset.marks):
        return Match(dataset, folder)
    for place in _places(folder):  # which part of it is there?
        if any(_find(place, mark) for mark in dataset.marks if not mark.absent):
            raise UserError(f"{place}: {_describe_lacking(place, dataset)}. {expected(dataset)}")
    raise UserError(f"{folder}: holds no {dataset.title} (ingest.dataset). {expected(dataset)}")


def describe_half(folder: str, by_names: bool = True) -> str:
    """What a folder lacks that looks like a part of a known layout, for an error.

    A table counts that has half of the headings, or more, beside images where the data set has
    them. So do such images alone, under its names.

    Args:
        folder: One that is no known layout.
        by_names: Whether the names alone count, wherever the images lie.

    Returns:
        A sentence; empty where it looks like nothing that is known.
    """
    for place in _places(folder):
        for dataset in registry.DATASETS:
            for mark in dataset.marks:
                for path in _find(place, mark) if mark.headings else ():
                    headings = Headings([table.read_headings(path)])
                    share = sum(_has(headings, wanted) for wanted in mark.headings)
                    images = Mark(dataset.images)
                    if 2 * share >= len(mark.headings) and _find(place, images):
                        return _half(place, dataset)
    paths = _some_files(folder)
    for dataset in registry.DATASETS:
        if not dataset.names:
            continue
        named = [path for path in paths if re.search(dataset.names, path)]
        places = [match_glob(glob) for glob in dataset.images]
        matches = [p for p in named if by_names or any(place(p) for place in places)]
        if matches and 2 * len(matches) >= len(paths):
            return _half(folder, dataset)
    return ""


def _half(folder: str, dataset: Dataset) -> str:
    lacking = _describe_lacking(folder, dataset)
    if not lacking:
        return ""
    return f"It looks like a part of {dataset.title}: {lacking}. {expected(dataset)}"


def _some_files(folder: str) -> list[str]:
    """The first files of a folder that may be images."""
    if not filesystem.is_local(folder):
        return []
    paths: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        below = os.path.relpath(parent, folder).replace(os.sep, "/")
        paths += [
            os.path.normpath(f"{below}/{name}")
            for name in sorted(names)
            if name.lower().endswith(_IMAGES)
        ]
        if len(paths) >= _LOOKED_AT:
            break
    return paths[:_LOOKED_AT]


def expected(dataset: Dataset) -> str:
    """What a reader expects, in a sentence."""
    return f"{dataset.title} (ingest.dataset: {dataset.name}) has {describe_layout(dataset)}"


def describe_layout(dataset: Dataset) -> str:
    """The files and columns by which a data set is known, and where its images lie."""
    marks = []
    for mark in dataset.marks:
        columns = f" with the columns {', '.join(mark.headings)}" if mark.headings else ""
        lines = f" with lines such as {mark.example}" if mark.line else ""
        none = "no " if mark.absent else ""
        marks.append(f"{none}{' or '.join(mark.globs)}{columns}{lines}")
    images = f", and images at {' or '.join(dataset.images)}" if dataset.images else ""
    return f"{'; '.join(marks)}{images}"


def _describe_lacking(folder: str, dataset: Dataset) -> str:
    for mark in dataset.marks:
        found = _find(folder, mark)
        if mark.absent and found:
            return f"it has {os.path.relpath(found[0], folder)}, as another layout does"
        if mark.absent:
            continue
        if not found:
            return f"it lacks {' or '.join(mark.globs)}"
        if mark.line and not any(_has_line(path, mark) for path in found):
            return f"the first line of {os.path.basename(found[0])} is none of such a table"
        if mark.headings and not any(_has_headings(path, mark) for path in found):
            headings = table.read_headings(found[0])
            lacking = [h for h in mark.headings if not _has(Headings([headings]), h)]
            name = os.path.basename(found[0])
            if not headings:
                return f"{name} has no line of headings that can be read"
            return f"{name} lacks the columns {', '.join(lacking)}; it has: {', '.join(headings)}"
    return ""


def _places(folder: str) -> Iterator[str]:
    """The folder, and those below it where a data set may lie."""
    yield folder
    if not filesystem.is_local(folder):
        return
    level = [folder]
    for _ in range(_DEEPEST):
        below = [inner for place in level for inner in _folders(place)]
        yield from below
        level = below[:_MOST_FOLDERS]
    for _ in range(_DEEPEST):  # further down, where there is one way only, as in a mirror
        level = _folders(level[0]) if len(level) == 1 else []
        yield from level if len(level) == 1 else ()


def _folders(folder: str) -> list[str]:
    """The folders in a folder, the first few of them."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )  # fmt: skip
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names[:_MOST_FOLDERS]]


def _is_there(folder: str, dataset: Dataset) -> bool:
    return all(_holds(folder, mark) for mark in dataset.marks)


def _holds(folder: str, mark: Mark) -> bool:
    found = _find(folder, mark)
    if mark.absent or not found:
        return mark.absent and not found
    if mark.headings and not any(_has_headings(path, mark) for path in found):
        return False
    return not mark.line or any(_has_line(path, mark) for path in found)


@functools.lru_cache(maxsize=1)
def _remote_files(folder: str) -> tuple[str, ...]:
    """The files of a folder that is not on this machine: listed once for all marks."""
    return tuple(file.name for file in filesystem.list_files(folder))


def _any_case(pattern: str) -> str:
    """A glob of which the extension may be in capitals."""
    stem, extension = os.path.splitext(pattern)
    if "/" in extension:
        return pattern
    return stem + re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", extension)


def _find(folder: str, mark: Mark) -> list[str]:
    """The files that match a mark, the first few of them."""
    patterns = [_any_case(pattern) for pattern in mark.globs]
    if filesystem.is_local(folder):
        places = (os.path.join(glob.escape(folder), pattern) for pattern in patterns)
        paths = itertools.chain.from_iterable(map(glob.iglob, places))
        return list(itertools.islice(paths, _MOST_FOUND))
    matches = [match_glob(f"/{pattern}") for pattern in patterns]
    found = (name for name in _remote_files(folder) if any(match(name) for match in matches))
    return [os.path.join(folder, name) for name in itertools.islice(found, _MOST_FOUND)]


def _has_headings(path: str, mark: Mark) -> bool:
    headings = Headings([table.read_headings(path)])
    return all(_has(headings, wanted) for wanted in mark.headings)


def _has(headings: Headings, wanted: str) -> bool:
    """Whether a table has a column, under one of the names with ` or ` between them."""
    return any(headings.places(name) for name in wanted.split(" or "))


def _has_line(path: str, mark: Mark) -> bool:
    return re.fullmatch(mark.line, " ".join(table.read_headings(path))) is not None
