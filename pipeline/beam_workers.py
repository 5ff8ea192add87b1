"""Looks for the machines that the config's Beam jobs run on, before the first of them starts."""

import os
from collections.abc import Mapping

from tfxray.components.common import filesystem
from tfxray.pipeline.config.config import Beam

_NAMED = 4  # hosts


def find_workers(beam: Beam, read: Mapping[str, str], written: Mapping[str, str]) -> str:
    """Sees that the jobs can run where the config says; see `probe.check_workers`.

    Args:
        beam: The config's section.
        read: Folders that the jobs read, by the options that name them, such as `--data`.
        written: Folders that they write into; those that are local are made where they are missing.

    Returns:
        The hosts of the workers in a few words; nothing where the jobs run on this machine.

    Raises:
        UserError: They cannot.
    """
    if not beam.elsewhere:
        return ""
    from tfxray.components.runners import probe  # imports Beam

    folders = [probe.Folder(path, option) for option, path in read.items()]
    folders += [probe.Folder(path, option, written=True) for option, path in written.items()]
    hosts = probe.check_workers(beam.arguments(), folders)
    more = [f"{len(hosts) - _NAMED} more"] if hosts[_NAMED:] else []
    return ", ".join([*hosts[:_NAMED], *more])


def folder_around(path: str) -> str:
    """Where a folder that a job makes is to appear."""
    full = filesystem.full_path(path)
    parent = os.path.dirname(full)
    return full if parent.endswith(":/") else parent  # a bucket has nothing around it
