"""The config's section `kubeflow`: what each node's container gets."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from tfxray.pipeline.config import durations, metadata_address
from tfxray.pipeline.config.base import Section
from tfxray.pipeline.config.nodes import NODES

START, REVIEW = "Start", "Review"
Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Duration = Annotated[str, StringConstraints(pattern=durations.PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Toleration(Section):
    """A taint that a node's pod tolerates, as Kubernetes has it.

    Attributes:
        key: The taint's.
        operator: `Equal` compares the value, `Exists` does not.
        value: The taint's.
        effect: Default: any.
    """

    key: Text
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Volume(Section):
    """A volume claim that exists in the cluster.

    Attributes:
        claim: Its name.
        mount: Where it appears in the containers.
    """

    claim: Text
    mount: Annotated[str, StringConstraints(pattern=r"^/\w")]


class Secret(Section):
    """A value of a secret that exists in the cluster, as an environment variable.

    Attributes:
        secret: Its name.
        key: Within it.
        variable: In the containers.
    """

    secret: Text
    key: Text
    variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Container(Section):
    """What a node's container gets.

    Attributes:
        image: Instead of the parameter `image`, as Trainer's, with CUDA.
        cpu: Asked for, and its limit; as Kubernetes counts.
        memory: Likewise.
        gpus: How many.
        gpu: Their resource's name.
        node_selector: Labels of machines that will do.
        tolerations: Taints that are tolerated.
        retries: How often a node that failed is run again. DataGate never is: its data do not
            get better.
        timeout: Of one try; `30m`, `6h`.
    """

    image: Text | None = None
    cpu: Quantity = "2"
    memory: Quantity = "8Gi"
    gpus: Annotated[int, Field(ge=0)] = 0
    gpu: Text = "nvidia.com/gpu"
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    timeout: Duration = "12h"


class Kubeflow(Section):
    """A package for Kubeflow Pipelines. The first four are the defaults of its parameters.

    Attributes:
        image: Of the containers.
        root: Where everything is written, as `--out` of a local run; on any file system of TFX's.
        data: Folder of images or TFRecords; default: `ingest.data`, or the drawn sample.
        metadata: The metadata store; its password is in TFXRAY_METADATA_PASSWORD.
        volumes: In each container.
        secrets: In each container.
        container: What every node's container gets.
        nodes: What a node's gets instead, by the node's id; `Start` prepares the data, `Review`
            writes the page.
        workers: Pods that train with Trainer's, each with what its container gets; they need
            `train.distribution: multi_worker`.
    """

    image: Text = "tfxray:0.1.0"
    root: Text = "/mnt/tfxray"
    data: Text | None = None
    metadata: Text = "mysql://tfxray@tfxray-metadata:3306/tfxray"
    volumes: list[Volume] = [Volume(claim="tfxray-data", mount="/mnt/tfxray")]
    secrets: list[Secret] = [
        Secret(secret="tfxray-metadata", key="password", variable=metadata_address.PASSWORD)
    ]
    container: Container = Container()
    nodes: dict[str, Container] = {}
    workers: Annotated[int, Field(ge=0, le=256)] = 0

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: str) -> str:
        return metadata_address.check_address(value)

    @model_validator(mode="after")
    def _known(self) -> "Kubeflow":
        known = (START, *NODES, REVIEW)
        for name in self.nodes:
            if name not in known:
                raise ValueError(f"nodes.{name}: is no node; allowed: {', '.join(known)}")
        mounts = [volume.mount for volume in self.volumes]
        if len(set(mounts)) != len(mounts):
            raise ValueError("volumes: two are mounted at the same place")
        return self

    def of(self, node: str) -> Container:
        """What a node's container gets."""
        own = self.nodes.get(node)
        given = {key: getattr(own, key) for key in own.model_fields_set} if own else {}
        return self.container.model_copy(update=given)


def resource_name(text: str) -> str:
    """A name that Kubernetes takes: `BaselineModel` becomes `baseline-model`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
