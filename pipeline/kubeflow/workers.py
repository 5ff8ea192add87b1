"""The pods that train with Trainer's on Kubeflow, as Kubernetes takes them.

A Job with an index per pod, which any cluster has, and services that give chief and workers names
that TF_CONFIG can hold before any pod is there.
"""

import json
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.kubeflow import resource_name

PORT = 2222
COMMAND = ["tfxray-worker"]
_INDEX = "WORKER_INDEX"
_LONGEST = 40  # of the pipeline's name, for the longest of the names below to be one


def chief_environment(config: Config) -> dict[str, str]:
    """What Trainer's container needs to know of its workers."""
    return {tf_config.VARIABLE: _tf_config(config, '{"type": "chief", "index": 0}')}


def chief_labels(config: Config) -> dict[str, str]:
    """By which the chief's service finds Trainer's pod."""
    return _labels(config, "chief")


def manifest(config: Config) -> list[dict[str, Any]]:
    """What `kubectl apply` takes: the workers' Job, the services, and who may speak to them.

    Args:
        config: The experiment, with `kubeflow.workers`.

    Raises:
        UserError: The pipeline's name is too long.
    """
    name = _name(config)
    group = {"tfxray/trainer": name}
    return [
        _service(config, "chief"),
        _service(config, "worker"),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name},
            "spec": {
                "podSelector": {"matchLabels": group},
                "policyTypes": ["Ingress"],
                # TensorFlow's own port, and those that NCCL chooses.
                "ingress": [{"from": [{"podSelector": {"matchLabels": group}}]}],
            },
        },
        _job(config),
    ]


def _name(config: Config) -> str:
    name = resource_name(config.name)
    if len(name) > _LONGEST:
        raise UserError(
            f"name = {config.name!r}: with kubeflow.workers, at most {_LONGEST} characters, since "
            "Kubernetes names pods and services after it"
        )
    return f"{name}-trainer"


def _labels(config: Config, role: str) -> dict[str, str]:
    return {"tfxray/trainer": _name(config), "tfxray/role": role}


def _tf_config(config: Config, task: str) -> str:
    name = _name(config)
    addresses = {"chief": [f"{name}-chief:{PORT}"]}
    workers = range(config.kubeflow.workers)
    if workers:
        # Pods of a Job are named after it, and found below the service that they name.
        addresses["worker"] = [f"{name}-worker-{i}.{name}-worker:{PORT}" for i in workers]
    return f'{{"cluster": {json.dumps(addresses)}, "task": {task}}}'


def _service(config: Config, role: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{_name(config)}-{role}"},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _labels(config, role),
            "ports": [{"name": "tensorflow", "port": PORT}],
        },
    }


def _job(config: Config) -> dict[str, Any]:
    workers, container = config.kubeflow.workers, config.kubeflow.of("Trainer")
    name = f"{_name(config)}-worker"
    tolerations = [t.model_dump(exclude_none=True) for t in container.tolerations]
    pod = {
        "subdomain": name,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": container.node_selector,
        "tolerations": tolerations,
        "containers": [_container(config)],
        "volumes": [
            {
                "name": f"volume-{number}",
                "persistentVolumeClaim": {"claimName": volume.claim, "readOnly": True},
            }
            for number, volume in enumerate(config.kubeflow.volumes)
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": _labels(config, "worker")},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            # All of them fail where Trainer does, which is then tried again.
            "backoffLimit": workers * (container.retries + 1),
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
                ]
            },
            "template": {"metadata": {"labels": _labels(config, "worker")}, "spec": pod},
        },
    }


def _container(config: Config) -> dict[str, Any]:
    settings, container = config.kubeflow, config.kubeflow.of("Trainer")
    resources = {"cpu": container.cpu, "memory": container.memory}
    if container.gpus:
        resources[container.gpu] = str(container.gpus)
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    task = f'{{"type": "worker", "index": $({_INDEX})}}'
    return {
        "name": "worker",
        "image": container.image or settings.image,
        "command": COMMAND,
        "env": [
            {"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": index}}},
            {"name": tf_config.VARIABLE, "value": _tf_config(config, task)},
            *(
                {
                    "name": secret.variable,
                    "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
                }
                for secret in settings.secrets
                if secret.variable != metadata_address.PASSWORD  # workers touch no metadata
            ),
        ],
        "ports": [{"containerPort": PORT}],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": f"volume-{number}", "mountPath": volume.mount, "readOnly": True}
            for number, volume in enumerate(settings.volumes)
        ],
    }
