"""Lists the files of a folder: those that may be images, and what lies beside them."""

import dataclasses
import hashlib
import os
import pathlib
import stat
from collections import Counter
from collections.abc import Callable, Iterator

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import REJECTS
from tfxray.components.common.filesystem import StrPath
from tfxray.components.guard import file_kinds
from tfxray.components.listing import copies, left_out

_WEB = ("http://", "https://", "ftp://")
DEFAULT_CHOICE = left_out.Choice()


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds: each entry is in one of these.

    Attributes:
        files: Those that may be images, below the folder, sorted, with `/`.
        unread: Folders that were not entered: path, reason as of `rejects.REASONS`, and detail.
        left_out: Files that are none of both, by the rules of `left_out`. A manifest that was read
            is none of them.
        copies: Folders that hold another folder's files once more, and that folder. Their files
            are left out.
        gone: The images that a manifest lists and the folder lacks.
        notes: What the user should know, a line each: where the splits come from, what the
            manifest and the folder do not share.
    """

    files: list[str] = dataclasses.field(default_factory=list)
    unread: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    copies: dict[str, str] = dataclasses.field(default_factory=dict)
    gone: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)

    def count_left_out(self) -> dict[str, int]:
        """How many files each rule left out."""
        return {rule: len(paths) for rule, paths in sorted(self.left_out.items()) if paths}

    def describe_rest(self) -> str:
        """What else the folder holds, for an error, without names: `` if nothing."""
        counts = Counter(f"{code} folders" for _, code, _ in self.unread)
        counts.update({f"left out as {rule}": n for rule, n in self.count_left_out().items()})
        rest = "".join(f"; {what}: {count}" for what, count in sorted(counts.items()))
        if any(code == "outside" for _, code, _ in self.unread):
            rest += ". Set ingest.follow_links to read folders behind links"
        return rest


def require_folder(path: str, option: str = "") -> None:
    """Sees that there is a folder.

    Args:
        path: On any of Beam's file systems.
        option: By which the user named it.

    Raises:
        UserError: It is something else, or not there. Says what it is, and what to do.
    """
    named = f" ({option})" if option else ""
    if path.lower().startswith(_WEB):
        raise UserError(
            f"{path}: is a web address. Download the data, and name their folder{named}"
        )
    if path.lower().startswith("file:"):
        raise UserError(f"{path}: is an address. Write the folder's path, without file://{named}")
    if filesystem.is_folder(path):
        return
    reason = _describe_no_folder(path) if filesystem.is_local(path) else "no such folder"
    raise UserError(f"{path}: {reason}{named}")


def _describe_no_folder(path: str) -> str:
    try:
        os.stat(path)
        if not os.path.isfile(path):
            return "is no folder"
        with open(path, "rb") as file:
            head = file.read(file_kinds.HEAD)
    except (FileNotFoundError, NotADirectoryError):
        return "is a link that leads nowhere" if os.path.islink(path) else "no such folder"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'no path'}"
    kind = file_kinds.name_kind(head)
    if kind.code == "archive":
        return f"is {kind.detail}. Name the folder that holds the images"
    return "is a file. Name the folder that holds it"


def list_images(source: str, choice: left_out.Choice = DEFAULT_CHOICE) -> Listing:
    """Lists a folder, at any depth.

    A folder behind a link is not entered, unless the choice says so. What it holds is not a part of
    the folder, or is in it under its own name; and a link may lead in a circle.

    Args:
        source: The folder, on any of Beam's file systems.
        choice: Which of its files are meant.

    Raises:
        UserError: There is no such folder, or it cannot be listed.
    """
    require_folder(source)
    listing = Listing()
    sieve = left_out.Sieve(choice)
    for path in _walk(source, listing, choice.follow_links):
        rule = sieve.rule(path)
        (listing.left_out.setdefault(rule, []) if rule else listing.files).append(path)
    listing.files.sort()
    for folder, (original, files) in copies.find_copies(source, listing.files).items():
        listing.copies[folder] = original
        _leave_out(listing, dict.fromkeys(files, left_out.COPY))
    _leave_out(listing, left_out.name_after_images(listing.files))
    listing.unread.sort()
    return listing


def _leave_out(listing: Listing, rules: dict[str, str]) -> None:
    if not rules:
        return
    listing.files[:] = [path for path in listing.files if path not in rules]
    for path, rule in rules.items():
        listing.left_out.setdefault(rule, []).append(path)


def _walk(source: str, listing: Listing, follow_links: bool) -> Iterator[str]:
    """All files below a folder; folders that are not entered go into the listing."""
    if not filesystem.is_local(source):
        yield from (file.name for file in filesystem.list_files(source))
        return

    def note(error: OSError) -> None:
        name = _below(os.fsdecode(error.filename), source)
        if name == ".":
            raise UserError(f"{source}: cannot be listed: {error.strerror}") from None
        listing.unread.append((name, "unreadable", f"a folder: {error.strerror}"))

    for folder, names, links in _walk_folders(source, follow_links, note):
        parent = _below(folder, source)
        prefix = "" if parent == "." else f"{parent}/"
        yield from (prefix + name for name in names)
        for name, why in links.items():
            listing.unread.append((prefix + name, "outside", f"a linked folder, {why}"))


def _below(path: str, source: str) -> str:
    return os.path.relpath(path, source).replace(os.sep, "/")


def _walk_folders(
    source: StrPath, follow_links: bool, note: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Each folder with its files, and with its linked folders that are not entered, and why."""
    root = os.path.realpath(source)
    entered, above = {root}, set(_parents(root))
    for folder, inside, names in os.walk(source, onerror=note, followlinks=follow_links):
        inside.sort()
        links = {}
        for name in [name for name in inside if os.path.islink(os.path.join(folder, name))]:
            why = "not entered"
            if follow_links:
                target = os.path.realpath(os.path.join(folder, name))
                if not entered.isdisjoint([target, *_parents(target)]):
                    why = "not entered: what it holds is listed under another name"
                elif target in above:
                    why = "not entered: it holds a folder that is listed under another name"
                else:
                    entered.add(target)
                    above.update(_parents(target))
                    continue
                inside.remove(name)
            links[name] = why
        yield os.fspath(folder), names, links


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in pathlib.PurePath(path).parents]


def fingerprint(source: StrPath, follow_links: bool = False) -> str:
    """A digest of a folder's file names, sizes and times: changes when the data does.

    Args:
        source: The folder.
        follow_links: Whether what lies behind links is a part of it.
    """
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

    for folder, names, links in _walk_folders(source, follow_links, note):
        for name in sorted([*names, *links]):
            if name != REJECTS:
                add(os.path.join(folder, name))
        for name in links:
            for inside in sorted(_list_folder(os.path.join(folder, name))):
                add(inside)
    return digest.hexdigest()


def _list_folder(path: str) -> list[str]:
    try:
        return [os.path.join(path, name) for name in os.listdir(path)]
    except OSError:
        return []


def fingerprint_file(path: str) -> str:
    """A file's size and time, as text; `` where it is no local file.

    Args:
        path: Such as a manifest that lies outside of its folder.
    """
    if not (filesystem.is_local(path) and os.path.isfile(path)):
        return ""
    own = os.stat(path)
    return f"{own.st_size} {own.st_mtime_ns}"


def _encode(text: str) -> bytes:
    """As the file system has it: a name need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")
