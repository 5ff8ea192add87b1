"""A Kubernetes cluster with Kubeflow Pipelines that somebody has, as its own answers tell of it."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
import urllib3

HOST, NAMESPACE = "KFP_HOST", "KFP_NAMESPACE"
_RUN = "pipeline/runid"  # KFP's label on a run's workflow
_POD = "workflows.argoproj.io/workflow"  # Argo's on a workflow's pods
_POOL = urllib3.PoolManager()

Found = TypeVar("Found")


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    Attributes:
        host: The address of its Kubeflow Pipelines.
        namespace: Where its runs' pods live.
        version: That Kubeflow Pipelines tells of itself.
        multi_user: Whether it wants to be told the namespace.
    """

    host: str
    namespace: str
    version: str = ""
    multi_user: bool = False

    def workflow(self, run: str) -> dict[str, Any] | None:
        """What Kubeflow Pipelines made of a package for a run.

        Args:
            run: The run's id.
        """
        found = self._list("workflows.argoproj.io", f"{_RUN}={run}")
        return found[0] if found else None

    def pods(self, workflow: dict[str, Any]) -> list[dict[str, Any]]:
        """All pods of a workflow that are still known."""
        return self._list("pods", f"{_POD}={workflow['metadata']['name']}")

    def delete(self, pod: dict[str, Any]) -> None:
        """Takes a pod away, as a machine that is drained does."""
        self._kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")

    def asked(self, path: str) -> dict[str, Any]:
        """What the server's API v2beta1 answers."""
        return json.loads(self._request("GET", path))

    def forget(self, path: str) -> None:
        """Takes a thing of the server's away."""
        self._request("DELETE", path)

    def _request(self, verb: str, path: str) -> bytes:
        return _POOL.request(verb, f"{self.host}/apis/v2beta1/{path}", timeout=10).data

    def _list(self, kind: str, labels: str) -> list[dict[str, Any]]:
        return json.loads(self._kubectl("get", kind, "-l", labels, "-o", "json"))["items"]

    def _kubectl(self, *arguments: str) -> str:
        command = ["kubectl", "-n", self.namespace, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def find() -> Cluster:
    """The one that the environment names; skips the test, and says why, where there is none."""
    host = os.environ.get(HOST, "").rstrip("/")
    if not host:
        _not_run(f"{HOST} names no server, such as http://localhost:8080")
    if shutil.which("kubectl") is None:
        _not_run("no kubectl")
    cluster = Cluster(host, os.environ.get(NAMESPACE, "kubeflow"))
    with contextlib.suppress(urllib3.exceptions.HTTPError, json.JSONDecodeError):
        told = cluster.asked("healthz")
        version = told.get("tag_name") or "of no told version"
        return replace(cluster, version=version, multi_user=told.get("multi_user", False))
    return _not_run(f"{host} does not answer as a server of Kubeflow Pipelines does")


def wait_for(look: Callable[[], Found | None], seconds: float) -> Found:
    """What a look finds in the end.

    Args:
        look: Gives something untrue as long as there is nothing.
        seconds: How long to look at most.
    """
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"nothing within {seconds:g} s"
        time.sleep(1)
    return found


def _not_run(why: str) -> Any:
    pytest.skip(f"NOT RUN on Kubeflow: {why}")
