"""Objects of `s3://` for Beam's own sources and sinks, by our client.

Beam's own file system of that name writes no empty file, makes a client for each file it opens,
which takes a quarter of a second of a core, and works only once a job has set its options. A name
can have one file system. So ours has a name of its own, which stands in jobs alone.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)
from apache_beam.options.value_provider import StaticValueProvider

from tfxray.components.object_store import s3, streams

NAME = "tfxray-s3"
_SCHEME = f"{NAME}://"


class Place(StaticValueProvider):
    """A path for Beam. It is pickled by this module's name, so that a worker knows the scheme."""

    def __init__(self, url: str):
        """Names the place.

        Args:
            url: `s3://bucket/key`, or a pattern of such.
        """
        super().__init__(str, _SCHEME + url.removeprefix(s3.SCHEME))


def _url(path: str) -> str:
    return s3.SCHEME + path.removeprefix(_SCHEME)


class ObjectStore(FileSystem):
    """Beam finds it by its scheme."""

    @classmethod
    def scheme(cls) -> str:
        """See `FileSystem`."""
        return NAME

    def join(self, basepath: str, *paths: str) -> str:
        """See `FileSystem`."""
        return posixpath.join(basepath, *paths)

    def split(self, path: str) -> tuple[str, str]:
        """See `FileSystem`."""
        return posixpath.split(path)

    def has_dirs(self) -> bool:
        """See `FileSystem`."""
        return False

    def mkdirs(self, path: str) -> None:
        """See `FileSystem`."""

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        bucket = s3.split_url(_url(dir_or_prefix))[0]
        for found in s3.list_objects(_url(dir_or_prefix)):
            yield FileMetadata(f"{_SCHEME}{bucket}/{found.key}", found.size, found.updated)

    def create(
        self,
        path: str,
        mime_type: str = "",
        compression_type: str = CompressionTypes.AUTO,
    ) -> BinaryIO:
        """See `FileSystem`."""
        return self._by_compression(streams.create_object(_url(path)), path, compression_type)

    def open(
        self,
        path: str,
        mime_type: str = "",
        compression_type: str = CompressionTypes.AUTO,
    ) -> BinaryIO:
        """See `FileSystem`."""
        return self._by_compression(streams.open_object(_url(path)), path, compression_type)

    def _by_compression(self, file: BinaryIO, path: str, compression_type: str) -> BinaryIO:
        kind = self._get_compression_type(path, compression_type)
        return file if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(file, kind)

    def copy(self, source_file_names: Sequence[str], destination_file_names: Sequence[str]) -> None:
        """See `FileSystem`."""
        _each(_copy, zip(source_file_names, destination_file_names, strict=True))

    def rename(
        self, source_file_names: Sequence[str], destination_file_names: Sequence[str]
    ) -> None:
        """See `FileSystem`."""

        def move(pair: tuple[str, str]) -> None:
            _copy(pair)
            s3.remove_objects([_url(pair[0])])

        _each(move, zip(source_file_names, destination_file_names, strict=True))

    def exists(self, path: str) -> bool:
        """See `FileSystem`."""
        return s3.find_object(_url(path)) is not None

    def size(self, path: str) -> int:
        """See `FileSystem`."""
        return int(self.metadata(path).size_in_bytes)

    def last_updated(self, path: str) -> float:
        """See `FileSystem`."""
        return float(self.metadata(path).last_updated_in_seconds)

    def checksum(self, path: str) -> str:
        """See `FileSystem`."""
        return self._find(path).version

    def metadata(self, path: str) -> FileMetadata:
        """See `FileSystem`."""
        found = self._find(path)
        return FileMetadata(path, found.size, found.updated)

    def _find(self, path: str) -> s3.Object:
        if (found := s3.find_object(_url(path))) is None:
            raise BeamIOError(f"{_url(path)}: no such object")
        return found

    def delete(self, paths: Sequence[str]) -> None:
        """See `FileSystem`. Of a folder, removes all that is in it."""

        def remove(path: str) -> None:
            folder = _url(path).rstrip("/") + "/"
            bucket = s3.split_url(folder)[0]
            below = [f"{s3.SCHEME}{bucket}/{found.key}" for found in s3.list_objects(folder)]
            s3.remove_objects([*below, _url(path)])

        _each(remove, paths)


def _copy(pair: tuple[str, str]) -> None:
    s3.copy_object(*map(_url, pair))


def _each(do: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Does something to each item; tells at the end with which it failed, as Beam asks."""
    failures = {}
    for item in items:
        try:
            do(item)
        except OSError as error:
            failures[item] = error
    if failures:
        raise BeamIOError(str(next(iter(failures.values()))), failures)
