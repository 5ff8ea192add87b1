"""Lists the files of a folder: those that may be images, and what lies beside them."""

import dataclasses
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import REJECTS
from tfxray.components.common.filesystem import StrPath

# What lies beside images and is none of them. Anything else is opened, whatever its extension.
_NOT_IMAGES = {".csv", ".json", ".txt", ".md", ".html", ".pdf", ".py", ".yaml", ".yml", ".xml",
               ".xlsx", ".ini", ".db", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z",
               ".rar"}  # fmt: skip
# The rules by which a file is left out, as `ingest.json` counts them.
HIDDEN, OTHER_KIND = "hidden", "other_kind"
UNLISTED = "not_in_manifest"


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


def fingerprint(source: StrPath) -> str:
    """A digest of a folder's file names, sizes and times: changes when the data does."""
    digest = hashlib.sha256()
    if not filesystem.is_local(source):
        for file in filesystem.list_files(os.fspath(source)):
            digest.update(_encode(f"{file}\n" if os.path.basename(file.name) != REJECTS else ""))
        return digest.hexdigest()

    def note(error: OSError) -> None:  # it quotes a name
        digest.update(_encode(f"{os.fsdecode(error.filename)}\0{error.errno}\n"))

    def add(path: str) -> None:
        try:
            # Of a link, what it leads to counts, too: TFRecords are read through links.
            own = os.lstat(path)
            stats = [own, os.stat(path)] if stat.S_ISLNK(own.st_mode) else [own]
        except OSError:  # gone meanwhile, or forbidden; the error would quote the name
            digest.update(_encode(f"{path}\0\n"))
            return
        times = "".join(f"{each.st_size}\0{each.st_mtime_ns}\n" for each in stats)
        digest.update(_encode(f"{path}\0{times}"))

    for folder, inside, names in os.walk(source, onerror=note):
        inside.sort()
        links = [name for name in inside if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            if name != REJECTS:
                add(os.path.join(folder, name))
        for name in links:
            for path in sorted(_list_folder(os.path.join(folder, name))):
                add(path)
    return digest.hexdigest()


def _list_folder(path: str) -> list[str]:
    try:
        return [os.path.join(path, name) for name in os.listdir(path)]
    except OSError:
        return []


def _encode(text: str) -> bytes:
    """As the file system has it: a name need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")
