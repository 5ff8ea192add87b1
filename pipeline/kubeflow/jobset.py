"""The engine `jobset`: a run on Kubernetes without Kubeflow Pipelines, on one pod or several.

The chief's pod is `tfxray run`; the others train with it. All of them are one JobSet
(https://jobset.sigs.k8s.io), so that they start together, and again together if one is lost. It is
what Kubeflow Trainer makes of a TrainJob; Trainer itself has no runtime for TensorFlow.
"""

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


def write_manifest(config: Config, output: Path) -> None:
    """Writes what `kubectl apply` takes.

    Args:
        config: The experiment. It travels in the manifest.
        output: A YAML file.

    Raises:
        UserError: As of `manifest`.
    """
    durable.write_file(output, pods.to_yaml(manifest(config)))


def manifest(config: Config) -> list[dict[str, Any]]:
    """The config, who may speak to the pods, and the JobSet.

    Args:
        config: The experiment. Its section `kubeflow` says what the pods get: each what Trainer
            gets on Kubeflow Pipelines, and `workers` of them beside the chief.

    Raises:
        UserError: The pipeline's name is none for Kubernetes, or `kubeflow.root` is no folder.
    """
    if "://" in config.kubeflow.root:
        raise UserError(
            f"kubeflow.root = {config.kubeflow.root}: must be a folder of kubeflow.volumes, since "
            "a JobSet's chief keeps its runs in files, as `tfxray run` does"
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
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": name, "labels": labels},
            "spec": _spec(config, name),
        },
    ]


def _spec(config: Config, name: str) -> dict[str, Any]:
    workers, trainer = config.kubeflow.workers, config.kubeflow.of("Trainer")
    deadline = {"activeDeadlineSeconds": int(base.parse_seconds(trainer.timeout))}
    jobs = [_job(config, name, _CHIEF, 1, _chief(config, name), _FINAL, deadline)]
    if workers:
        environment = pods.worker_environment(_addresses(name, workers))
        pod = pods.pod(config, pods.WORKER, environment)
        jobs.append(_job(config, name, _WORKER, workers, pod, _FINAL[:1], {}))
    return {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        # The chief's end is the run's.
        "successPolicy": {"operator": "All", "targetReplicatedJobs": [_CHIEF]},
        "failurePolicy": {
            "maxRestarts": trainer.retries,
            "rules": [
                {
                    "name": "final",
                    "action": "FailJobSet",
                    "onJobFailureReasons": ["PodFailurePolicy"],
                }
            ],
        },
        "replicatedJobs": jobs,
    }


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
                "template": {
                    "metadata": {"labels": pods.labels(config, name, role)},
                    "spec": pod,
                },
            },
        },
    }


def _chief(config: Config, name: str) -> dict[str, Any]:
    settings = config.kubeflow
    command = ["tfxray", "run", "--config", f"{_FOLDER}/{_FILE}", "--out", settings.root]
    if settings.data:
        command += ["--data", settings.data]
    environment = []
    if config.train.distribution == "multi_worker":
        value = pods.chief_task(_addresses(name, settings.workers))
        environment = [{"name": tf_config.VARIABLE, "value": value}]
    pod = pods.pod(config, command, environment, writes=True)
    pod["volumes"].append({"name": "config", "configMap": {"name": name}})
    mount = {"name": "config", "mountPath": _FOLDER, "readOnly": True}
    pod["containers"][0]["volumeMounts"].append(mount)
    return pod


def _addresses(name: str, workers: int) -> dict[str, list[str]]:
    # JOBSET-JOB-NUMBER-INDEX.JOBSET, of which each Job here has the number 0.
    hosts = {_CHIEF: [f"{name}-{_CHIEF}-0-0"]}
    if workers:
        hosts[_WORKER] = [f"{name}-{_WORKER}-0-{index}" for index in range(workers)]
    return {role: [f"{host}.{name}:{pods.PORT}" for host in hosts[role]] for role in hosts}
