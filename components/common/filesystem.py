"""Folders of data wherever they lie: on this machine, or on any file system that Beam knows.

For what is outside of the pipeline: images, records, and what ingest writes. What nodes read and
write of each other goes through TFX's `fileio`. A local folder is read without Beam, which would
take seconds to import in each process that loads images.
"""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable

_PATTERN_CHARACTERS = "*?[\\"
StrPath = str | os.PathLike[str]


class File(NamedTuple):
    """A file below a folder.

    Attributes:
        name: Below the folder, with `/`.
        size: Bytes.
        updated: Seconds since 1970, where the file system tells.
    """

    name: str
    size: int
    updated: float


def is_local(path: StrPath) -> bool:
    """Whether a path is one of this machine: `gs://bucket/folder` is not."""
    return "://" not in os.fspath(path)


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
        folder: Such as `gs://bucket/folder`.
        limit: So many will do.

    Raises:
        UserError: Beam knows no such file system, or cannot list the folder.
    """
    from apache_beam.io.filesystems import FileSystems

    if folder.startswith("hdfs://"):
        raise UserError(
            f"{folder}: of HDFS, Beam lists one folder, and not those below it: mount it, or copy "
            "the data to another file system"
        )
    base = folder.rstrip("/") + "/"
    try:
        entries = FileSystems.match([f"{base}**"], [limit])[0].metadata_list
    except Exception as error:  # a missing package, credentials, the network: any of many
        raise UserError(
            f"{folder}: cannot be listed: {(str(error).splitlines() or ['?'])[0]}"
        ) from None
    files = (
        File(entry.path.removeprefix(base), entry.size_in_bytes, entry.last_updated_in_seconds)
        for entry in entries
    )
    # Some stores keep an empty object in the place of a folder.
    return sorted(file for file in files if file.name and not file.name.endswith("/"))


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
    """Whether there is a file."""
    if is_local(path):
        return os.path.isfile(path)
    from apache_beam.io.filesystems import FileSystems

    return bool(FileSystems.exists(path))


def open_file(path: str) -> BinaryIO:
    """Opens a file to read its bytes as they are, a `.gz` too.

    Raises:
        OSError: It cannot be read.
    """
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    stream: BinaryIO = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


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
    from apache_beam.io.filesystems import FileSystems

    if FileSystems.exists(folder):  # where folders are more than names
        FileSystems.delete([folder])


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
        from apache_beam.io.filesystems import FileSystems

        FileSystems.delete(paths)


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
    from apache_beam.io.filesystems import FileSystems

    before = list_names(target)
    remove_files(target, [name for name in before if name == last])
    remove_files(target, [name for name in before if name != last])
    for part in ([name for name in list_names(folder) if name != last], [last]):
        sources, targets = ([os.path.join(f, name) for name in part] for f in (folder, target))
        for parent in {os.path.dirname(path) for path in targets}:
            _make(parent)
        FileSystems.rename(sources, targets)
    remove_folder(folder)


def _make(folder: str) -> None:
    """Makes a folder where there are such things; elsewhere Beam does nothing."""
    from apache_beam.io.filesystems import FileSystems

    with contextlib.suppress(OSError):  # it is there
        FileSystems.mkdirs(folder)


def create_file(path: str) -> BinaryIO:
    """Opens a file to write it anew."""
    if is_local(path):
        return open(path, "wb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    stream: BinaryIO = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream
