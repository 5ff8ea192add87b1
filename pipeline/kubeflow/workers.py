"""The pods that train with Trainer's on Kubeflow Pipelines, as Kubernetes takes them.

A Job with an index per pod, which any cluster has, and services that give chief and workers names
that TF_CONFIG can hold before any pod is there.
"""

from typing import Any

from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.kubeflow import pods


def chief_environment(config: Config) -> dict[str, str]:
    """What Trainer's container needs to know of its workers."""
    return {tf_config.VARIABLE: pods.chief_task(_addresses(config))}


def chief_labels(config: Config) -> dict[str, str]:
    """By which the chief's service finds Trainer's pod."""
    return pods.selector(_name(config), "chief")


def manifest(config: Config) -> list[dict[str, Any]]:
    """What `kubectl apply` takes: the workers' Job, the services, and who may speak to them.

    Args:
        config: The experiment, with `kubeflow.workers`.

    Raises:
        UserError: The pipeline's name is none for Kubernetes.
    """
    return [
        _service(config, "chief"),
        _service(config, "worker"),
        pods.network_policy(_name(config)),
        _job(config),
    ]


def _name(config: Config) -> str:
    return pods.name_of(config, "trainer")


def _addresses(config: Config) -> dict[str, list[str]]:
    name = _name(config)
    addresses = {"chief": [f"{name}-chief:{pods.PORT}"]}
    workers = range(config.kubeflow.workers)
    if workers:
        # Pods of a Job are named after it, and found below the service that they name.
        addresses["worker"] = [f"{name}-worker-{i}.{name}-worker:{pods.PORT}" for i in workers]
    return addresses


def _service(config: Config, role: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{_name(config)}-{role}"},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": pods.selector(_name(config), role),
            "ports": [{"name": "tensorflow", "port": pods.PORT}],
        },
    }


def _job(config: Config) -> dict[str, Any]:
    workers, name = config.kubeflow.workers, f"{_name(config)}-worker"
    labels = pods.labels(config, _name(config), "worker")
    pod = pods.pod(config, pods.WORKER, pods.worker_environment(_addresses(config)))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            # All of them fail where Trainer does, which is then tried again.
            "backoffLimit": workers * (config.kubeflow.of("Trainer").retries + 1),
            "podFailurePolicy": pods.give_up([2]),
            "template": {"metadata": {"labels": labels}, "spec": {"subdomain": name, **pod}},
        },
    }
