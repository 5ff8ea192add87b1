"""Files of the stores that Beam knows, such as `gs://`. Beam takes seconds to import."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfxray.components.object_store.files import File


class BeamStore:
    """See `files.Store`."""

    def list_files(self, folder: str, limit: int | None = None) -> Iterator[File]:
        """See `files.Store`."""
        base = folder.rstrip("/") + "/"
        for entry in FileSystems.match([f"{base}**"], [limit])[0].metadata_list:
            name = entry.path.removeprefix(base)
            yield File(name, entry.size_in_bytes, entry.last_updated_in_seconds)

    def is_file(self, path: str) -> bool:
        """See `files.Store`."""
        return bool(FileSystems.exists(path))

    def open_file(self, path: str) -> BinaryIO:
        """See `files.Store`."""
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)

    def create_file(self, path: str) -> BinaryIO:
        """See `files.Store`."""
        return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)

    def move_files(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """See `files.Store`."""
        for parent in {os.path.dirname(path) for path in targets}:
            with contextlib.suppress(OSError):  # it is there
                FileSystems.mkdirs(parent)
        FileSystems.rename(list(sources), list(targets))

    def remove_files(self, paths: Sequence[str]) -> None:
        """See `files.Store`."""
        FileSystems.delete(list(paths))

    def remove_empty(self, folder: str) -> None:
        """See `files.Store`."""
        if FileSystems.exists(folder):
            FileSystems.delete([folder])
