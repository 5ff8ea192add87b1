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
# What `normpath` would change.
_ODD = re.compile(r"\\|//|/$|(?:^|/)\.{1,2}(?:/|$)")
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".dic", ".tif", ".tiff", ".bmp", ".webp")


class Lookup:
    """Which file below a folder each path of a table means.

    Names that differ in their form in Unicode, or in capitals of their extension, are the same.
    A bare name is looked for at any depth, and so is a path that is not there: archives and their
    parts are unpacked into folders of their own.

    Attributes:
        every: All files of the folder, those that are left out by a rule of ours too: who names a
            file means it.
        unwanted: Those that the user's own globs leave out.
        outside: Lines whose paths are absolute and lead elsewhere.
        ambiguous: Lines whose names are several files', with these.
        deeper: How many paths, other than bare names, are those of files in further folders.
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
            strip: Globs of the first folders of a path, which are taken off.
        """
        self.every = {*listing.files, *(p for paths in listing.left_out.values() for p in paths)}
        self.unwanted = {p for r in left_out.BY_CHOICE for p in listing.left_out.get(r, ())}
        self.outside: list[int] = []
        self.ambiguous: dict[int, list[str]] = {}
        self.deeper = 0
        self._source = source
        self._files = listing.files
        self._root = posixpath.normpath(root.replace("\\", "/")) if root else ""
        globs = [glob.strip("/") for glob in strip]
        self._strip = [(glob.count("/") + 1, match_glob(f"/{glob}")) for glob in globs]
        self._by_ending: dict[int, dict[str, list[str]]] = {}
        self._plain = not (root or strip or extension)
        self._local = filesystem.is_local(source)
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
        odd = _ODD.search(cell)
        if self._plain and not odd and "/" not in cell:  # a bare name; as in large tables
            named = self._ending(0).get(file_form(cell), ())
            if len(named) == 1:
                return named[0]
        path = posixpath.normpath(cell.replace("\\", "/")) if odd else cell
        path = self._with_extension(path)
        path = self._stripped(path)
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
            if same := self._by_form.get(file_form(candidate)):
                return self._only(same, line)
        if named := self._below_root(self._ending(path.count("/")), path):
            self.deeper += "/" in path
            return self._only(named, line)
        if "/" not in path and (unwanted := self._below_root(self._unwanted_by_name, path)):
            return unwanted[0]  # all of them are left out, whichever is meant
        return candidates[0]

    def _stripped(self, path: str) -> str:
        parts = path.split("/") if self._strip else []
        for folders, match in self._strip:
            if len(parts) > folders and match("/".join(parts[:folders])):
                return "/".join(parts[folders:])
        return path

    def _ending(self, folders: int) -> Mapping[str, list[str]]:
        """The files by their names, with so many folders before them."""
        if folders not in self._by_ending:
            self._by_ending[folders] = _group_by_ending(self._files, folders)
        return self._by_ending[folders]

    def _below_root(self, by_name: Mapping[str, list[str]], name: str) -> list[str]:
        """The files of a name; where the root is a folder, those below it."""
        files = by_name.get(file_form(name), [])
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
        if not self._local:
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
            forms.setdefault(file_form(path), []).append(path)
        return forms

    @functools.cached_property
    def _unwanted_by_name(self) -> dict[str, list[str]]:
        return _group_by_ending(sorted(self.unwanted), 0)


# Folders only: a table has few of them, and many files.
_real_path = functools.lru_cache(maxsize=1024)(os.path.realpath)


def _group_by_ending(paths: Iterable[str], folders: int) -> dict[str, list[str]]:
    endings: dict[str, list[str]] = {}
    for path in paths:
        ending = "/".join(path.split("/")[-folders - 1 :])
        endings.setdefault(file_form(ending), []).append(path)
    return endings


def file_form(path: str) -> str:
    """What the ways of writing one path share: the form in Unicode, capitals of the extension."""
    extension = path[path.rfind(".") + 1 :]
    if path.isascii() and extension == extension.lower():  # as most are
        return path
    stem, extension = posixpath.splitext(path)
    return unicodedata.normalize("NFC", stem) + extension.lower()
