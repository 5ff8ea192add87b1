"""Versions that are not whole yet: folders beside the others, which no server looks at.

A push holds a lock on its own as long as it lives. What a killed one left is known by that.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from tfxray.components.common import filenames, progress
from tfxray.components.disk import locks

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
    with contextlib.ExitStack() as stack:
        while True:
            scratch = tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=base)
            # Another push may take it for abandoned, and remove it, until it is locked.
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(_hold(scratch, wait=True))
                break
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        yield scratch


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
            held = stack.enter_context(_hold(folder, wait=False)).held
        except (locks.Busy, OSError):  # in use; or of somebody else
            held = False
        yield held


def _hold(folder: str, wait: bool) -> contextlib.AbstractContextManager[locks.Lock]:
    return locks.hold(os.path.join(folder, _LOCK), "a push", progress.log.debug, wait)
