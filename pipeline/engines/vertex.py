"""The engine `vertex`: TFX's own package for Vertex AI Pipelines, in JSON.

Vertex keeps its own metadata and runs no resolver of ours: the latest blessed model is found by
TFX's strategy, drift has no baseline, and there is no page; see docs/how-to/kubeflow.md.
"""

import dataclasses
from pathlib import Path

from tfx.orchestration import metadata
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner
from tfx.orchestration.kubeflow.v2.pipeline_builder import DEFAULT_IMAGE_PATH_KEY

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.pipeline import external, pipeline, prepare
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.places import Places, write_schema


def write_vertex_package(config: Config, output: Path) -> None:
    """Writes the package, and the run's schema below the root.

    Args:
        config: The experiment; `kubeflow.data` names TFRecords that follow the contract, since
            nothing is ingested there, and `kubeflow.root` the bucket.
        output: A JSON file.

    Raises:
        UserError: No data, or none that follows the contract; several hosts; a monitor; or the
            root cannot be written.
    """
    settings = config.kubeflow
    if config.train.distribution == "multi_worker":
        raise UserError(
            "train.distribution = 'multi_worker': this package starts one host; use mirrored, "
            "which takes all of its GPUs"
        )
    if settings.monitor:
        raise UserError(
            "kubeflow.monitor: this package has no monitor; leave it out (--set "
            "kubeflow.monitor=null), and run tfxray monitor by a schedule of your own"
        )
    if not settings.data:
        raise UserError(
            "kubeflow.data: is missing; Vertex runs on TFRecords that `tfxray ingest` wrote"
        )
    if filesystem.is_s3(settings.data):
        raise UserError(f"{settings.data}: Vertex reads gs:// alone (kubeflow.data)")
    records = prepare.prepare_records(settings.data, config, lambda text, style=None: None).records
    records = dataclasses.replace(records, external=external.use_records(config))
    try:
        schema = write_schema(config, f"{settings.root}/schema")
    except Exception as error:  # as many kinds as there are file systems
        raise UserError(f"{settings.root}: cannot be written: {error} (kubeflow.root)") from None
    places = Places.below(settings.root, config, schema)
    graph = pipeline.create_pipeline(
        config,
        records,
        places,
        metadata.sqlite_metadata_connection_config("unused"),  # Vertex has its own
        own_resolvers=False,
    )
    images = {DEFAULT_IMAGE_PATH_KEY: settings.container.image or settings.image}
    images |= {node: own.image for node, own in settings.nodes.items() if own.image}
    runner.KubeflowV2DagRunner(
        runner.KubeflowV2DagRunnerConfig(display_name=config.name, default_image=images),
        output_dir=str(output.parent),
        output_filename=output.name,
    ).run(graph)
