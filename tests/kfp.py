"""Runs a package as Kubeflow Pipelines would, from the file alone: a process per container.

What KFP's driver and launcher do, done here: parameters from their defaults and the run's
arguments, and from other tasks; placeholders, dependencies within each DAG, conditions, retries,
the exit task, outputs read back.
"""

import dataclasses
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import yaml

from tfxray.pipeline.cli import start

ROOT = Path(__file__).parent.parent
IMAGE = "this-machine"
# What `dsl.If` compiles to, where it compares a text.
_CONDITION = r"inputs\.parameter_values\['([^']+)'\] == '([^']*)'"


@dataclasses.dataclass
class Container:
    """One try at a task.

    Attributes:
        task: Its name in the package.
        code: Its exit code.
        seconds: How long it took.
        memory: The most it held, in MB.
        log: What it said.
        image: That it was to run in.
    """

    task: str
    code: int
    seconds: float
    memory: float
    log: str
    image: str

    @property
    def last_line(self) -> str:
        """Of its log."""
        return (self.log.strip().splitlines() or [""])[-1]


@dataclasses.dataclass
class Run:
    """What a run came to, as KFP's page would show it.

    Attributes:
        id: As KFP gives it.
        containers: In the order in which they ended.
        state: `SUCCEEDED` or `FAILED`.
        outputs: Of the tasks: parameters' values, artifacts' files and metadata.
        skipped: Tasks, or groups of them, whose condition does not hold.
    """

    id: str
    containers: list[Container] = dataclasses.field(default_factory=list)
    state: str = "SUCCEEDED"
    outputs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    skipped: list[str] = dataclasses.field(default_factory=list)

    def ran(self) -> list[str]:
        """Tasks that were tried."""
        return [container.task for container in self.containers]

    def of(self, task: str) -> list[Container]:
        """A task's tries."""
        return [container for container in self.containers if container.task == task]


class Cluster:
    """Runs packages.

    Attributes:
        processes: Those that run, by task.
    """

    def __init__(self, folder: Path, secrets: Mapping[str, Mapping[str, str]], at_once: int = 2):
        """Makes one.

        Args:
            folder: For logs and what KFP would store.
            secrets: The cluster's, by name and key.
            at_once: Containers that there is room for.
        """
        self._folder, self._secrets, self._at_once = folder, secrets, at_once
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def run(
        self,
        package: Path,
        run_id: str,
        arguments: Mapping[str, str],
        fresh: Collection[str] | None = None,
    ) -> Run:
        """Runs a package to its end.

        Args:
            package: The compiled YAML.
            run_id: What KFP calls the run.
            arguments: Of the pipeline.
            fresh: The tasks whose processes start as a container's does; all by default. Those of
                the others are forked from one that has TFX loaded already, which takes each of them
                ten seconds of a core.
        """
        self._is_fresh = lambda task: fresh is None or task in fresh
        spec, *platform = yaml.safe_load_all(package.read_text())
        self._spec = spec
        kubernetes = platform[0]["platforms"]["kubernetes"] if platform else {}
        self._platform = kubernetes.get("deploymentSpec", {}).get("executors", {})
        declared = spec["root"]["inputDefinitions"]["parameters"]
        unknown = set(arguments) - set(declared)
        assert not unknown, f"the package has no parameter {unknown}"
        values = {
            name: arguments.get(name, known.get("defaultValue")) for name, known in declared.items()
        }
        run = Run(run_id)
        with ThreadPoolExecutor(self._at_once) as room:
            if not self._dag(spec["root"]["dag"], values, run, room):
                run.state = "FAILED"
        return run

    def _dag(self, dag: Any, values: Mapping[str, Any], run: Run, room: ThreadPoolExecutor) -> bool:
        """Whether all went well."""
        tasks, ended, underway = dict(dag["tasks"]), {}, {}
        while tasks or underway:
            for name in list(tasks):
                task = tasks[name]
                before = task.get("dependentTasks", [])
                if not set(before) <= set(ended):
                    continue
                trigger = task.get("triggerPolicy", {})
                whatever = trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
                del tasks[name]
                if not whatever and not all(ended[other] for other in before):
                    ended[name] = False  # not run at all
                    continue
                given = {
                    key: _value(source, values, before, run)
                    for key, source in task["inputs"]["parameters"].items()
                }
                if "condition" in trigger and not _holds(trigger["condition"], given):
                    run.skipped.append(name)
                    ended[name] = True
                    break
                component = self._spec["components"][task["componentRef"]["name"]]
                if "dag" in component:
                    ended[name] = self._dag(component["dag"], given, run, room)
                    break
                underway[room.submit(self._task, name, task, component, given, run)] = name
            else:
                if underway:
                    self._collect(underway, ended)
        return all(ended.values())

    def _collect(self, underway: dict[Future[bool], str], ended: dict[str, bool]) -> None:
        done, _ = wait(underway, return_when=FIRST_COMPLETED)
        for future in done:
            ended[underway.pop(future)] = future.result()

    def _task(
        self, name: str, task: Any, component: Any, given: Mapping[str, Any], run: Run
    ) -> bool:
        tries = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
        for number in range(tries):
            container = self._container(name, component, given, run, number)
            with self._lock:
                run.containers.append(container)
            if container.code == 0:
                return True
        return False

    def _container(
        self, name: str, component: Any, given: Mapping[str, Any], run: Run, number: int
    ) -> Container:
        label = component["executorLabel"]
        container = self._spec["deploymentSpec"]["executors"][label]["container"]
        folder = self._folder / run.id / f"{name}-{number}"
        folder.mkdir(parents=True)
        wanted = self._executor_input(component, given, folder)
        known = _placeholders(given, wanted)
        command = [_filled(text, known) for text in (*container["command"], *container["args"])]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("TFXRAY_")
        }
        for secret in self._platform.get(label, {}).get("secretAsEnv", []):
            for pair in secret["keyToEnv"]:
                environment[pair["envVar"]] = self._secrets[secret["secretName"]][pair["secretKey"]]
        start = time.monotonic()
        start_process = self._fresh if self._is_fresh(name) else _forked
        code, memory = start_process(name, command, environment, folder)
        self._read_outputs(name, component, wanted, run)
        told = (folder / "log.txt").read_text(errors="replace")
        return Container(
            name, code, time.monotonic() - start, memory, told,
            _filled(container["image"], known),
        )  # fmt: skip

    def _fresh(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> tuple[int, float]:
        """Exit code and memory of a process that is started as a container's is."""
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [Path(sys.executable).with_name(command[0]), *command[1:]],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
            )
            self.processes[name] = process
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, used.ru_maxrss / 1024

    def _executor_input(self, component: Any, given: Mapping[str, Any], folder: Path) -> Any:
        outputs = component.get("outputDefinitions", {})
        return {
            "inputs": {"parameterValues": dict(given)},
            "outputs": {
                "parameters": {
                    key: {"outputFile": str(folder / "outputs" / key)}
                    for key in outputs.get("parameters", {})
                },
                "artifacts": {
                    key: {
                        "artifacts": [
                            {
                                "name": key,
                                "type": told["artifactType"],
                                "uri": str(folder / "artifacts" / key),
                            }
                        ]
                    }
                    for key, told in outputs.get("artifacts", {}).items()
                },
                "outputFile": str(folder / "outputs" / "output_metadata.json"),
            },
        }

    def _read_outputs(self, name: str, component: Any, wanted: Any, run: Run) -> None:
        found: dict[str, Any] = {}
        outputs = wanted["outputs"]
        for key, place in outputs["parameters"].items():
            if os.path.exists(place["outputFile"]):
                found[key] = Path(place["outputFile"]).read_text()
        told = Path(outputs["outputFile"])
        metadata = json.loads(told.read_text())["artifacts"] if told.exists() else {}
        for key, place in outputs["artifacts"].items():
            uri = Path(place["artifacts"][0]["uri"])
            found[key] = uri if uri.exists() else None
            if key in metadata:
                found[key] = metadata[key]["artifacts"][0]["metadata"]
        if found:
            run.outputs[name] = found


