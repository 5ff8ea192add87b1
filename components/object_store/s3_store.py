"""Files of `s3://`, where folders are but the first parts of names."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tfxray.components.object_store import s3, streams
from tfxray.components.object_store.files import File


class S3Store:
    """See `files.Store`."""

    def list_files(self, folder: str, limit: int | None = None) -> Iterator[File]:
        """See `files.Store`."""
        base = folder.rstrip("/") + "/"
        start = len(s3.split_url(base)[1])
        for found in s3.list_objects(base, limit):
            yield File(found.key[start:], found.size, found.updated)

    def is_file(self, path: str) -> bool:
        """See `files.Store`."""
        return s3.find_object(path) is not None

    def open_file(self, path: str) -> BinaryIO:
        """See `files.Store`."""
        return streams.open_object(path)

    def create_file(self, path: str) -> BinaryIO:
        """See `files.Store`."""
        return streams.create_object(path)

    def move_files(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """See `files.Store`."""
        for source, target in zip(sources, targets, strict=True):
            s3.copy_object(source, target)
        s3.remove_objects(sources)

    def remove_files(self, paths: Sequence[str]) -> None:
        """See `files.Store`."""
        s3.remove_objects(paths)

    def remove_empty(self, folder: str) -> None:
        """See `files.Store`."""
