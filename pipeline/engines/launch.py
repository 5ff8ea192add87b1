"""Launches nodes of a compiled pipeline, one at a time, by TFX's portable launcher."""

from collections.abc import Callable, Iterator
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import compiler, constants
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from tfxray.components.common import filesystem, isolation
from tfxray.components.disk import durable
from tfxray.components.pusher import versions
from tfxray.pipeline.engines import served
from tfxray.pipeline.runs import lineage


class NotCached(Exception):
    """A node that was to come from the cache would have to run."""


def compile_run(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline to TFX's intermediate representation, for one run of it."""
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )
    return ir


def list_nodes(ir: pipeline_pb2.Pipeline) -> Iterator[pipeline_pb2.PipelineNode]:
    """The nodes, in an order that can run."""
    for node in ir.nodes:
        yield node.pipeline_node


def run_node(
    ir: pipeline_pb2.Pipeline,
    node: pipeline_pb2.PipelineNode,
    connection: mlmd.ConnectionConfig,
    fence: Callable[[], None] | None = None,
    only_cached: bool = False,
    say: Callable[..., None] = lambda text, style=None: None,
) -> lineage.NodeRun:
    """Runs one node: TFX's driver, executor and publisher.

    Args:
        ir: The compiled run.
        node: One of its nodes.
        connection: The metadata store.
        fence: Called between the executor and the publisher; ends the process where another one
            may have taken over.
        only_cached: Take its outputs from the cache, or fail. Resolvers, which have no cache, run.
        say: Told which pushed versions are damaged; takes a line, and a `style` or None.

    Returns:
        What became of it.

    Raises:
        NotCached: With `only_cached`; the execution is published as failed.
        RuntimeError: Its inputs could not be resolved.
        Exception: What the executor raised; the execution is published as failed.
    """
    name, pipeline = node.node_info.id, ir.pipeline_info.id
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    newest = versions.Newest(None, {})
    if name in ("Evaluator", "Pusher"):
        node_runs = lineage.node_runs(connection, pipeline, run_id)
        if name == "Evaluator":
            served.note_versions(node, node_runs)
        else:
            newest = versions.find_newest(served.serving_folder(node))
            if not served.is_served(node_runs, connection, newest):
                # From the cache, Pusher would name a version that is not what is served.
                node.execution_options.caching_options.enable_cache = False
    with isolation.apart():
        _launch(ir, node, connection, _only_cached if only_cached else _whole(fence))
    node_run = lineage.node_runs(connection, pipeline, run_id).get(name)
    if node_run is None or not node_run.complete:
        if only_cached:  # as little there as its inputs
            raise NotCached(name)
        # TFX's launcher notes a node whose inputs are missing as failed, and goes on.
        raise RuntimeError(f"{name} did not run: its inputs could not be resolved")
    push = node_run.outputs.get("pushed_model")
    place = push.properties.get("pushed_destination") if push else None
    for line in served.describe_damage(newest, str(place) if place else None):
        say(line, style="yellow")
    return node_run


def _launch(
    ir: pipeline_pb2.Pipeline,
    node: pipeline_pb2.PipelineNode,
    connection: mlmd.ConnectionConfig,
    change: Callable[[Any], Any],
) -> None:
    """Runs TFX's launcher, its executor operators changed."""
    operators = launcher.DEFAULT_EXECUTOR_OPERATORS.items()
    deployment = runner_utils.extract_local_deployment_config(ir)
    launcher.Launcher(
        pipeline_node=node,
        # Not the deployment's own: what lies in files knows no password.
        mlmd_connection=metadata.Metadata(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node.node_info.id),
        custom_executor_operators={spec: change(operator) for spec, operator in operators},
    ).launch()


def _whole(fence: Callable[[], None] | None) -> Callable[[Any], Any]:
    """Makes an executor operator begin with empty outputs, and end with outputs on the disk.

    A try that was killed, and a metadata store that is older than the artifacts beside it, leave
    something in the folders of an execution: half of an old output would lie among the new. And
    what the store calls complete must be there after a crash.

    Args:
        fence: Called after the executor, whether it succeeded or failed; or None.
    """

    def change(operator: Any) -> Any:
        class Whole(operator):
            def run_executor(self, execution_info: Any) -> Any:
                outputs = [
                    a for artifacts in execution_info.output_dict.values() for a in artifacts
                ]
                folders = [output.uri for output in outputs if fileio.isdir(output.uri)]
                for folder in filter(fileio.listdir, folders):
                    fileio.rmtree(folder)
                    fileio.makedirs(folder)
                try:
                    result = super().run_executor(execution_info)
                finally:
                    if fence:
                        fence()
                for folder in filter(filesystem.is_local, folders):
                    durable.sync_tree(folder)
                return result

        return Whole

    return change


def _only_cached(operator: Any) -> Any:
    """Puts a refusal in an executor operator's place: TFX asks for it where the cache is empty."""

    class Refusing(operator):
        def run_executor(self, execution_info: Any) -> Any:
            raise NotCached(execution_info.pipeline_node.node_info.id)

    return Refusing