def _value(source: Any, values: Mapping[str, Any], before: Collection[str], run: Run) -> Any:
    """A parameter of a task: one of the DAG's, one of the run, or what a task before put out."""
    if "componentInputParameter" in source:
        return values[source["componentInputParameter"]]
    if "runtimeValue" in source:
        constant = source["runtimeValue"]["constant"]
        # KFP's driver knows this one here alone, and only where nothing stands beside it.
        return run.id if constant == "{{$.pipeline_job_uuid}}" else constant
    wanted = source["taskOutputParameter"]
    assert wanted["producerTask"] in before, "KFP would not wait for it"
    return run.outputs[wanted["producerTask"]][wanted["outputParameterKey"]]


def _holds(condition: str, given: Mapping[str, Any]) -> bool:
    match = re.fullmatch(_CONDITION, condition)
    assert match, f"this harness knows no such condition: {condition}"
    return bool(given[match[1]] == match[2])


def _placeholders(given: Mapping[str, Any], wanted: Any) -> dict[str, str]:
    """All that driver and launcher fill in, and with what."""
    outputs = wanted["outputs"]
    known = {"{{$}}": json.dumps(wanted)}
    known |= {f"{{{{$.inputs.parameters['{key}']}}}}": _text(value) for key, value in given.items()}
    for key, place in outputs["parameters"].items():
        known[f"{{{{$.outputs.parameters['{key}'].output_file}}}}"] = place["outputFile"]
    for key, place in outputs["artifacts"].items():
        for what in ("uri", "path"):
            known[f"{{{{$.outputs.artifacts['{key}'].{what}}}}}"] = place["artifacts"][0]["uri"]
    return known


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # All numbers are floats to KFP, and are told without the point where none is needed.
    return json.dumps(_whole(value), separators=(",", ":"))


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _filled(text: str, known: Mapping[str, str]) -> str:
    for placeholder, value in known.items():
        text = text.replace(placeholder, value)
    return text


def _forked(
    name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[int, float]:
    """Exit code and memory of a process that has TFX from its birth on."""
    del name
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tfxray.pipeline.kubeflow.step", "tfxray.pipeline.engines.launch"]
    )
    process = context.Process(target=_contained, args=(command, environment, folder))
    process.start()
    process.join()
    return process.exitcode, float((folder / "memory").read_text())


def _contained(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    assert command[0] == "tfxray-node"
    sys.argv = list(command)
    try:
        start.node()
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (folder / "memory").write_text(str(used))


def table(run: Run) -> str:
    """Task, seconds, memory and exit code of each container."""
    lines = [f"{'task':<24}{'seconds':>9}{'MB':>7}  code"]
    lines += [f"{c.task:<24}{c.seconds:>9.1f}{c.memory:>7.0f}  {c.code}" for c in run.containers]
    return "\n".join(lines)
