"""The files of one kind of store, as `filesystem` asks for them."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol


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


class StoreFailed(OSError):
    """A store as a whole does not answer, or does not know who asks: no other file would do."""


class Store(Protocol):
    """What can be done with files elsewhere. All raise OSError, or what their library raises."""

    def list_files(self, folder: str, limit: int | None = None) -> Iterator[File]:
        """All files below a folder; with a limit, so many of them."""

    def is_file(self, path: str) -> bool:
        """Whether there is a file."""

    def open_file(self, path: str) -> BinaryIO:
        """Opens a file to read its bytes as they are."""

    def create_file(self, path: str) -> BinaryIO:
        """Opens a file to write it anew."""

    def move_files(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Gives files other names, in the place of what is there."""

    def remove_files(self, paths: Sequence[str]) -> None:
        """Removes files."""

    def remove_empty(self, folder: str) -> None:
        """Removes a folder without files, where folders are more than names."""
