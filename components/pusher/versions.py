"""The versions of a model in its serving folder: numbers, records, and what is damaged.

A version is a folder whose name is a number. TensorFlow Serving serves the highest. Each version
that tfxray pushed holds a record of its files and of its held-out figures.
"""

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Annotated

import tensorflow as tf
from pydantic import Field, TypeAdapter
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, filenames
from tfxray.components.common.errors import UserError

MODEL = "saved_model.pb"
_HIGHEST = 2**63 - 1  # TensorFlow Serving reads a version's number into so many bits
# Where TensorFlow's loaders look. Elsewhere people may add what they like, such as notes.
_LOADED = ("saved_model.", "variables/", "assets/")
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a model.

    Attributes:
        size: Bytes.
        sha256: In hexadecimal digits.
    """

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a model came to on the held-out test split.

    Attributes:
        auc: None where the split holds one class.
        auc_interval: Its 95 % interval by patient, low and high.
        images: How many.
        patients: How many.
    """

    auc: float | None
    auc_interval: tuple[float, float] | None
    images: int
    patients: int

    def __str__(self) -> str:
        interval = "" if not self.auc_interval else " [{:.4f}, {:.4f}]".format(*self.auc_interval)
        auc = "no AUC" if self.auc is None else f"AUC {self.auc:.4f}{interval}"
        return f"{auc} on {self.images} held-out images of {self.patients} patients"


@dataclasses.dataclass(frozen=True)
class Record:
    """What Evaluator saw of a model. It lies beside the blessing, and within a pushed version.

    Attributes:
        files: The exported model's, by name below its folder.
        heldout: Its figures; None of a copy of a version that told none.
        copy_of: The number of the version from which a rollback made this one; None of a push.
    """

    files: Mapping[str, File]
    heldout: Figures | None
    copy_of: Annotated[int, Field(ge=0, le=_HIGHEST)] | None = None


@dataclasses.dataclass(frozen=True)
class Newest:
    """What a serving folder holds, from its newest version down to the first sound one.

    Attributes:
        sound: The newest version without damage; None where there is none.
        damaged: The folders of the versions above it, newest first, and what is wrong with each.
    """

    sound: str | None
    damaged: Mapping[str, str]


def write_record(path: str, record: Record) -> None:
    """Writes a record.

    Args:
        path: The file, on any of TFX's file systems.
        record: The record.
    """
    io_utils.write_string_file(path, json.dumps(dataclasses.asdict(record), indent=1))


def read_record(path: str) -> Record | None:
    """Reads a record; None where there is none.

    Args:
        path: The file, on any of TFX's file systems.

    Raises:
        ValueError: It cannot be read.
    """
    if not fileio.exists(path):
        return None
    try:
        with fileio.open(path, "rb") as file:
            return TypeAdapter(Record).validate_json(file.read())
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(f"{path} cannot be read") from error


def has_record(version: str) -> bool:
    """Whether a version holds a record. Those of tfxray 0.1.0 and of other tools hold none."""
    return bool(fileio.exists(os.path.join(version, filenames.VERSION_RECORD)))


def is_version(folder: str) -> bool:
    """Whether a folder is a model, or is what remains of one that tfxray pushed."""
    return bool(fileio.exists(os.path.join(folder, MODEL))) or has_record(folder)


def holds_model(version: str, files: Mapping[str, File]) -> bool:
    """Whether a version was pushed from these files, by its record; without one, by its content.

    Args:
        version: Its folder.
        files: A model's; see `hash_files`.
    """
    try:
        record = read_record(os.path.join(version, filenames.VERSION_RECORD))
        if record:
            return record.files == files
        return bool(files) and files.items() <= hash_files(version).items()
    except (ValueError, OSError, tf.errors.OpError):
        return False


def hold_the_same(version: str, other: str) -> bool:
    """Whether two versions, both sound, hold the same model.

    Args:
        version: Its folder.
        other: Likewise.
    """
    try:
        record = read_record(os.path.join(version, filenames.VERSION_RECORD))
        return holds_model(other, record.files if record else hash_files(version))
    except (ValueError, OSError, tf.errors.OpError):
        return False


def comes_after(version: str, model: str, made: float) -> bool:
    """Whether a version holds another model than this one, and was pushed after it was made.

    That happens where two pipelines push under one name, or a metadata store was restored from a
    copy: the latest blessed model is then not what is served.

    Args:
        version: Its folder, whose name is the time of its push, see `next_number`.
        model: The exported model's folder.
        made: Seconds since 1970; 0 where unknown, which counts as before.
    """
    later = int(os.path.basename(version)) > made
    return later and not holds_model(version, hash_files(model))


def hash_files(folder: str) -> dict[str, File]:
    """Reads all files below a folder, and gives their digests by name.

    Args:
        folder: On any of TFX's file systems.
    """
    return {name: _hash(os.path.join(folder, name)) for name in _list_files(folder)}


