"""The pods that train together, as Kubernetes takes them, whatever starts them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.kubeflow import resource_name

PORT = 2222
WORKER = ["tfxray-worker"]
_INDEX = "WORKER_INDEX"
_LONGEST = 40  # of the pipeline's name, for the longest of the names that follow from it to be one


def name_of(config: Config, kind: str) -> str:
    """A name for what trains together.

    Args:
        config: The experiment.
        kind: What the name ends with.

    Raises:
        UserError: Kubernetes makes no names of pods and services of the pipeline's name.
    """
    name = resource_name(config.name)
    if len(name) > _LONGEST or not name[:1].isalpha():
        raise UserError(
            f"name = {config.name!r}: where pods train together, at most {_LONGEST} characters, of "
            "which the first is a letter, since Kubernetes names pods and services after it"
        )
    return f"{name}-{kind}"


def labels(config: Config, name: str, role: str) -> dict[str, str]:
    """The labels of a pod: Trainer's of the config, and those by which the pods find each other."""
    return {**config.kubeflow.of("Trainer").labels, **selector(name, role)}


def selector(name: str, role: str) -> dict[str, str]:
    """The labels of all pods that train together in a role."""
    return {"tfxray/trainer": name, "tfxray/role": role}


def chief_task(addresses: Mapping[str, Sequence[str]]) -> str:
    """TF_CONFIG of the chief."""
    return _tf_config(addresses, '{"type": "chief", "index": 0}')


def worker_environment(addresses: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """TF_CONFIG of a worker, whose place is its index in an Indexed Job."""
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    task = f'{{"type": "worker", "index": $({_INDEX})}}'
    return [
        {"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": index}}},
        {"name": tf_config.VARIABLE, "value": _tf_config(addresses, task)},
    ]


def network_policy(name: str) -> dict[str, Any]:
    """Lets the pods that train together speak to each other, and nobody else to them."""
    group = {"tfxray/trainer": name}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": group},
            "policyTypes": ["Ingress"],
            # TensorFlow's own port, and those that NCCL chooses.
            "ingress": [{"from": [{"podSelector": {"matchLabels": group}}]}],
        },
    }


def give_up(codes: Sequence[int]) -> dict[str, Any]:
    """Ends a Job at exit codes that another try would end with, too."""
    refused = {"operator": "In", "values": list(codes)}
    return {"rules": [{"action": "FailJob", "onExitCodes": refused}]}


def pod(
    config: Config,
    command: Sequence[str],
    environment: Sequence[Mapping[str, Any]],
    writes: bool = False,
) -> dict[str, Any]:
    """The spec of a pod that gets what the config gives to Trainer's.

    It gets no service account, and not the metadata database's password, which only nodes need.

    Args:
        config: The experiment.
        command: What the container runs.
        environment: Variables beside the config's secrets.
        writes: Whether it may write to the volumes.
    """
    settings, trainer = config.kubeflow, config.kubeflow.of("Trainer")
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": trainer.node_selector,
        "tolerations": [t.model_dump(exclude_none=True) for t in trainer.tolerations],
        "containers": [_container(config, command, environment, writes)],
        "volumes": [
            {
                "name": f"volume-{number}",
                "persistentVolumeClaim": {"claimName": volume.claim, "readOnly": not writes},
            }
            for number, volume in enumerate(settings.volumes)
        ],
    }


def to_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Resources as text for `kubectl apply`, and for eyes: without YAML's references."""
    import yaml

    # By way of JSON, each place has a copy of its own.
    return yaml.safe_dump_all(json.loads(json.dumps(list(documents))), sort_keys=False)


def _tf_config(addresses: Mapping[str, Sequence[str]], task: str) -> str:
    return f'{{"cluster": {json.dumps(addresses)}, "task": {task}}}'


def _container(
    config: Config,
    command: Sequence[str],
    environment: Sequence[Mapping[str, Any]],
    writes: bool,
) -> dict[str, Any]:
    settings, trainer = config.kubeflow, config.kubeflow.of("Trainer")
    resources = {"cpu": trainer.cpu, "memory": trainer.memory}
    if trainer.gpus:
        resources[trainer.gpu] = str(trainer.gpus)
    return {
        "name": "tensorflow",
        "image": trainer.image or settings.image,
        "command": list(command),
        "env": [
            *environment,
            *(
                {
                    "name": secret.variable,
                    "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
                }
                for secret in settings.secrets
                if secret.variable != metadata_address.PASSWORD
            ),
        ],
        "ports": [{"containerPort": PORT}],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": f"volume-{number}", "mountPath": volume.mount, "readOnly": not writes}
            for number, volume in enumerate(settings.volumes)
        ],
    }
