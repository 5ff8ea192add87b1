"""What nodes leave for each other, on any of TFX's file systems: folders, and files of theirs."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import filenames, filesystem
from tfxray.components.common.contract import Task
from tfxray.components.disk import durable
from tfxray.components.object_store import tfx_s3

tfx_s3.register()  # for all who go through `fileio`


def list_folder(folder: str) -> list[str]:
    """The names of what lies in a folder, sorted; none where there is no such folder."""
    if not fileio.isdir(folder):
        return []
    # Object stores mark folders: with a slash, and with an empty object in the folder's own place.
    return sorted(name.rstrip("/") for name in fileio.listdir(folder) if name.strip("/"))


def record_dataset(paths: Sequence[str]) -> tf.data.Dataset:
    """The records that a node wrote, all of its files alike: compressed where they end in `.gz`."""
    compressed = any(path.endswith(".gz") for path in paths)
    return tf.data.TFRecordDataset(list(paths), "GZIP" if compressed else "")


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
def local_folder(folder: str) -> Iterator[str]:
    """A folder of files that TensorFlow can read: a copy on this machine of one on `s3://`.

    Args:
        folder: Its own copy where TensorFlow knows its file system.
    """
    if not filesystem.is_s3(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in filesystem.list_names(folder):
            copy = os.path.join(scratch, name)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            fileio.copy(os.path.join(folder, name), copy)
        yield scratch


@contextlib.contextmanager
def local_target(path: str) -> Iterator[str]:
    """A place for a file of this machine, which then goes to a path; not if an error is raised.

    Args:
        path: Folders on its way are made. If it is local, the file appears whole or not at all.
    """
    fileio.makedirs(os.path.dirname(path))
    if filesystem.is_local(path):
        with durable.fresh_file(path) as fresh:
            yield str(fresh)
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, os.path.basename(path))
        yield copy
        fileio.copy(copy, path, overwrite=True)


def write_text(path: str, text: str) -> None:
    """Writes a file: whole or not at all where it is local.

    Args:
        path: Folders on its way are made.
        text: Becomes UTF-8.
    """
    if filesystem.is_local(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        durable.write_file(path, text)
    else:
        io_utils.write_string_file(path, text)


def read_training_file(uris: Mapping[str, str], name: str) -> dict[str, Any]:
    """What Trainer wrote beside its TensorBoard logs; empty where there is none.

    Args:
        uris: Folders of the run's artifacts.
        name: The file's, such as `filenames.METRICS`.
    """
    folder = uris.get("Trainer.model_run", "")
    for filename in filter(None, (name, filenames.FORMER.get(name))):
        path = os.path.join(folder, filename)
        if folder and fileio.exists(path):
            content: dict[str, Any] = json.loads(io_utils.read_string_file(path))
            return content
    return {}


def read_thresholds(uris: Mapping[str, str], task: Task) -> dict[str, float]:
    """The operating points that Trainer chose, of a task's `judged`; 0.5 where there is none."""
    content = read_training_file(uris, filenames.OPERATING_POINT)
    by_name = content.get("findings", {})
    return {
        name: float((content if task.binary else by_name.get(name, {})).get("threshold", 0.5))
        for name in task.judged
    }
