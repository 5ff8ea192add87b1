"""What Kubeflow Pipelines makes of a package: the tasks of its workflow, and their pods."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DRIVER = "-driver"
_PLACEHOLDER = re.compile(r"\{\{workflow\.parameters\.([^}]*)\}\}")
_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", 1)}


@dataclass(frozen=True)
class Task:
    """One of a workflow.

    Attributes:
        after: The tasks that it waits for.
        cached: Whether Kubeflow Pipelines may take an earlier result.
        retries: How often it is tried again.
        at_the_end: Whether it runs whatever happened.
    """

    after: frozenset[str]
    cached: bool
    retries: int
    at_the_end: bool


def tasks(workflow: Mapping[str, Any]) -> dict[str, Task]:
    """Those of a workflow that run a container, by their names.

    Args:
        workflow: As Argo has it.
    """
    spec = workflow["spec"]
    known = {entry["name"]: entry.get("value", "") for entry in spec["arguments"]["parameters"]}
    found = {}
    for template in spec["templates"]:
        own = {task["name"]: task for task in template.get("dag", {}).get("tasks", [])}
        for name, task in own.items():
            driver = own.get(name + _DRIVER)
            given = _given(driver, known) if driver else {}
            if "container" not in given:
                continue
            policy = json.loads(given["task"])
            found[name] = Task(
                frozenset(_waits_for(driver.get("depends", ""))),
                policy.get("cachingOptions", {}).get("enableCache", False),
                int(_given(task, known).get("retry-max-count", 0)),
                template["name"].startswith("exit-hook-"),
            )
    return found


def pod_of(pods: list[dict[str, Any]], node: str) -> dict[str, Any] | None:
    """The pod in which a node ran first: `tfxray-node NODE`."""
    for pod in sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"]):
        if arguments(pod)[:2] == ["tfxray-node", node]:
            return pod
    return None


def main(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The container that does the work."""
    (found,) = (one for one in pod["spec"]["containers"] if one["name"] == "main")
    return found


def arguments(pod: Mapping[str, Any]) -> list[str]:
    """What its launcher is to run, after the last of the programs that start it."""
    container = main(pod)
    command = [*container.get("command", []), *container.get("args", [])]
    starts = [place for place, word in enumerate(command) if word == "--"]
    return command[starts[-1] + 1 :] if starts else command


def amount(quantity: str) -> float:
    """A quantity of Kubernetes as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)(\D*)", quantity).groups()
    return float(number) * _UNITS[unit]


def _given(task: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    return {
        entry["name"]: _PLACEHOLDER.sub(lambda found: known[found.group(1)], entry.get("value", ""))
        for entry in task.get("arguments", {}).get("parameters", [])
    }


def _waits_for(depends: str) -> Iterator[str]:
    """Of Argo's `a.Succeeded && b.Succeeded`."""
    for term in filter(None, depends.split(" && ")):
        name, _, state = term.partition(".")
        assert state == "Succeeded", depends
        yield name
