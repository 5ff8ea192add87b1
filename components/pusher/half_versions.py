"""Versions that are not whole yet: folders beside the others, which no server looks at.

A push holds a lock on its own as long as it lives. What a killed one left is known by that.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator

from tfxray.components.common import filenames

_PREFIX, _SUFFIX = filenames.PARTIAL.format(" ").split(" ")
_LOCK = "lock"


@contextlib.contextmanager
def make_folder(base: str) -> Iterator[str]:
    """Makes a folder, locked while it is in use, and removes it with what is left in it.

    Args:
        base: The folder of the versions, on this machine.

    Raises:
        OSError: It cannot be made.
    """
    while True:
        scratch = tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=base)
        # Another push may take it for abandoned, until it is locked.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            lock = open(os.path.join(scratch, _LOCK), "xb")  # noqa: SIM115
            with contextlib.suppress(OSError):  # this file system has no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(lock.name):
                break
            lock.close()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.close()


def list_abandoned(base: str) -> list[str]:
    """Lists the half versions that killed pushes left.

    Args:
        base: The folder of the versions, on this machine.
    """
    abandoned = []
    for folder in _half_versions(base):
        with _hold_if_abandoned(folder) as held:
            abandoned += [folder] if held else []
    return abandoned


def remove_abandoned(base: str) -> None:
    """Removes the half versions that killed pushes left.

    Args:
        base: The folder of the versions, on this machine.
    """
    for folder in _half_versions(base):
        with _hold_if_abandoned(folder) as held:
            if held:
                shutil.rmtree(folder, ignore_errors=True)


def _half_versions(base: str) -> list[str]:
    names = [name for name in os.listdir(base) if name.startswith(_PREFIX)]
    paths = [os.path.join(base, name) for name in sorted(names) if name.endswith(_SUFFIX)]
    return [path for path in paths if os.path.isdir(path) and not os.path.islink(path)]


@contextlib.contextmanager
def _hold_if_abandoned(folder: str) -> Iterator[bool]:
    """Takes the lock that a push holds on its half version while it lives; yields if it could."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(open(os.path.join(folder, _LOCK), "a+b"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError:  # held; or of somebody else; or this file system has no locks
            held = False
        yield held
