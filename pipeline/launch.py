"""Launches nodes of a compiled pipeline, one at a time, by TFX's portable launcher."""

from collections.abc import Iterator

from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2


def compile_run(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline to TFX's intermediate representation, for one run of it."""
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )
    return ir


def nodes(ir: pipeline_pb2.Pipeline) -> Iterator[pipeline_pb2.PipelineNode]:
    """The nodes, in an order in which they can run."""
    for node in ir.nodes:
        yield node.pipeline_node


def launch(ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> None:
    """Runs one node: TFX's driver, executor and publisher.

    Raises:
        Exception: What the executor raised; the execution is published as failed.
    """
    deployment = runner_utils.extract_local_deployment_config(ir)
    connection = deployment.metadata_connection_config
    launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(
            getattr(connection, connection.WhichOneof("connection_config"))
        ),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node.node_info.id),
    ).launch()
