"""Pushes a model: a version appears whole, under a number of its own, and is what was evaluated."""

import contextlib
import dataclasses
import errno
import os
import secrets
from collections.abc import Iterable, Iterator

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, filenames, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.components.pusher import half_versions, versions
from tfxray.components.pusher.versions import Record

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_BLOCK = 1 << 20


def push_version(model: str, base: str, evaluated: Record, monitoring: str | None = None) -> str:
    """Pushes a model as the newest version.

    If the newest version holds this very model, it stays, and nothing is written but what goes with
    it for monitoring.

    On this machine the version is written beside the others, and then renamed: it is there as a
    whole, or not at all. An object store has no such rename. There `saved_model.pb` comes last:
    without it, no server loads a version, and tfxray calls it damaged.

    Args:
        model: The exported model's folder.
        base: The folder of the versions, on any of TFX's file systems.
        evaluated: What Evaluator saw of the model.
        monitoring: The file that goes with it for monitoring, if there is one.

    Returns:
        The version's folder.

    Raises:
        UserError: The model is no longer what Evaluator scored, or the version cannot be written.
            The last good version is still the newest.
    """
    difference = versions.describe_difference(evaluated.files, versions.hash_files(model))
    if difference:
        raise UserError(
            f"{model}: {difference}, since Evaluator scored this model. Nothing was pushed. Train "
            "the model again (tfxray run --from Trainer)"
        )
    newest = versions.find_newest(base)
    if newest.sound and not newest.damaged and versions.holds_model(newest.sound, evaluated.files):
        _copy_monitoring(monitoring, newest.sound)
        return newest.sound
    return _write(model, base, evaluated, monitoring)


def copy_version(version: str) -> str:
    """Makes a copy of a version the newest one: the way back to it. It appears as a push does.

    Args:
        version: Its folder, beside the others, on any of TFX's file systems. It stays.

    Returns:
        The copy's folder. Its record names the version.

    Raises:
        UserError: The version is damaged, or the copy cannot be written.
    """
    base, number = os.path.split(version)
    try:
        record = versions.read_record(os.path.join(version, filenames.VERSION_RECORD))
        record = record or Record(versions.hash_files(version), None)
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise UserError(f"{version}: cannot be read. Nothing was changed") from error
    # After the record was read: what is copied is what was compared with it.
    if damage := versions.find_damage(version):
        raise UserError(
            f"{version}: this version is damaged: {damage}. Nothing was changed. Go back to "
            "another one"
        )
    copy = dataclasses.replace(record, copy_of=int(number))
    return _write(version, base, copy, os.path.join(version, filenames.MONITORING))


def _write(model: str, base: str, record: Record, monitoring: str | None) -> str:
    """Writes a new version, whole."""
    write = _push_by_rename if filesystem.is_local(base) else _push_file_by_file
    try:
        return write(model, base, record, monitoring)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(
            f"{base}: the new version cannot be written: {reason}. The last good version stays"
        ) from error


def _copy_monitoring(monitoring: str | None, version: str) -> None:
    """Copies the file that goes with a model; it replaces one that an earlier run left."""
    if monitoring is None or not fileio.exists(monitoring):  # an older tfxray evaluated the model
        return
    content = io_utils.read_string_file(monitoring)
    artifacts.write_text(os.path.join(version, filenames.MONITORING), content)


def _push_by_rename(model: str, base: str, record: Record, monitoring: str | None) -> str:
    os.makedirs(base, exist_ok=True)
    half_versions.remove_abandoned(base)
    with half_versions.make_folder(base) as scratch:
        version = os.path.join(scratch, "version")
        for name in record.files:
            _copy(os.path.join(model, name), os.path.join(version, name))
        path = os.path.join(version, filenames.VERSION_RECORD)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        versions.write_record(path, record)
        _copy_monitoring(monitoring, version)
        durable.sync_tree(version)
        _check_copy(version, base)
        while True:
            target = os.path.join(base, str(versions.next_number(base)))
            try:
                os.rename(version, target)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                continue  # somebody else took the number meanwhile: it is among the others now
            durable.sync_folder(base)
            return target


def _copy(source: str, target: str) -> None:
    """Copies a file to this machine's disk."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with fileio.open(source, "rb") as reader, open(target, "xb") as writer:
        while block := reader.read(_BLOCK):
            writer.write(block)


def _check_copy(version: str, base: str) -> None:
    """Reads back what was written."""
    if damage := versions.find_damage(version):
        raise UserError(
            f"{base}: of the new version, {damage} as soon as it is written. Nothing was pushed. "
            "Look at this disk"
        )


def _push_file_by_file(model: str, base: str, record: Record, monitoring: str | None) -> str:
    with _claimed_number(base) as number:
        version = os.path.join(base, str(number))
        versions.write_record(os.path.join(version, filenames.VERSION_RECORD), record)
        _copy_monitoring(monitoring, version)
        for name in _last(record.files, versions.MODEL):
            target = os.path.join(version, name)
            fileio.makedirs(os.path.dirname(target))
            fileio.copy(os.path.join(model, name), target)
        try:
            _check_copy(version, base)
        except UserError:
            fileio.remove(os.path.join(version, versions.MODEL))
            raise
        return version


def _last(names: Iterable[str], last: str) -> list[str]:
    return sorted(names, key=lambda name: name == last)


@contextlib.contextmanager
def _claimed_number(base: str) -> Iterator[int]:
    """A number that nobody else takes, where a name cannot be taken at once.

    Each push first writes a claim, and then looks: of two claims for one number, at least one
    sees the other, and gives way.
    """
    fileio.makedirs(base)
    number = versions.next_number(base)
    while True:
        claim = filenames.PARTIAL.format(f"{number}-{secrets.token_hex(8)}")
        with fileio.open(os.path.join(base, claim), "w") as file:
            file.write(claim)
        others = [name for name in artifacts.list_folder(base) if name != claim]
        if not any(n == str(number) or n.startswith(f".{number}-") for n in others):
            break
        fileio.remove(os.path.join(base, claim))
        number = max(versions.next_number(base), number + 1 + secrets.randbelow(16))
    try:
        yield number
    finally:
        fileio.remove(os.path.join(base, claim))
