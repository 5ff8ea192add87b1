"""Objects of `s3://` for TFX's `fileio`, by our client: TensorFlow has none of its own.

It serves what tfxray itself reads and writes through `fileio`: weights, and pushed models.
TensorFlow's kernels do not come here. What they read must be a file of this machine.
"""

import contextlib
import errno
import fnmatch
import io
from collections.abc import Callable, Iterator
from typing import Any

from tfx.dsl.io import filesystem, filesystem_registry

from tfxray.components.object_store import s3, streams

PathType = str | bytes


def _text(path: PathType) -> str:
    return path.decode() if isinstance(path, bytes) else path


def _below(folder: PathType) -> Iterator[tuple[str, s3.Object]]:
    """The objects below a folder, by their names there."""
    base = _text(folder).rstrip("/") + "/"
    start = len(s3.split_url(base)[1])
    for found in s3.list_objects(base):
        yield found.key[start:], found


@contextlib.contextmanager
def _as_tfx() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise filesystem.NotFoundError(str(error)) from error


class S3Filesystem(filesystem.Filesystem):  # type: ignore[misc]
    """See TFX's `Filesystem`. Folders are but the first parts of names."""

    SUPPORTED_SCHEMES = (s3.SCHEME,)

    @staticmethod
    def open(name: PathType, mode: str = "r") -> Any:
        """See TFX's `Filesystem`."""
        with _as_tfx():
            if "r" in mode:
                file = streams.open_object(_text(name))
            elif "w" in mode:
                file = streams.create_object(_text(name))
            else:
                raise OSError(errno.ENOTSUP, f"an object cannot be opened as {mode!r}", name)
        return file if "b" in mode else io.TextIOWrapper(file, "utf-8", newline="")

    @staticmethod
    def copy(src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """See TFX's `Filesystem`."""
        if not overwrite and S3Filesystem.exists(dst):
            raise FileExistsError(errno.EEXIST, "is there", _text(dst))
        with _as_tfx():
            s3.copy_object(_text(src), _text(dst))

    @staticmethod
    def exists(path: PathType) -> bool:
        """See TFX's `Filesystem`."""
        return s3.find_object(_text(path)) is not None or S3Filesystem.isdir(path)

    @staticmethod
    def glob(pattern: PathType) -> list[PathType]:
        """See TFX's `Filesystem`."""
        bucket, key = s3.split_url(_text(pattern))
        start = next((place for place, c in enumerate(key) if c in "*?["), len(key))
        depth = key.count("/")
        return [
            f"{s3.SCHEME}{bucket}/{found.key}"
            for found in s3.list_objects(f"{s3.SCHEME}{bucket}/{key[:start]}")
            if found.key.count("/") == depth and fnmatch.fnmatchcase(found.key, key)
        ]

    @staticmethod
    def isdir(path: PathType) -> bool:
        """See TFX's `Filesystem`."""
        return any(True for _ in s3.list_objects(_text(path).rstrip("/") + "/", limit=1))

    @staticmethod
    def listdir(path: PathType) -> list[PathType]:
        """See TFX's `Filesystem`."""
        return sorted({name.partition("/")[0] for name, _ in _below(path)} - {""})

    @staticmethod
    def makedirs(path: PathType) -> None:
        """See TFX's `Filesystem`."""

    @staticmethod
    def mkdir(path: PathType) -> None:
        """See TFX's `Filesystem`."""

    @staticmethod
    def remove(path: PathType) -> None:
        """See TFX's `Filesystem`."""
        s3.remove_objects([_text(path)])

    @staticmethod
    def rename(src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """See TFX's `Filesystem`. For an object alone."""
        S3Filesystem.copy(src, dst, overwrite)
        S3Filesystem.remove(src)

    @staticmethod
    def rmtree(path: PathType) -> None:
        """See TFX's `Filesystem`."""
        base = _text(path).rstrip("/") + "/"
        s3.remove_objects(base + name for name, _ in _below(path))

    @staticmethod
    def stat(path: PathType) -> s3.Object:
        """See TFX's `Filesystem`."""
        found = s3.find_object(_text(path))
        if found is None:
            raise filesystem.NotFoundError(_text(path))
        return found

    @staticmethod
    def walk(
        top: PathType, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterator[tuple[PathType, list[PathType], list[PathType]]]:
        """See TFX's `Filesystem`."""
        root = _text(top).rstrip("/")
        folders: dict[str, tuple[set[str], list[str]]] = {"": (set(), [])}
        for path, _ in _below(top):
            parent = ""
            *parents, name = path.split("/")
            for folder in parents:
                folders[parent][0].add(folder)
                parent = f"{parent}/{folder}" if parent else folder
                folders.setdefault(parent, (set(), []))
            if name:
                folders[parent][1].append(name)
        for folder in sorted(folders, reverse=not topdown):
            inside, names = folders[folder]
            yield f"{root}/{folder}" if folder else root, [*sorted(inside)], [*names]


def register() -> None:
    """Has TFX come here for `s3://`."""
    registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    if registry.get_filesystem_for_scheme(s3.SCHEME) is not S3Filesystem:
        registry.register(S3Filesystem, priority=1)
