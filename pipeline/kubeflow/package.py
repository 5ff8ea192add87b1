"""The engine `kubeflow`: a package for Kubeflow Pipelines with one container per node.

Built with the public KFP SDK alone. KFP runs containers in order and knows nothing of TFX: drivers,
resolvers and cache work within each container, against a metadata store of our own, as they do on
one machine.
"""

import contextlib
import datetime
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from tfxray.components.common import contract
from tfxray.components.disk import durable
from tfxray.pipeline import pipeline
from tfxray.pipeline.config import base
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.kubeflow import (
    MONITOR,
    REVIEW,
    START,
    Container,
    Toleration,
    resource_name,
)
from tfxray.pipeline.engines import launch
from tfxray.pipeline.kubeflow import outputs, pods, workers
from tfxray.pipeline.places import Places
from tfxray.pipeline.records import Records

COMMAND = ["tfxray-node"]
_BACKOFF = "30s"
_RETRY_DEADLINE = datetime.timedelta(days=365)


def write_package(config: Config, output: Path) -> None:
    """Writes the package.

    Args:
        config: The experiment. It travels in the package, as the text that `Start` is given.
        output: A YAML file.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        graph = _pipeline(config)
        _lift_retry_deadline(graph.pipeline_spec)
        compiler.Compiler().compile(graph, str(output))


def write_workers(config: Config, package: Path) -> Path | None:
    """Writes what Kubernetes needs for the pods that train with Trainer's.

    Args:
        config: The experiment.
        package: The package's file; this one is named after it.

    Returns:
        The file; None where there are no such pods.

    Raises:
        UserError: The pipeline's name is too long.
    """
    if not config.kubeflow.workers:
        return None
    output = package.with_suffix(".workers.yaml")
    durable.write_file(output, pods.to_yaml(workers.manifest(config)))
    return output


def list_upstream(config: Config) -> dict[str, list[str]]:
    """The nodes of the graph in an order that can run, and what each waits for."""
    # Places and data are not known yet; how the nodes hang together does not depend on them.
    records = Records("", tuple(f"{split}-*" for split in contract.SPLITS))
    graph = pipeline.create_pipeline(
        config,
        records,
        Places.below("", config, "schema.pbtxt"),
        sqlite_metadata_connection_config("none.db"),
    )
    nodes = launch.list_nodes(launch.compile_run(graph, "none"))
    return {node.node_info.id: list(node.upstream_nodes) for node in nodes}


def _pipeline(config: Config) -> Any:
    upstream = list_upstream(config)
    settings = config.kubeflow

    @dsl.pipeline(name=resource_name(config.name), description=_description(config))
    def tfxray(
        data: str = settings.data or "",
        root: str = settings.root,
        metadata: str = settings.metadata,
        image: str = settings.image,
    ) -> None:
        # KFP tells a task the run's id as an input alone: in a container's arguments it would stay
        # as it is written.
        common = {
            "run": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            "root": root,
            "metadata": metadata,
            "image": image,
        }

        def add(node: str, component: Callable[..., Any], **more: Any) -> Any:
            task = component(**common, **more)
            task.set_display_name(node)
            task.set_caching_options(False)  # TFX's cache knows what a node depends on
            _equip(task, config, node)
            return task

        review = add(REVIEW, _review(settings.of(REVIEW)))
        with dsl.ExitHandler(review, name="pipeline"), contextlib.ExitStack() as condition:
            if settings.monitor:
                monitor = add(MONITOR, _monitor(settings.of(MONITOR), config.to_yaml()))
                asked = monitor.outputs["train"] == outputs.TRAIN[True]
                condition.enter_context(dsl.If(asked, name="new model"))
            start = add(START, _start(settings.of(START), config.to_yaml()), data=data)
            tasks: dict[str, Any] = {}
            for node, upstream_nodes in upstream.items():
                tasks[node] = add(node, _node(node, settings.of(node)))
                tasks[node].after(*([tasks[name] for name in upstream_nodes] or [start]))

    return tfxray


def _lift_retry_deadline(spec: Any) -> None:
    """Lets a task be tried again however long it has taken.

    Argo ends every further try when `backoffMaxDuration` has passed since the first one began. The
    SDK makes that an hour, whatever it is asked for. Tries and their time limits are counted by the
    config.
    """
    for component in spec.components.values():
        for task in component.dag.tasks.values():
            if task.HasField("retry_policy"):
                task.retry_policy.backoff_max_duration.FromTimedelta(_RETRY_DEADLINE)


def _description(config: Config) -> str:
    return f"tfxray: {config.name}, {config.model.backbone}, {config.train.mode}"


def _arguments(node: str, run: str, root: str, metadata: str) -> list[Any]:
    return [node, "--run-id", run, "--root", root, "--metadata", metadata]


def _monitor(container: Container, config: str) -> Callable[..., Any]:
    def monitor(
        run: str,
        root: str,
        metadata: str,
        image: str,
        page: dsl.Output[dsl.HTML],
        result: dsl.Output[dsl.Artifact],
        status: dsl.OutputPath(str),  # type: ignore[valid-type]
        train: dsl.OutputPath(str),  # type: ignore[valid-type]
    ) -> dsl.ContainerSpec:
        del page, result, status, train  # the executor's input tells where they go
        more = ["--config", config, "--executor-input", "{{$}}"]
        return _spec(container, image, _arguments(MONITOR, run, root, metadata) + more)

    return dsl.container_component(monitor)


def _start(container: Container, config: str) -> Callable[..., Any]:
    def start(data: str, run: str, root: str, metadata: str, image: str) -> dsl.ContainerSpec:
        more = ["--config", config, "--data", data]
        return _spec(container, image, _arguments(START, run, root, metadata) + more)

    return dsl.container_component(start)


def _node(name: str, container: Container) -> Callable[..., Any]:
    def node(run: str, root: str, metadata: str, image: str) -> dsl.ContainerSpec:
        return _spec(container, image, _arguments(name, run, root, metadata))

    node.__name__ = resource_name(name)
    return dsl.container_component(node)


def _review(container: Container) -> Callable[..., Any]:
    def review(
        run: str,
        root: str,
        metadata: str,
        image: str,
        page: dsl.Output[dsl.HTML],
        metrics: dsl.Output[dsl.Metrics],
        status: dsl.OutputPath(str),  # type: ignore[valid-type]
    ) -> dsl.ContainerSpec:
        del page, metrics, status  # the executor's input tells where they go
        more = ["--executor-input", "{{$}}"]
        return _spec(container, image, _arguments(REVIEW, run, root, metadata) + more)

    return dsl.container_component(review)


def _spec(container: Container, image: Any, arguments: list[Any]) -> Any:
    # As text, the parameter's placeholder, which the driver of KFP fills in.
    return dsl.ContainerSpec(image=container.image or str(image), command=COMMAND, args=arguments)


def _equip(task: Any, config: Config, node: str) -> None:
    """Resources, volumes, secrets, retries: the demands on Kubernetes."""
    container = config.kubeflow.of(node)
    task.set_cpu_request(container.cpu).set_cpu_limit(container.cpu)
    task.set_memory_request(container.memory).set_memory_limit(container.memory)
    if container.gpus:
        task.set_accelerator_type(container.gpu).set_accelerator_limit(container.gpus)
    if container.retries and node not in ("DataGate", REVIEW):
        task.set_retry(container.retries, backoff_duration=_BACKOFF, backoff_factor=2)
    for volume in config.kubeflow.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.mount)
    for secret in config.kubeflow.secrets:
        kubernetes.use_secret_as_env(task, secret.secret, {secret.key: secret.variable})
    for label, value in container.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    # kfp-kubernetes 1.0, which goes with KFP 2.5, has no calls for the rest of the platform's spec.
    rest = task.platform_config.setdefault("kubernetes", {})
    rest["activeDeadlineSeconds"] = str(int(base.parse_seconds(container.timeout)))
    if container.tolerations:
        rest["tolerations"] = [_toleration(toleration) for toleration in container.tolerations]
    labels = dict(container.labels)
    if node == "Trainer" and config.train.distribution == "multi_worker":
        for variable, value in workers.chief_environment(config).items():
            task.set_env_variable(variable, value)
        labels |= workers.chief_labels(config)
    if labels:
        rest["podMetadata"] = {"labels": labels}


def _toleration(toleration: Toleration) -> Mapping[str, str]:
    fields = toleration.model_dump(exclude_none=True)
    return {key: value for key, value in fields.items() if value}
