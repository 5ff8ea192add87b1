"""Finds the level of a folder's folders that tells the classes of its images."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from tfxray.components.metadata import sexes, views
from tfxray.components.metadata.split_names import SPLIT_NAMES
from tfxray.components.metadata.words import NotUnderstood, word_list
from tfxray.pipeline.proposal import class_words

MOST_CLASSES = 20  # more folders, or more words of a table, are something else
_DEEPEST = 4  # folders below which none is looked for that is a class
_LEAST = 0.95  # of the images must lie in class folders
_SHARED = 0.5  # of a level's names must recur, so that they say the same below each folder
_NUMBERED = re.compile(r"[A-Za-z]*[ _-]?\d+")  # the name of a patient's folder, or of a part
_NTH = ("first", "second", "third", "fourth")
# What folders are called after the files that they hold, whatever these show.
_KINDS = word_list("""
    image, images, img, imgs, mask, masks, png, jpg, jpeg, dicom, dcm, xray, xrays, cxr
""")


class Level(NamedTuple):
    """Folders at one depth that may be classes.

    Attributes:
        depth: Of the folders; 0 for those in the data folder itself.
        counts: Their names, with the number of their images.
        others: The folders at other depths that may be classes as well: depths and numbers.
    """

    depth: int
    counts: Counter[str]
    others: tuple[tuple[int, int], ...] = ()

    def lines(self, shown: bool) -> list[str]:
        """What a user must know of the choice: names of other levels may be patients'.

        Args:
            shown: Whether names may be told.
        """
        if not self.others:
            return []
        names = f" ({', '.join(sorted(self.counts))})" if shown else ""
        rest = " or ".join(f"{number} at the {_NTH[d]}" for d, number in self.others)
        line = (
            f"folders at several levels may be the classes: taken are those at the "
            f"{_NTH[self.depth]} level{names}, not the {rest} level. CHECK"
        )
        above = min(depth for depth, _ in self.others)
        if above < self.depth:
            pattern = "^" + "[^/]+/" * above + "(?P<patient>[^/]+)/"
            line += f". If those are patients, write `pattern: '{pattern}'` below `ingest`"
        return [line]


def find_level(paths: Sequence[str]) -> Level | None:
    """Finds the folders that tell the classes; None where no level may.

    Of several levels, that one counts which has words for classes; then one whose names recur below
    each folder of the level above, as NORMAL and PNEUMONIA do below each hospital; then the
    uppermost.

    Args:
        paths: Of all images, below the folder, with `/`.
    """
    levels: list[tuple[tuple[bool, bool, bool], Level]] = []
    folders = [path.split("/")[:-1] for path in paths]
    for depth in range(_DEEPEST):
        folders = [own for own in folders if len(own) > depth]
        names = Counter(own[depth] for own in folders)
        if names.total() < _LEAST * len(paths):
            break
        shapes = {re.sub(r"\d+", "#", name) for name in names}
        alike = len(shapes) == 1 and "#" in min(shapes)
        numbered = len(names) > 3 and (alike or all(map(_NUMBERED.fullmatch, names)))
        if set(map(str.lower, names)) <= set(SPLIT_NAMES) or numbered:
            continue
        if 2 <= len(names) <= MOST_CLASSES:
            known = any(map(class_words.is_known, names))
            # Views and kinds of files recur below each class.
            other = _tell_no_class(names)
            rank = (known and not other, not other, not other and _recur(folders, depth))
            levels.append((rank, Level(depth, names)))
    if not levels:
        return None
    best, level = max(levels, key=lambda ranked: (ranked[0], -ranked[1].depth))
    others = tuple(
        (other.depth, len(other.counts))
        for (known, plain, _), other in levels
        if other != level and plain and (known or other.depth < level.depth or not best[0])
    )
    return level._replace(others=others)


def _recur(folders: Sequence[Sequence[str]], depth: int) -> bool:
    """Whether the names of a level recur below folders of the levels above."""
    parents: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for own in folders:
        parents[own[depth]].add(tuple(own[:depth]))
    several = sum(len(above) > 1 for above in parents.values())
    return several > _SHARED * len(parents)


def _tell_no_class(names: Sequence[str] | Counter[str]) -> bool:
    """Whether all names are views, sexes or kinds of files."""
    return all(name.casefold() in _KINDS or _is_read(name) for name in names)


def _is_read(name: str) -> bool:
    for read in (views.read_view, sexes.read_sex):
        try:
            if read(name):
                return True
        except NotUnderstood:
            continue
    return False
