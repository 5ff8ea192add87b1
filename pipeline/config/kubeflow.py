"""The config's section `kubeflow`: what each node's container gets."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from tfxray.components.common.errors import did_you_mean
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.config.base import DURATION, Section, describe_choices
from tfxray.pipeline.config.nodes import NODES

MONITOR, START, REVIEW = "Monitor", "Start", "Review"
_NAMES = (MONITOR, START, *NODES, REVIEW)
Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Duration = Annotated[str, StringConstraints(pattern=DURATION)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
# As Kubernetes has them: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels
_WORD = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"([a-z0-9][a-z0-9.-]{{0,252}}/)?{_WORD}")
_OWN = "tfxray/"


class Toleration(Section):
    """A taint of Kubernetes that the pods of a node tolerate."""

    key: Text
    """The key of the taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal` compares the value of the taint. `Exists` does not."""
    value: str = ""
    """The value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The effect of the taint. `null` means any effect."""


class Volume(Section):
    """A volume claim that the cluster already has."""

    claim: Text
    """The name of the claim."""
    mount: Annotated[str, StringConstraints(pattern=r"^/\w")]
    """The folder in the containers at which the volume appears. No two volumes share one."""


class Secret(Section):
    """A value of a secret that the cluster already has.

    The containers get it as an environment variable.
    """

    secret: Text
    """The name of the secret."""
    key: Text
    """The key of the value in the secret."""
    variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The name of the environment variable."""


class Container(Section):
    """What the container of every node gets."""

    image: Text | None = None
    """The image of the container. The default is the parameter `image` of the package. Trainer may
    need another image, with CUDA.
    """
    cpu: Quantity = "2"
    """How many CPUs the container asks for, which is also its limit. Write it as Kubernetes does,
    such as `500m`.
    """
    memory: Quantity = "8Gi"
    """How much memory the container asks for, which is also its limit. Write it as Kubernetes does,
    such as `16Gi`.
    """
    gpus: Annotated[int, Field(ge=0)] = 0
    """How many GPUs the container gets."""
    gpu: Text = "nvidia.com/gpu"
    """The name of the GPU as a resource of Kubernetes."""
    node_selector: dict[str, str] = {}
    """Labels that a machine must have, such as `{pool: gpu}`."""
    tolerations: list[Toleration] = []
    """The taints that the pods tolerate."""
    labels: dict[str, str] = {}
    """Labels of the node's pods, such as `{kueue.x-k8s.io/queue-name: gpus}` for a queue of Kueue.
    Trainer's workers get what Trainer gets, and so does what starts them.
    """
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often a node runs again after a failure. DataGate and Review run once: the same data give
    the same result.
    """
    timeout: Duration = "12h"
    """The longest time that one try may take, such as `30m` or `6h`."""

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if key.startswith(_OWN):
                raise ValueError(f"{key}: tfxray itself gives the labels that begin with {_OWN}")
            if not _LABEL.fullmatch(key) or (value and not re.fullmatch(_WORD, value)):
                raise ValueError(
                    f"{key}: {value!r} is no label of Kubernetes: write [PREFIX/]NAME: VALUE, such "
                    "as kueue.x-k8s.io/queue-name: gpus; name and value have at most 63 letters, "
                    "digits, '-', '_' and '.', and begin and end with a letter or digit"
                )
        return labels


class Monitor(Section):
    """A task that comes before all others and asks whether a new model is needed.

    It does what `tfxray predict --input` and `tfxray monitor` do: the served model scores the
    newest images, and these are compared with its training data. The pipeline runs only if they
    have drifted, if the AUC is below the gate's, or if no model is served yet.
    """

    images: Text
    """The folder of the newest images, or of TFRecords. Images that `kubeflow.monitor.scored` has
    the scores of are not scored again. TFRecords are.
    """
    scored: Text | None = None
    """The folder that gets the scores of each run, in a folder of its own. The default is
    `scored/<model name>` below `kubeflow.root`.
    """


class Kubeflow(Section):
    """The package for Kubeflow Pipelines.

    The keys `image`, `root`, `data` and `metadata` are the defaults of the package's parameters.
    """

    image: Text = "tfxray:0.1.0"
    """The image of the containers."""
    root: Text = "/mnt/tfxray"
    """The folder that all results go to, on any file system that TFX knows. It is what `--out` is
    for a run on one machine.
    """
    data: Text | None = None
    """The folder of the images or TFRecords. The default is `ingest.data`, or else the drawn
    sample.
    """
    metadata: Text = "mysql://tfxray@tfxray-metadata:3306/tfxray"
    """The address of the metadata store: `mysql://USER@HOST[:PORT]/DATABASE[?ca=FILE]` or
    `sqlite:///PATH`. It must not hold the password, which comes from the environment variable
    TFXRAY_METADATA_PASSWORD.
    """
    volumes: list[Volume] = [Volume(claim="tfxray-data", mount="/mnt/tfxray")]
    """The volumes of every container."""
    secrets: list[Secret] = [
        Secret(secret="tfxray-metadata", key="password", variable=metadata_address.PASSWORD)
    ]
    """The secrets of every container."""
    container: Container = Container()
    nodes: dict[Annotated[str, describe_choices(_NAMES)], Container] = {}
    """What single nodes get instead, by the id of the node, such as `{Trainer: {gpus: 1}}`. A key
    that you leave out comes from `kubeflow.container`. `Monitor` is the task of
    `kubeflow.monitor`, `Start` prepares the data, and `Review` writes the page.
    """
    monitor: Monitor | None = None
    """A run begins with the monitor, and trains only if it asks for a new model. `null` means that
    each run trains.
    """
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """How many further pods train together with Trainer's. Each gets what the container of Trainer
    gets. They need `train.distribution: multi_worker`.
    """

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: str) -> str:
        return metadata_address.check_address(value)

    @model_validator(mode="after")
    def _known(self) -> "Kubeflow":
        for name in self.nodes:
            if name not in _NAMES:
                raise ValueError(
                    f"nodes.{name}: is no node{did_you_mean(name, _NAMES)}; allowed: "
                    f"{', '.join(_NAMES)}"
                )
        mounts = [volume.mount for volume in self.volumes]
        if len(set(mounts)) != len(mounts):
            raise ValueError("volumes: two are mounted at the same place")
        return self

    def of(self, node: str) -> Container:
        """What a node's container gets."""
        own = self.nodes.get(node)
        values = {key: getattr(own, key) for key in own.model_fields_set} if own else {}
        return self.container.model_copy(update=values)


def resource_name(text: str) -> str:
    """A name that Kubernetes takes: `BaselineModel` becomes `baseline-model`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
