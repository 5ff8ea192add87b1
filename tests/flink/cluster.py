"""A Flink cluster on hosts: a job manager, and task managers with a pool of Beam workers each."""

import contextlib
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tests import hosts
from tests.flink.distribution import Distribution

# Flink's scripts work these sizes out; without the scripts they must be said.
_TASK_MANAGER_MEMORY = {
    "framework.heap.size": "128m",
    "framework.off-heap.size": "128m",
    "task.heap.size": "256m",
    "task.off-heap.size": "0b",
    "managed.size": "256m",
    "network.min": "128m",
    "network.max": "128m",
    "jvm-metaspace.size": "256m",
    "jvm-overhead.min": "192m",
    "jvm-overhead.max": "192m",
}
_HEAP = {"job-manager": "512m", "task-manager": "384m"}
# Flink looks into these packages of Java's; from Java 17 on they are shut.
_OPEN = (
    *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "text", "time", "util"),
    *("util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
)
_LOG = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %-5p %c{1} %m%n
"""


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        manager: The job manager's host.
        workers: The task managers' hosts. Each has a pool at port 50000.
        processes: What runs, by role and host: `task-manager one`.
        folder: Holds the logs.
    """

    distribution: Distribution
    manager: hosts.Host
    workers: list[hosts.Host]
    folder: Path
    processes: dict[str, Popen] = field(default_factory=dict)

    @property
    def master(self) -> str:
        """The address that `--flink_master` takes."""
        return f"{self.manager.address}:8081"

    def config(self) -> dict:
        """The section `beam` of a config whose jobs run on this cluster."""
        options = [f"--flink_job_server_jar={self.distribution.job_server}"]
        return {"engine": "flink", "master": self.master, "options": options}

    def ask(self, path: str) -> dict:
        """Asks the job manager by REST."""
        with urllib.request.urlopen(f"http://{self.master}/{path}", timeout=20) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict]:
        """The jobs so far: `jid`, `name`, `state`, `start-time`, `duration`; the first first."""
        return sorted(self.ask("jobs/overview")["jobs"], key=lambda job: job["start-time"])

    def hosts_of(self, job: str) -> set[str]:
        """The names of the hosts that read a tenth of a job's elements, or more."""
        read: Counter[str] = Counter()
        for vertex in self.ask(f"jobs/{job}")["vertices"]:
            for task in self.ask(f"jobs/{job}/vertices/{vertex['id']}")["subtasks"]:
                read[task["host"].partition(":")[0]] += task["metrics"]["read-records"]
        return {host for host, count in read.items() if count > read.total() / 10}

    def start_task_manager(self, host: hosts.Host) -> None:
        """Starts a task manager, and the pool beside it."""
        memory = [
            f"-Dtaskmanager.memory.{name}={size}" for name, size in _TASK_MANAGER_MEMORY.items()
        ]
        self._start(
            host, "task-manager", "taskexecutor.TaskManagerRunner",
            f"-Dtaskmanager.resource-id={host.name}", f"-Dtaskmanager.host={host.name}",
            "-Dtaskmanager.cpu.cores=1.0", *memory,
            # Beam ends its workers after each stage, and TensorFlow with them, where a job's own
            # jar has brought Beam. The job manager must not have it: it looks for the job there.
            "-Dclassloader.resolve-order=parent-first", jars=(self.distribution.job_server,),
            java=("-XX:MaxDirectMemorySize=384m", "-XX:MaxMetaspaceSize=256m"),
        )  # fmt: skip
        self.processes[f"pool {host.name}"] = host.start_pool(log=self._log("pool", host))

    def kill(self, host: hosts.Host) -> None:
        """Kills a task manager and the pool beside it, as if their machine lost its power."""
        for role in ("task-manager", "pool"):
            process = self.processes.pop(f"{role} {host.name}")
            process.kill()
            process.wait()

    def wait(self, seconds: float = 90) -> None:
        """Waits until each task manager of `workers` has told the job manager of itself."""
        end, running = time.monotonic() + seconds, self.processes.values()
        while time.monotonic() < end and not any(process.poll() for process in running):
            with contextlib.suppress(OSError):
                if self.ask("overview")["taskmanagers"] == len(self.workers):
                    return
            time.sleep(0.5)
        raise RuntimeError(f"not all of Flink has started: see {self.folder}")

    def _start_manager(self) -> None:
        (self.folder / "log4j-console.properties").write_text(_LOG)
        config = (
            f"jobmanager.rpc.address: {self.manager.name}\n"
            "jobmanager.rpc.port: 6123\n"
            "rest.bind-address: 0.0.0.0\n"
            "jobmanager.bind-host: 0.0.0.0\n"
            "taskmanager.bind-host: 0.0.0.0\n"
            "taskmanager.numberOfTaskSlots: 1\n"
            # By default, each shuffle of a job takes 16 MB of the network's memory.
            "taskmanager.network.sort-shuffle.min-buffers: 64\n"
            "rest.port: 8081\n"
            # How long a job waits for a lost machine; five minutes by default.
            "slot.request.timeout: 60000\n"
        )
        # Flink 2 reads the second alone, and the others the first.
        for name in ("flink-conf.yaml", "config.yaml"):
            (self.folder / name).write_text(config)
        self._start(
            self.manager, "job-manager", "entrypoint.StandaloneSessionClusterEntrypoint",
            "--executionMode", "cluster",
        )  # fmt: skip

    def _start(
        self,
        host: hosts.Host,
        role: str,
        entry: str,
        *arguments: str,
        jars: tuple[Path, ...] = (),
        java: tuple[str, ...] = (),
    ) -> None:
        classes = ":".join([f"{self.distribution.flink}/*", *map(str, jars)])
        opened = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPEN]
        self.processes[f"{role} {host.name}"] = host.start(
            "java", *opened, "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
            "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
            f"-Dlog4j.configurationFile=file:{self.folder}/log4j-console.properties",
            f"-Xmx{_HEAP[role]}", *java, "-cp", classes,
            f"org.apache.flink.runtime.{entry}", "--configDir", self.folder, *arguments,
            log=self._log(role, host),
        )  # fmt: skip

    def _log(self, role: str, host: hosts.Host) -> Path:
        return self.folder / f"{role}-{host.name}.log"


@contextlib.contextmanager
def start(distribution: Distribution, folder: Path, *workers: str) -> Iterator[Cluster]:
    """Starts a session cluster; ends it, and removes its hosts.

    Args:
        distribution: Flink, and Beam's job server.
        folder: Gets the configuration and the logs.
        workers: The names of the hosts that get a task manager each.
    """
    with hosts.network("manager", *workers) as (manager, *others):
        cluster = Cluster(distribution, manager, others, folder)
        cluster._start_manager()
        for host in others:
            cluster.start_task_manager(host)
        cluster.wait()
        yield cluster
