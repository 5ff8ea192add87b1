"""A JobSet's pods as processes, each on a host of its own: what JobSet's controller does with them.

It restarts all when one fails, as often as `maxRestarts` says, unless the exit code is one at which
a Job gives up; and the end of what `successPolicy` names is the end of all. So says JobSet's API
(api/jobset/v1alpha2/jobset_types.go, v0.11.0), for its strategy `Recreate`.
"""

import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import hosts

INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


@dataclass
class Result:
    """What a JobSet came to.

    Attributes:
        succeeded: Whether its end is a good one.
        logs: Of each try: what each pod printed, by its name.
    """

    succeeded: bool
    logs: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Pod:
    """A pod: its name, that of its job, and what it is made of."""

    name: str
    job: str
    index: int
    spec: dict[str, Any]
    final: list[int]

    def start(self, host: hosts.Host, mounts: dict[str, Path], log: Path) -> Any:
        """Starts its container."""
        (container,) = self.spec["containers"]
        environment: dict[str, str] = {}
        for variable in container["env"]:
            if reference := variable.get("valueFrom"):
                value = {INDEX: str(self.index)}[reference["fieldRef"]["fieldPath"]]
            else:
                value = variable["value"]
                for name, earlier in environment.items():
                    value = value.replace(f"$({name})", earlier)
            environment[variable["name"]] = value
        program, *words = container["command"]
        for mount in container["volumeMounts"]:
            folder = str(mounts[mount["name"]])
            words = [word.replace(mount["mountPath"], folder) for word in words]
        return host.start(
            Path(sys.executable).with_name(program), *words,
            log=log, env={**os.environ, **environment},
        )  # fmt: skip


def list_pods(jobset: dict[str, Any]) -> list[Pod]:
    """The pods, under the names by which they find each other."""
    name = jobset["metadata"]["name"]
    domain = jobset["spec"]["network"].get("subdomain", name)
    return [
        Pod(
            f"{name}-{part['name']}-{number}-{index}.{domain}",
            part["name"],
            index,
            job["template"]["spec"],
            job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"],
        )
        for part in jobset["spec"]["replicatedJobs"]
        for job in [part["template"]["spec"]]
        for number in range(part["replicas"])
        for index in range(job["completions"])
    ]


def run(
    jobset: dict[str, Any],
    mounts: dict[str, Path],
    folder: Path,
    disturb: Callable[[int, dict[str, Any], dict[str, Path]], None] = lambda *_: None,
) -> Result:
    """Runs a JobSet to its end.

    Args:
        jobset: The resource.
        mounts: The folder that each volume is, by the volume's name.
        folder: Gets the logs.
        disturb: Called again and again with the number of the try, the pods' processes and their
            logs, by the pods' names.
    """
    pods, spec = list_pods(jobset), jobset["spec"]
    result = Result(False)
    with hosts.network(*(pod.name for pod in pods)) as network:
        for attempt in range(spec["failurePolicy"]["maxRestarts"] + 1):
            logs = {pod.name: folder / f"{attempt}-{pod.name}.log" for pod in pods}
            processes = {
                pod.name: pod.start(host, mounts, logs[pod.name])
                for pod, host in zip(pods, network, strict=True)
            }
            now = functools.partial(disturb, attempt, processes, logs)
            ended = _wait(pods, processes, spec, now)
            for process in processes.values():
                process.kill()
                process.wait()
            result.logs.append({name: log.read_text() for name, log in logs.items()})
            if ended is None:
                result.succeeded = True
            if ended is None or ended[1] in ended[0].final:
                break
    return result


def _wait(
    pods: list[Pod], processes: dict[str, Any], spec: dict[str, Any], disturb: Callable[[], None]
) -> tuple[Pod, int] | None:
    """The pod that failed, with its exit code; None when all that count have succeeded."""
    counted = [pod for pod in pods if pod.job in spec["successPolicy"]["targetReplicatedJobs"]]
    while True:
        disturb()
        codes = {pod.name: processes[pod.name].poll() for pod in pods}
        for pod in pods:
            if codes[pod.name]:
                return pod, codes[pod.name]
        if all(codes[pod.name] == 0 for pod in counted):
            return None
        time.sleep(0.05)