def describe_difference(
    expected: Mapping[str, File], actual: Mapping[str, File | None]
) -> str | None:
    """Says how files differ from what they should be: the first that does, and how many more.

    Args:
        expected: By name.
        actual: By name; a file that nothing is expected of may be None.

    Returns:
        Such as `variables/variables.index is missing`; None where nothing differs.
    """
    differences = []
    for name, file in sorted(expected.items()):
        other = actual.get(name)
        if other is None:
            differences.append(f"{_printable(name)} is missing")
        elif other.size != file.size:
            differences.append(f"{_printable(name)} has {other.size} bytes instead of {file.size}")
        elif other != file:
            differences.append(f"{_printable(name)} has other content")
    differences += [f"{_printable(n)} was added" for n in sorted(set(actual) - set(expected))]
    if not differences:
        return None
    more = len(differences) - 1
    return differences[0] + (f", and {more} more file{'s' if more > 1 else ''}" if more else "")


def find_damage(version: str) -> str | None:
    """Compares a version with its record.

    Args:
        version: Its folder, on any of TFX's file systems.

    Returns:
        What is wrong, in words. None where nothing is; nor is more known of a version without a
        record than whether its SavedModel is there.
    """
    try:
        record = read_record(os.path.join(version, filenames.VERSION_RECORD))
    except ValueError:
        return f"{filenames.VERSION_RECORD} cannot be read"
    if record is None:
        there = fileio.exists(os.path.join(version, MODEL))
        return None if there else f"{MODEL} is missing"
    try:
        names = _list_files(version)
        actual: dict[str, File | None] = {
            name: _hash(os.path.join(version, name)) for name in names if name in record.files
        }
    except (OSError, tf.errors.OpError):
        return "its files cannot be read"
    actual |= dict.fromkeys(n for n in names if n not in record.files and n.startswith(_LOADED))
    return describe_difference(record.files, actual)


def list_versions(base: str) -> dict[int, str]:
    """The folders whose names are numbers, lowest first; see `find_damage` for what they hold.

    Args:
        base: The folder of the versions, on any of TFX's file systems.
    """
    paths = {number: os.path.join(base, name) for number, name in _numbers(base).items()}
    return {number: path for number, path in sorted(paths.items()) if fileio.isdir(path)}


def newest_version(base: str) -> str | None:
    """The newest version, damaged or not; None where nothing was pushed.

    Args:
        base: The folder of the versions, on any of TFX's file systems.
    """
    paths = [path for path in list_versions(base).values() if is_version(path)]
    return paths[-1] if paths else None


def find_newest(base: str) -> Newest:
    """Looks from the newest version down to the first that is sound.

    Args:
        base: The folder of the versions, on any of TFX's file systems.
    """
    damaged: dict[str, str] = {}
    for version in reversed(list_versions(base).values()):
        damage = find_damage(version)
        if not damage:
            return Newest(version, damaged)
        damaged[version] = damage
    return Newest(None, damaged)


def find_withdrawal(base: str, files: Mapping[str, File]) -> int | None:
    """Whether a rollback took a model out of service, and nothing has brought it back since.

    A version that is damaged withdraws nothing: what was wrong with it was the copy.

    Args:
        base: The folder of the versions, on any of TFX's file systems.
        files: The model's; see `hash_files`.

    Returns:
        The version that a rollback went back from, of this model; None where there is none.
    """
    withdrawn, before, newest = None, 0, False
    versions = list_versions(base)
    for number, version in versions.items():
        try:
            record = read_record(os.path.join(version, filenames.VERSION_RECORD))
        except ValueError:
            record = None
        if record and record.files == files:
            withdrawn, newest = None, True
        else:
            if newest and record and record.copy_of is not None:
                withdrawn = before
            newest = False
        before = number
    return None if withdrawn is None or find_damage(versions[withdrawn]) else withdrawn


def next_number(base: str) -> int:
    """A number for the next version: the time in seconds, as TFX has it, but above all others.

    A server takes the highest number, whatever the clock says. A file with such a name counts too.

    Args:
        base: The folder of the versions, on any of TFX's file systems.

    Raises:
        UserError: There is no higher number.
    """
    newest = max(_numbers(base), default=0)
    if newest >= _HIGHEST:
        raise UserError(
            f"{base}: the version {newest} has the highest number that a server reads, so that no "
            "version can come after it. Give that folder a lower number"
        )
    return max(int(time.time()), newest + 1)


def _numbers(base: str) -> dict[int, str]:
    names = (n for n in artifacts.list_folder(base) if re.fullmatch("[0-9]{1,19}", n))
    return {int(name): name for name in names if int(name) <= _HIGHEST}


def _list_files(folder: str) -> list[str]:
    below = len(folder.rstrip("/")) + 1
    return [
        os.path.join(parent, name)[below:]
        for parent, _, names in fileio.walk(folder.rstrip("/"))
        for name in names
        if name.strip("/")  # object stores mark folders by empty objects
    ]


def _hash(path: str) -> File:
    digest, size = hashlib.sha256(), 0
    with fileio.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return File(size, digest.hexdigest())


def _printable(name: str) -> str:
    """A file's name for messages; a hostile one may hold what moves a terminal's cursor."""
    return name if name.isprintable() else ascii(name)
