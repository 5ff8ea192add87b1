"""Folders of data wherever they lie: on this machine, on `s3://`, or on any store that Beam knows.

For what is outside of the pipeline: images, records, and what ingest writes. What nodes read and
write of each other goes through TFX's `fileio`. A local folder is read without the libraries of the
others, which would take seconds to import in each process that loads images.
"""

import contextlib
import functools
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.components.object_store.files import File, Store, StoreFailed

_PATTERN_CHARACTERS = "*?[\\"
StrPath = str | os.PathLike[str]


def is_local(path: StrPath) -> bool:
    """Whether a path is one of this machine: `gs://bucket/folder` is not."""
    return "://" not in os.fspath(path)


def is_s3(path: StrPath) -> bool:
    """Whether a path is one of `s3://`, which TensorFlow and TFX cannot read."""
    return os.fspath(path).startswith("s3://")


def _store(path: str) -> Store:
    """Who knows a path that is not local."""
    return _s3_store() if is_s3(path) else _beam_store()


@functools.lru_cache(maxsize=1)
def _s3_store() -> Store:
    from tfxray.components.object_store.s3_store import S3Store

    return S3Store()


@functools.lru_cache(maxsize=1)
def _beam_store() -> Store:
    from tfxray.components.object_store.beam import BeamStore

    return BeamStore()


def is_store_failure(error: Exception) -> bool:
    """Whether a store as a whole failed: it would give no other file either."""
    return isinstance(error, StoreFailed)


def for_beam(path: str) -> Any:
    """The same place, as a source or a sink of Beam's is told it: as text, or a ValueProvider."""
    if not is_s3(path):
        return path
    from tfxray.components.object_store.beam_s3 import Place

    return Place(path)


def full_path(path: StrPath) -> str:
    """The same path, for a process in another folder; links stay, and nothing need be there."""
    return os.path.abspath(path) if is_local(path) else os.fspath(path).rstrip("/")


def glob_for(path: str) -> str:
    """The glob that matches this path alone, in TensorFlow's language and in Beam's."""
    return glob.escape(path).replace("\\", "[\\\\]")


def require_literal(path: StrPath, option: str) -> None:
    """Sees that TensorFlow, TFX and Beam can work below a folder: they look for files by patterns.

    Args:
        path: The folder; what counts is its full path.
        option: By which the user named it.

    Raises:
        UserError: A character of it stands for others in a pattern, or ends a line.
    """
    full = full_path(path)
    wrong = sorted({c for c in full if c in _PATTERN_CHARACTERS or not c.isprintable()})
    if wrong:
        raise UserError(
            f"{full!r}: TensorFlow cannot work below a path with {' '.join(map(repr, wrong))}, "
            f"which it takes for a pattern; name another folder ({option})"
        )


def absolute_path(path: str) -> str:
    """The same path, for a process in another folder; what is not local is so already."""
    return os.path.realpath(path) if is_local(path) else path


def list_files(folder: str, limit: int | None = None) -> list[File]:
    """All files below a folder that is not local, sorted by name.

    Args:
        folder: Such as `s3://bucket/folder`.
        limit: So many will do.

    Raises:
        UserError: There is no such store, or the folder cannot be listed.
    """
    if folder.startswith("hdfs://"):
        raise UserError(
            f"{folder}: of HDFS, Beam lists one folder, and not those below it: mount it, or copy "
            "the data to another file system"
        )
    try:
        files = list(_store(folder).list_files(folder, limit))
    except Exception as error:  # a missing package, credentials, the network: any of many
        raise UserError(f"{folder}: cannot be listed: {_reason(error)}") from None
    # Some stores keep an empty object in the place of a folder.
    return sorted(file for file in files if file.name and not file.name.endswith("/"))


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return (text.splitlines() or ["?"])[0]


def list_names(folder: str) -> list[str]:
    """The names of all files below a folder, sorted; of a folder that is not there, none.

    Raises:
        OSError: It cannot be listed, or one below it.
    """
    if not is_local(folder):
        return [file.name for file in list_files(folder)]

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, inside in os.walk(folder, onerror=fail)
        for name in inside
    )


def is_folder(path: str) -> bool:
    """Whether there is a folder; where there are none but in names, one that holds a file."""
    return os.path.isdir(path) if is_local(path) else bool(list_files(path, limit=1))


def is_file(path: str) -> bool:
    """Whether there is a file.

    Raises:
        UserError: The store does not say.
    """
    if is_local(path):
        return os.path.isfile(path)
    try:
        return _store(path).is_file(path)
    except OSError as error:
        raise UserError(f"{path}: {_reason(error)}") from None


def open_file(path: str) -> BinaryIO:
    """Opens a file to read its bytes as they are, a `.gz` too.

    Raises:
        OSError: It cannot be read.
    """
    return open(path, "rb") if is_local(path) else _store(path).open_file(path)


def write_file(path: str, content: bytes) -> None:
    """Writes a file: whole or not at all, in the place of what is there.

    An object store shows what was written when it is closed.
    """
    if is_local(path):
        durable.write_file(path, content)
        return
    with create_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A file of this machine with a file's content, for libraries that know no other.

    Args:
        path: The file, which is its own copy where it is local.

    Raises:
        OSError: It cannot be read.
    """
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, os.path.basename(path))
        with open_file(path) as source, open(copy, "wb") as target:
            shutil.copyfileobj(source, target)
        yield copy


def put_file(local: str, path: str) -> None:
    """Moves a file of this machine to a path, in the place of what is there."""
    if is_local(path):
        shutil.move(local, path)
        return
    with open(local, "rb") as source, create_file(path) as target:
        shutil.copyfileobj(source, target)
    os.unlink(local)


def remove_folder(folder: str) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    remove_files(folder, list_names(folder))
    _store(folder).remove_empty(folder)


def measure_files(folder: str) -> dict[str, int]:
    """The size of each file below a folder in bytes, by its name."""
    if not is_local(folder):
        return {file.name: file.size for file in list_files(folder)}
    return {name: os.path.getsize(os.path.join(folder, name)) for name in list_names(folder)}


def remove_files(folder: str, below: list[str]) -> None:
    """Removes files below a folder."""
    paths = [os.path.join(folder, name) for name in below]
    if is_local(folder):
        for path in paths:
            os.unlink(path)
    elif paths:
        _store(folder).remove_files(paths)


def move_folder(folder: str, target: str, last: str) -> None:
    """Puts a folder in another's place.

    At once where both are local, and brought to the disk. Elsewhere file by file, `last` at the
    end: while it is missing, so is some of the rest.

    Args:
        folder: Is gone afterwards.
        target: What it holds is lost.
        last: A file in the folder.
    """
    if is_local(target):
        durable.move_folder(folder, target)
        return
    before = list_names(target)
    remove_files(target, [name for name in before if name == last])
    remove_files(target, [name for name in before if name != last])
    for part in ([name for name in list_names(folder) if name != last], [last]):
        sources, targets = ([os.path.join(f, name) for name in part] for f in (folder, target))
        _store(target).move_files(sources, targets)
    remove_folder(folder)


def create_file(path: str) -> BinaryIO:
    """Opens a file to write it anew."""
    return open(path, "wb") if is_local(path) else _store(path).create_file(path)
