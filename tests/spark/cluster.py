"""A standalone Spark cluster on hosts: a master, and workers with a pool of Beam workers each."""

import contextlib
import json
import os
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tests import hosts
from tests.spark.distribution import Distribution
from tfxray.components.runners import presets

_PORT = 7077
_DEPLOY = "org.apache.spark.deploy"


@dataclass(frozen=True)
class Job:
    """One Beam job, which is one application of Spark's.

    Attributes:
        name: Beam's name of it.
        start: Seconds since 1970.
        seconds: How long it took.
        hosts: Those that had a tenth of its tasks' time, or more.
    """

    name: str
    start: float
    seconds: float
    hosts: set[str]


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        manager: The master's host.
        workers: The workers' hosts. Each has a pool at port 50000.
        processes: What runs, by role and host: `worker one`.
        folder: Holds the logs.
    """

    distribution: Distribution
    manager: hosts.Host
    workers: list[hosts.Host]
    folder: Path
    processes: dict[str, Popen] = field(default_factory=dict)

    @property
    def master(self) -> str:
        """What `beam.master` takes."""
        return f"spark://{self.manager.address}:{_PORT}"

    def config(self) -> dict:
        """The section `beam` of a config whose jobs run on this cluster."""
        java = {
            # This machine has an address in the network of the tests, and others.
            "spark.driver.host": self._own_address(),
            # The runner lies on each host, and before Spark's older Guava.
            "spark.executor.extraClassPath": self.distribution.runner,
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": self._events.as_uri(),
        }
        options = [
            f"--spark_job_server_jar={self.distribution.job_server}",
            # Else Beam sends each job all of Spark's jars.
            f"--files_to_stage={self.distribution.job_server}",
            *(f"--job_server_jvm_properties=-D{name}={value}" for name, value in java.items()),
        ]
        return {"engine": "spark", "master": self.master, "options": options}

    def jobs(self) -> list[Job]:
        """The jobs that have ended, the first first; of what Spark has written of each."""
        logs = [path for path in self._events.iterdir() if path.suffix != ".inprogress"]
        return sorted(map(_read, logs), key=lambda job: job.start)

    def start_worker(self, host: hosts.Host) -> None:
        """Starts a worker of Spark's, and the pool beside it."""
        self._start(
            host, "worker", f"{_DEPLOY}.worker.Worker", "--cores", 1, "--memory", "1g",
            "--work-dir", self.folder / f"work-{host.name}", f"spark://{self.manager.name}:{_PORT}",
        )  # fmt: skip
        self.processes[f"pool {host.name}"] = host.start_pool(log=self._log("pool", host))

    def kill(self, role: str, host: hosts.Host) -> None:
        """Kills what has a role on a host."""
        process = self.processes.pop(f"{role} {host.name}")
        process.kill()
        process.wait()

    def wait(self, workers: int, seconds: float = 90) -> None:
        """Waits until the master knows so many workers that are alive."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not any(p.poll() for p in self.processes.values()):
            page = f"http://{self.manager.address}:8080/json/"
            with contextlib.suppress(OSError), urllib.request.urlopen(page, timeout=20) as answer:
                if json.load(answer)["aliveworkers"] == workers:
                    return
            time.sleep(0.5)
        raise RuntimeError(f"not all of Spark has started: see {self.folder}")

    @property
    def _events(self) -> Path:
        return self.folder / "events"

    def _own_address(self) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((self.manager.address, _PORT))
            return way.getsockname()[0]

    def _start(self, host: hosts.Host, role: str, entry: str, *arguments: object) -> None:
        home = self.distribution.spark
        self.processes[f"{role} {host.name}"] = host.start(
            "java", *presets.OPENED, "-Xmx384m", "-cp", f"{home}/jars/*",
            entry, "--host", host.name, *arguments,
            log=self._log(role, host),
            # Else Spark looks for the Scala that it was built with.
            env={**os.environ, "SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.12"},
        )  # fmt: skip

    def _log(self, role: str, host: hosts.Host) -> Path:
        return self.folder / f"{role}-{host.name}.log"


@contextlib.contextmanager
def start(distribution: Distribution, folder: Path, *workers: str) -> Iterator[Cluster]:
    """Starts a cluster; ends it, and removes its hosts.

    Args:
        distribution: Spark, and Beam's job server.
        folder: Gets the logs.
        workers: The names of the hosts that get a worker each.
    """
    with hosts.network("manager", *workers) as (manager, *others):
        cluster = Cluster(distribution, manager, others, folder)
        cluster._events.mkdir()
        cluster._start(manager, "master", f"{_DEPLOY}.master.Master", "--port", _PORT)
        manager.wait_for_port(_PORT, cluster.processes[f"master {manager.name}"])
        for host in others:
            cluster.start_worker(host)
        cluster.wait(len(others))
        yield cluster


def _read(log: Path) -> Job:
    """A job, as Spark's log of its events tells it."""
    name, start, end, spent = "", 0, 0, Counter[str]()
    for event in map(json.loads, log.read_text().splitlines()):
        match event["Event"]:
            case "SparkListenerApplicationStart":
                name, start = event["App Name"], event["Timestamp"]
            case "SparkListenerApplicationEnd":
                end = event["Timestamp"]
            case "SparkListenerTaskEnd" if event.get("Task Metrics"):
                spent[event["Task Info"]["Host"]] += event["Task Metrics"]["Executor Run Time"]
    took_part = {host for host, time_spent in spent.items() if time_spent > spent.total() / 10}
    return Job(name, start / 1000, (end - start) / 1000, took_part)
