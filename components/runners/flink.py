"""A Flink cluster, asked by its REST interface."""

import json
import os
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import urllib3

from tfxray.components.common.errors import UserError

_SECONDS = 10.0
# Flink's words: RemoteTransportException's and those of a lost connection or heartbeat.
_MISSED = re.compile(
    r"remote task manager '([^/' ]+)|TaskManager with id (\S+) (?:is no longer reachable|timed out)"
)


class Cluster:
    """A session cluster.

    Attributes:
        address: Of its job manager's REST interface, such as `http://jobmanager:8081`.
    """

    def __init__(self, master: str):
        """Asks nothing yet.

        Args:
            master: The address; `http://` may be left out.
        """
        self.address = (master if "://" in master else f"http://{master}").rstrip("/")

    @property
    def version(self) -> str:
        """Flink's version, such as `1.19.3`."""
        return str(self._ask("config", "flink-version"))

    @property
    def slots(self) -> int:
        """How many slots its task managers have together.

        Raises:
            UserError: It has none, or cannot be asked.
        """
        slots = int(self._ask("overview", "slots-total"))
        if not slots:
            raise UserError(
                f"{self.address}: the Flink cluster has no task manager. Start one on each host "
                "that is to work (beam.master)"
            )
        return slots

    @property
    def task_managers(self) -> dict[str, str]:
        """The hosts of its task managers, by what Flink calls each of them.

        Raises:
            UserError: It cannot be asked.
        """
        managers = self._ask("taskmanagers", "taskmanagers")
        return {each["id"]: _host(each["path"]) for each in managers}

    def check(self, versions: Sequence[str], parallelism: int, jar: str | None) -> None:
        """Sees that it can take Beam's jobs.

        Args:
            versions: Of Flink, such as `1.19`: those that Beam has a runner for.
            parallelism: How many slots a job wants; less than 1 leaves it to the cluster.
            jar: Beam's job server, a file; None if Beam is to find it.

        Raises:
            UserError: It is not there, is of another version, or has too few slots.
        """
        version = ".".join(self.version.split(".")[:2])
        if jar:  # what is no name of Beam's tells nothing
            versions = re.findall(r"flink-(\d+\.\d+)-", os.path.basename(jar)) or [version]
        if version not in versions:
            raise UserError(
                f"{self.address}: is Flink {self.version}, and "
                f"{os.path.basename(jar) if jar else 'this Beam'} takes {', '.join(versions)}. "
                "Start a cluster of such a version"
            )
        slots = self.slots
        if parallelism > slots:
            raise UserError(
                f"{self.address}: the Flink cluster has {slots} slots, and {parallelism} are asked "
                "for. Start more task managers, or ask for fewer (beam.parallelism)"
            )

    def cancel(self, name: str) -> None:
        """Ends the jobs of a name, if there are any."""
        for job in self._ask("jobs/overview", "jobs"):
            if job["name"].startswith(name) and job["state"] == "RUNNING":
                self._ask(f"jobs/{quote(job['jid'])}?mode=cancel", method="PATCH")

    def _ask(self, path: str, key: str | None = None, method: str = "GET") -> Any:
        """One request: the whole answer, or what it has under a key.

        Raises:
            UserError: There is no answer, or it is not Flink's.
        """
        try:
            answer = urllib3.PoolManager().request(
                method, f"{self.address}/{path}", timeout=_SECONDS, retries=False
            )
            content = json.loads(answer.data or "{}")
            if answer.status >= 400 or not isinstance(content, dict) or key not in (None, *content):
                raise ValueError(f"HTTP {answer.status}")
        except urllib3.exceptions.HTTPError as error:
            reason = _reason(error)
            raise UserError(
                f"{self.address}: no Flink cluster answers there ({reason}). Start it, or name "
                "the address of its REST interface (beam.master)"
            ) from None
        except ValueError as error:
            raise UserError(
                f"{self.address}: what answers there is no Flink job manager ({error}). Name the "
                "address of its REST interface (beam.master)"
            ) from None
        return content if key is None else content[key]


def missed_by(text: str) -> list[str]:
    """The task managers that a failed job misses, by their hosts or by what Flink calls them.

    Args:
        text: What Flink tells of the failure.
    """
    return [host or name for host, name in _MISSED.findall(text)]


def cluster_of(options: Sequence[str]) -> Cluster | None:
    """The cluster that options on Beam's command line name, if they name one."""
    for option in options:
        name, _, master = option.partition("=")
        if name == "--flink_master" and not master.startswith("["):  # such as [local]
            return Cluster(master)
    return None


def _host(path: str) -> str:
    """Of a task manager's address within Flink, such as pekko.tcp://flink@one:4000/user/rpc/it."""
    found = re.search(r"@(\[[^\]]*\]|[^:/]*)", path)
    return found[1] if found else path


def _reason(error: Exception) -> str:
    """The last of what led to an error, in a few words."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    lines = str(error).splitlines() or [type(error).__name__]
    return getattr(error, "strerror", None) or lines[0]
