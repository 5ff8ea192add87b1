"""Finds the files that the paths of a table mean."""

import functools
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from tfxray.components.common import filesystem
from tfxray.components.listing import left_out
from tfxray.components.listing.file_list import Listing
from tfxray.components.listing.left_out import match_glob

_DRIVE = re.compile(r"[A-Za-z]:/|//")
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".dic", ".tif", ".tiff", ".bmp", ".webp")


class Lookup:
    """Which file below a folder each path of a table means.

    Names that differ in their form in Unicode, or in capitals of their extension, are the same.
    A bare name is looked for at any depth.

    Attributes:
        every: All files of the folder, those that are left out by a rule of ours too: who names a
            file means it.
        unwanted: Those that the user's own globs leave out.
        outside: Lines whose paths are absolute and lead elsewhere.
        ambiguous: Lines whose names are several files', with these.
    """

    def __init__(
        self, source: str, listing: Listing, root: str = "", extension: str = "",
        strip: Sequence[str] = (),
    ):  # fmt: skip
        """Gets ready for many paths.

        Args:
            source: The folder.
            listing: What it holds.
            root: Put before a path, or taken off one that begins with it.
            extension: Put behind a path that lacks it, or in the place of another kind's.
            strip: Globs of the first folder of a path, which is taken off.
        """
        self.every = {*listing.files, *(p for paths in listing.left_out.values() for p in paths)}
        self.unwanted = {p for r in left_out.BY_CHOICE for p in listing.left_out.get(r, ())}
        self.outside: list[int] = []
        self.ambiguous: dict[int, list[str]] = {}
        self._source = source
        self._files = listing.files
        self._root = posixpath.normpath(root.replace("\\", "/")) if root else ""
        self._strip = [match_glob(f"/{glob}") for glob in strip]
        self._extension = f".{extension.lstrip('.')}" if extension else ""
        # A table may count from the folder that holds the data folder.
        self._own_name = os.path.basename(filesystem.full_path(source)) + "/"

    def find(self, cell: str, line: int) -> str | None:
        """The file that a path means, below the folder; the path itself where there is none.

        Args:
            cell: As the table has it.
            line: Its line.

        Returns:
            None if it leads elsewhere, or may mean several files.
        """
        if not self._root and cell in self.every:  # as most are
            return cell
        path = self._with_extension(posixpath.normpath(cell.replace("\\", "/")))
        first, slash, rest = path.partition("/")
        if slash and any(match(first) for match in self._strip):
            path = rest
        candidates = []
        for candidate in self._with_root(path):
            below = self._below(candidate)
            candidates += [] if below is None else [below]
        if not candidates:
            self.outside.append(line)
            return None
        for candidate in candidates:
            if candidate in self.every:
                return candidate
        for candidate in candidates:
            if same := self._by_form.get(_form(candidate)):
                return self._only(same, line)
        if "/" not in path:
            if named := self._below_root(self._by_name, path):
                return self._only(named, line)
            if unwanted := self._below_root(self._unwanted_by_name, path):
                return unwanted[0]  # all of them are left out, whichever is meant
        return candidates[0]

    def _below_root(self, by_name: Mapping[str, list[str]], name: str) -> list[str]:
        """The files of a name; where the root is a folder, those below it."""
        files = by_name.get(_form(name), [])
        if self._root and not self._root.startswith("/"):
            return [path for path in files if path.startswith(f"{self._root}/")]
        return files

    def _only(self, files: list[str], line: int) -> str | None:
        if len(files) == 1:
            return files[0]
        self.ambiguous[line] = files
        return None

    def _with_extension(self, path: str) -> str:
        if not self._extension or path.lower().endswith(self._extension.lower()):
            return path
        stem, extension = posixpath.splitext(path)
        return (stem if extension.lower() in _EXTENSIONS else path) + self._extension

    def _with_root(self, path: str) -> Iterable[str]:
        if self._root:
            yield posixpath.join(self._root, path)
            if path.startswith(f"{self._root}/"):
                yield path.removeprefix(f"{self._root}/")
            return
        yield path
        if path.startswith(self._own_name):
            yield path.removeprefix(self._own_name)

    def _below(self, path: str) -> str | None:
        """A path below the folder; None for an absolute one elsewhere."""
        if not filesystem.is_local(self._source):
            base = re.sub("/+", "/", self._source.rstrip("/")) + "/"  # as normpath leaves it
            if path.startswith(base):
                return path.removeprefix(base)
        elif path.startswith("/") and not path.startswith("//"):
            for base, full in (
                (os.path.abspath(self._source), path),
                (_real_path(self._source), posixpath.join(
                    _real_path(posixpath.dirname(path)), posixpath.basename(path))),
            ):  # fmt: skip
                if full.startswith(posixpath.join(base, "")):
                    return posixpath.relpath(full, base)
        return None if path.startswith("/") or _DRIVE.match(path) or ":/" in path else path

    @functools.cached_property
    def _by_form(self) -> dict[str, list[str]]:
        forms: dict[str, list[str]] = {}
        for path in sorted(self.every):
            forms.setdefault(_form(path), []).append(path)
        return forms

    @functools.cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _group_by_name(self._files)

    @functools.cached_property
    def _unwanted_by_name(self) -> dict[str, list[str]]:
        return _group_by_name(sorted(self.unwanted))


# Folders only: a table has few of them, and many files.
_real_path = functools.lru_cache(maxsize=1024)(os.path.realpath)


def _group_by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in paths:
        names.setdefault(_form(posixpath.basename(path)), []).append(path)
    return names


def _form(path: str) -> str:
    stem, extension = posixpath.splitext(path)
    return unicodedata.normalize("NFC", stem) + extension.lower()
