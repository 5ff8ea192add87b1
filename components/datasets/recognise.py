"""Finds which public data set a folder holds, by its files."""

import glob
import os
from collections.abc import Iterator
from typing import NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.datasets import registry
from tfxray.components.listing.left_out import match_glob
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings
from tfxray.components.source.dataset import Dataset, Mark

_DEEPEST = 2  # how far below a data folder a data set's own folder may lie, as archives pack them
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
    matches: list[Match] = []
    for place in _places(folder):
        for dataset in registry.DATASETS:
            above = [m.folder for m in matches if m.dataset is dataset]
            if not any(place.startswith(f"{other.rstrip('/')}/") for other in above) and _is_there(
                place, dataset
            ):
                matches.append(Match(dataset, place))
    return matches


def find_dataset(folder: str, dataset: Dataset) -> Match:
    """Where a data set lies that is known to be there.

    Args:
        folder: The data folder.
        dataset: The one that the user names.

    Raises:
        UserError: It is not there. Says which file or column is missing, and what is expected.
    """
    for place in _places(folder):
        if _is_there(place, dataset):
            return Match(dataset, place)
    for place in _places(folder):  # which part of it is there?
        there = [mark for mark in dataset.marks if _find(place, mark.files)]
        if there:
            raise UserError(f"{place}: {_describe_lacking(place, dataset)}. {expected(dataset)}")
    raise UserError(f"{folder}: holds no {dataset.title} (ingest.dataset). {expected(dataset)}")


def expected(dataset: Dataset) -> str:
    """What a reader expects, in a sentence."""
    return f"{dataset.title} (ingest.dataset: {dataset.name}) has {describe_layout(dataset)}"


def describe_layout(dataset: Dataset) -> str:
    """The files and columns by which a data set is known, and where its images lie."""
    marks = []
    for mark in dataset.marks:
        columns = f" with the columns {', '.join(mark.headings)}" if mark.headings else ""
        marks.append(f"{mark.files}{columns}")
    images = f", and images at {' or '.join(dataset.images)}" if dataset.images else ""
    return f"{'; '.join(marks)}{images}"


def _describe_lacking(folder: str, dataset: Dataset) -> str:
    for mark in dataset.marks:
        found = _find(folder, mark.files)
        if not found:
            return f"lacks {mark.files}"
        if mark.headings and not any(_has_headings(path, mark) for path in found):
            headings = table.read_headings(found[0])
            lacking = [h for h in mark.headings if not Headings([headings]).places(h)]
            return (
                f"{os.path.basename(found[0])} lacks the columns {', '.join(lacking)}; it has: "
                f"{', '.join(headings) or 'none'}"
            )
    return "is not whole"


def _places(folder: str) -> Iterator[str]:
    """The folder, and those below it where a data set may lie."""
    yield folder
    if not filesystem.is_local(folder):
        return
    level = [folder]
    for _ in range(_DEEPEST):
        below = []
        for place in level:
            try:
                with os.scandir(place) as entries:
                    names = sorted(
                        entry.name for entry in entries
                        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
                    )  # fmt: skip
            except OSError:
                continue
            below += [os.path.join(place, name) for name in names[:_MOST_FOLDERS]]
        yield from below
        level = below[:_MOST_FOLDERS]


def _is_there(folder: str, dataset: Dataset) -> bool:
    for mark in dataset.marks:
        found = _find(folder, mark.files)
        if not found or (mark.headings and not any(_has_headings(p, mark) for p in found)):
            return False
    return True


def _find(folder: str, pattern: str) -> list[str]:
    """The files that match a mark, the first few of them."""
    if filesystem.is_local(folder):
        paths = glob.iglob(os.path.join(glob.escape(folder), pattern))
        return [path for path, _ in zip(paths, range(8), strict=False)]
    match = match_glob(f"/{pattern}")
    every = (file.name for file in filesystem.list_files(folder))
    return [os.path.join(folder, name) for name in every if match(name)][:8]


def _has_headings(path: str, mark: Mark) -> bool:
    headings = Headings([table.read_headings(path)])
    return all(headings.places(heading) for heading in mark.headings)
