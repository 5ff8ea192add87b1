"""The machines that the config's Beam jobs run on: looked for, and missed."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from tfxray.components.common import filesystem
from tfxray.components.common.errors import HostLost, UserError
from tfxray.components.runners import flink
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


@contextlib.contextmanager
def name_lost_hosts(beam: Beam) -> Iterator[None]:
    """Says which machine a Flink cluster has lost, where that is why something failed.

    Flink itself may tell, minutes later, of slots that it has not got.

    Args:
        beam: The config's section.

    Raises:
        HostLost: In the place of what the loss led to.
    """
    cluster, before = flink.cluster_of(beam.arguments() if beam.elsewhere else ()), None
    if cluster:
        with contextlib.suppress(UserError):  # the probe tells
            before = cluster.task_managers
    try:
        yield
    except UserError:
        raise  # says itself what is wrong
    except Exception as error:
        if not (cluster and before):
            raise
        try:
            after = cluster.task_managers
        except UserError as unreachable:
            raise HostLost(str(unreachable)) from error
        gone = before.keys() - after.keys()
        # It stays in the list for a minute, while those that it was connected with miss it at once.
        missed = flink.missed_by(str(error))
        lost = sorted({before.get(name, name) for name in (*gone, *missed)})
        if not lost:
            raise
        raise HostLost(
            f"{cluster.address}: the Flink cluster has lost its task manager on {', '.join(lost)}. "
            "Start it again, and run the same command again: what was done is kept"
        ) from error


def folder_around(path: str) -> str:
    """Where a folder that a job makes is to appear."""
    full = filesystem.full_path(path)
    parent = os.path.dirname(full)
    return full if parent.endswith(":/") else parent  # a bucket has nothing around it
