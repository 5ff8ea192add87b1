"""Finds folders that hold the files of another folder once more, as some archives do."""

import bisect
import os
import re
from collections.abc import Iterator

from tfxray.components.common import filesystem

_DEEPEST = 3  # a copy lies near the top
_COMPARED = 16  # files whose bytes are compared; of all others, the names agree
_COPY = re.compile(r"(?i)(?:copy of )?(.+?)(?:[ _-]*(?:copy|kopie|copie)(?: ?\(\d+\))?| ?\(\d+\))?")


def find_copies(source: str, files: list[str]) -> dict[str, tuple[str, list[str]]]:
    """Folders of which each file is in another folder, too, under the same name below it.

    The other folder is one above (`chest_xray` and `chest_xray/chest_xray`), or beside it under a
    name that tells (`set` and `set - Copy`). Of both, the one nearer to the top is kept.

    Args:
        source: The folder.
        files: Below it, sorted.

    Returns:
        For each copy, the folder that it repeats, and its files.
    """
    every = set(files)
    copies: dict[str, tuple[str, list[str]]] = {}
    for folder, first in _folders(files):
        for original in _possible_originals(folder):
            if original + first[len(folder) :] not in every:
                continue
            inside = _below(files, folder)
            originals = [original + path[len(folder) :] for path in inside]
            if every.issuperset(originals) and _same_bytes(source, inside, originals):
                copies[folder[:-1]] = (original[:-1], inside)
                every.difference_update(inside)
                break
    return copies


def _folders(files: list[str]) -> Iterator[tuple[str, str]]:
    """Each folder near the top, as a prefix, with its first file."""
    seen: set[str] = set()
    for path in files:
        end = path.find("/")
        for _ in range(_DEEPEST):
            if end < 0:
                break
            prefix = path[: end + 1]
            if prefix not in seen:
                seen.add(prefix)
                yield prefix, path
            end = path.find("/", end + 1)


def _possible_originals(folder: str) -> Iterator[str]:
    *parents, name = folder[:-1].split("/")
    for depth in range(len(parents) + 1):
        yield "".join(f"{parent}/" for parent in parents[:depth])
    match = _COPY.fullmatch(name)
    if match and match[1] != name:
        yield "".join(f"{parent}/" for parent in [*parents, match[1]])


def _below(files: list[str], prefix: str) -> list[str]:
    start = bisect.bisect_left(files, prefix)
    # The next character after the slash ends the range.
    return files[start : bisect.bisect_left(files, prefix[:-1] + "0", start)]


def _same_bytes(source: str, some: list[str], others: list[str]) -> bool:
    step = -(-len(some) // _COMPARED)
    return all(
        _content(source, one) == _content(source, other)
        for one, other in zip(some[::step], others[::step], strict=True)
    )


def _content(source: str, path: str) -> bytes | None:
    full = os.path.join(source, path)
    try:
        if not filesystem.is_file(full):  # a pipe would keep us waiting
            return None
        with filesystem.open_file(full) as file:
            return file.read(2**20)
    except OSError:
        return None
