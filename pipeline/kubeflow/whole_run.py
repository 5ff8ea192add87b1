"""The engines `jobset` and `tfjob`: a run on several pods, without Kubeflow Pipelines.

The chief's pod is `tfxray run`; the others train with it. All of them are one JobSet
(https://jobset.sigs.k8s.io), so that they start together, and again together if one is lost. It is
what Kubeflow Trainer v2 makes of a TrainJob; Trainer itself has no runtime for TensorFlow. Where a
cluster still has Training Operator v1 alone, they are its TFJob.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config import base
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.kubeflow import pods

# Of `tfxray run`: wrong input, a model that was not blessed, data that were refused. Another try
# would end likewise.
_FINAL = (2, 3, 4)
_FOLDER, _FILE = "/etc/tfxray", "config.yaml"
_CHIEF, _WORKER = "chief", "worker"


def writer(engine: str) -> Callable[[Config, Path], None]:
    """What writes the manifest of an engine, `jobset` or `tfjob`, into a YAML file.

    It raises as `manifest` does.
    """
    return functools.partial(_write, engine)


def _write(engine: str, config: Config, output: Path) -> None:
    durable.write_file(output, pods.to_yaml(manifest(config, engine)))


def manifest(config: Config, engine: str = "jobset") -> list[dict[str, Any]]:
    """What `kubectl apply` takes: the config, who may speak to the pods, and what starts them.

    Args:
        config: The experiment. Its section `kubeflow` says what the pods get: each what Trainer
            gets on Kubeflow Pipelines, and `workers` of them beside the chief.
        engine: `jobset` or `tfjob`.

    Raises:
        UserError: The pipeline's name is none for Kubernetes, or `kubeflow.root` is no folder.
    """
    if "://" in config.kubeflow.root:
        raise UserError(
            f"kubeflow.root = {config.kubeflow.root}: must be a folder of kubeflow.volumes, since "
            "the chief keeps its runs in files, as `tfxray run` does"
        )
    name = pods.name_of(config, "run")
    labels = {**config.kubeflow.of("Trainer").labels, "tfxray/trainer": name}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {_FILE: config.to_yaml()},
        },
        pods.network_policy(name),
        {
            **(_jobset(config, name) if engine == "jobset" else _tfjob(config, name)),
            "metadata": {"name": name, "labels": labels},
        },
    ]


def _jobset(config: Config, name: str) -> dict[str, Any]:
    workers, trainer = config.kubeflow.workers, config.kubeflow.of("Trainer")
    deadline = {"activeDeadlineSeconds": _seconds(config)}
    addresses = _addresses(name, workers)
    environment = []
    if config.train.distribution == "multi_worker":
        environment = [{"name": tf_config.VARIABLE, "value": pods.chief_task(addresses)}]
    jobs = [_job(config, name, _CHIEF, 1, _chief(config, name, environment), _FINAL, deadline)]
    if workers:
        pod = pods.pod(config, pods.WORKER, pods.worker_environment(addresses))
        jobs.append(_job(config, name, _WORKER, workers, pod, _FINAL[:1], {}))
    final = {
        "name": "final",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    spec = {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        # The chief's end is the run's.
        "successPolicy": {"operator": "All", "targetReplicatedJobs": [_CHIEF]},
        "failurePolicy": {"maxRestarts": trainer.retries, "rules": [final]},
        "replicatedJobs": jobs,
    }
    return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "spec": spec}


def _job(
    config: Config,
    name: str,
    role: str,
    number: int,
    pod: dict[str, Any],
    final: tuple[int, ...],
    more: dict[str, Any],
) -> dict[str, Any]:
    # Whatever watches for labels of the config, such as Kueue, takes the JobSet as a whole.
    return {
        "name": role,
        "replicas": 1,
        "template": {
            "metadata": {"labels": pods.selector(name, role)},
            "spec": {
                "completionMode": "Indexed",
                "completions": number,
                "parallelism": number,
                "backoffLimit": 0,  # a training that has lost a pod ends on all; see maxRestarts
                "podFailurePolicy": pods.give_up(final),
                **more,
                "template": _template(config, name, role, pod),
            },
        },
    }


def _tfjob(config: Config, name: str) -> dict[str, Any]:
    # The operator gives TF_CONFIG to the container `tensorflow`, with the port `tfjob-port`.
    roles = {_CHIEF: (1, _chief(config, name, []))}
    if workers := config.kubeflow.workers:
        roles[_WORKER] = (workers, pods.pod(config, pods.WORKER, []))
    replicas = {}
    for role, (number, pod) in roles.items():
        del pod["restartPolicy"]  # the operator's
        pod["containers"][0]["ports"] = [{"name": "tfjob-port", "containerPort": pods.PORT}]
        replicas[role.capitalize()] = {
            "replicas": number,
            "restartPolicy": "OnFailure",
            "template": _template(config, name, role, pod),
        }
    policy = {
        "cleanPodPolicy": "Running",
        "backoffLimit": config.kubeflow.of("Trainer").retries,
        "activeDeadlineSeconds": _seconds(config),
    }
    spec = {"runPolicy": policy, "tfReplicaSpecs": replicas}
    return {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "spec": spec}


def _template(config: Config, name: str, role: str, pod: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"labels": pods.labels(config, name, role)}, "spec": pod}


def _chief(config: Config, name: str, environment: list[dict[str, Any]]) -> dict[str, Any]:
    settings = config.kubeflow
    command = ["tfxray", "run", "--config", f"{_FOLDER}/{_FILE}", "--out", settings.root]
    if settings.data:
        command += ["--data", settings.data]
    pod = pods.pod(config, command, environment, writes=True)
    pod["volumes"].append({"name": "config", "configMap": {"name": name}})
    mount = {"name": "config", "mountPath": _FOLDER, "readOnly": True}
    pod["containers"][0]["volumeMounts"].append(mount)
    return pod


def _seconds(config: Config) -> int:
    return int(base.parse_seconds(config.kubeflow.of("Trainer").timeout))


def _addresses(name: str, workers: int) -> dict[str, list[str]]:
    # JOBSET-JOB-NUMBER-INDEX.JOBSET, of which each Job here has the number 0.
    hosts = {_CHIEF: [f"{name}-{_CHIEF}-0-0"]}
    if workers:
        hosts[_WORKER] = [f"{name}-{_WORKER}-0-{index}" for index in range(workers)]
    return {role: [f"{host}.{name}:{pods.PORT}" for host in hosts[role]] for role in hosts}
