"""Which hosts train together: TF_CONFIG, as TensorFlow has it."""

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfxray.components.common.errors import UserError

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:([0-9]{1,5})")
_PAUSE = 0.5  # seconds between two looks for a host


@dataclass(frozen=True)
class Cluster:
    """The hosts of a training.

    Attributes:
        addresses: Host and port of each, the chief's first.
        place: Of this host among them.
    """

    addresses: tuple[str, ...]
    place: int

    @property
    def several(self) -> bool:
        """Whether there is another host than this."""
        return len(self.addresses) > 1

    @property
    def chief(self) -> bool:
        """Whether this host writes the results of the training."""
        return self.place == 0


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG.

    The chief is the task `chief`, or, where there is none, worker 0, as TensorFlow has it.

    Args:
        environment: Where it stands.

    Raises:
        UserError: It is missing or malformed, or this host's task is not in the cluster.
    """
    text = environment.get(VARIABLE)
    if not text:
        raise UserError(
            f"train.distribution = multi_worker: {VARIABLE} is not set; on each host it names all "
            f"of them and this one: {_EXAMPLE}"
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not JSON: {error}") from None
    jobs, task = _parts(config)
    addresses_by_job: dict[str, list[str]] = {
        job: _addresses(job, jobs[job]) for job in ("chief", "worker") if job in jobs
    }
    addresses = tuple(address for job in addresses_by_job for address in addresses_by_job[job])
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise _wrong(f"cluster: {', '.join(twice)} stands there twice")
    return Cluster(addresses, _place(addresses_by_job, task))


def as_chief() -> Cluster:
    """Reads TF_CONFIG where the pipeline runs.

    Raises:
        UserError: As of `read_cluster`; or this host is not the chief.
    """
    cluster = read_cluster()
    if not cluster.chief:
        raise UserError(
            f"{VARIABLE}: the pipeline runs on the chief, {cluster.addresses[0]}; on this host, "
            "start: tfxray-worker"
        )
    return cluster


def wait_for(address: str, seconds: float) -> bool:
    """Waits until a host listens.

    Args:
        address: Host and port.
        seconds: How long.

    Returns:
        Whether it does.
    """
    host, _, port = address.rpartition(":")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            # Its name, too, may be known only once it is there.
            with socket.create_connection((host, int(port)), timeout=_PAUSE):
                return True
        except OSError:
            time.sleep(_PAUSE)
    return False


def _parts(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    jobs = config.get("cluster") if isinstance(config, dict) else None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(jobs, dict) or not isinstance(task, dict):
        raise _wrong('needs "cluster" and "task"')
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise _wrong(f"cluster.{unknown[0]}: there are only chief and worker in this strategy")
    if not jobs:
        raise _wrong("cluster: names no host")
    return jobs, task


def _addresses(job: str, addresses: Any) -> list[str]:
    if not isinstance(addresses, list) or not addresses:
        raise _wrong(f"cluster.{job}: must be a list of host:port")
    if job == "chief" and len(addresses) > 1:
        raise _wrong(f"cluster.chief: is one host, not {len(addresses)}")
    for address in addresses:
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not match or not 0 < int(match[2]) < 65536:
            raise _wrong(f"cluster.{job}: {address!r} is not host:port")
    return addresses


def _place(jobs: Mapping[str, list[str]], task: Mapping[str, Any]) -> int:
    job, index = task.get("type"), task.get("index")
    if job not in jobs:
        raise _wrong(f"task.type: {job!r} is not in the cluster, which has {', '.join(jobs)}")
    size = len(jobs[str(job)])
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < size:
        raise _wrong(f"task.index: {index!r} is not in the cluster: {job} has 0 to {size - 1}")
    return index + (len(jobs["chief"]) if job == "worker" and "chief" in jobs else 0)


def _wrong(what: str) -> UserError:
    return UserError(f"{VARIABLE}: {what}; for example: {_EXAMPLE}")
