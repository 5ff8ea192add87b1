"""What nodes leave for each other, on any of TFX's file systems: folders, and files of theirs."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tfx.dsl.io import fileio

from tfxray.components.common import filesystem


def list_folder(folder: str) -> list[str]:
    """The names of what lies in a folder, sorted; none where there is no such folder."""
    if not fileio.isdir(folder):
        return []
    # Object stores mark folders: with a slash, and with an empty object in the folder's own place.
    return sorted(name.rstrip("/") for name in fileio.listdir(folder) if name.strip("/"))


def record_dataset(paths: Sequence[str]) -> tf.data.Dataset:
    """The records that a node wrote, all of its files alike: compressed where they end in `.gz`."""
    zipped = any(path.endswith(".gz") for path in paths)
    return tf.data.TFRecordDataset(list(paths), "GZIP" if zipped else "")


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A file of this machine with a file's content, for libraries that know no other.

    Args:
        path: The file, which is its own copy where it is local.
    """
    if filesystem.is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, os.path.basename(path))
        fileio.copy(path, copy)
        yield copy


@contextlib.contextmanager
def local_target(path: str) -> Iterator[str]:
    """A place for a file of this machine, which then goes to a path; not if an error is raised.

    Args:
        path: Folders on its way are made.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, os.path.basename(path))
        yield copy
        fileio.makedirs(os.path.dirname(path))
        fileio.copy(copy, path, overwrite=True)
