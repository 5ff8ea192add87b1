"""The graph: the only place where nodes are wired."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from ml_metadata.proto import metadata_store_pb2
from tfx.components import (
    ExampleValidator,
    Pusher,
    SchemaGen,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.components.distribution_validator.component import DistributionValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.dsl.io import fileio
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts
from tfx.utils import io_utils

from tfxray.components.common import artifacts, beam_options, code_digest, contract
from tfxray.components.evaluator import eval_config, resolver
from tfxray.components.evaluator.component import Evaluator
from tfxray.components.example_gen.executor import ExampleGen
from tfxray.components.validation import drift, schema
from tfxray.components.validation.data_gate import DataGate
from tfxray.pipeline import cache_key
from tfxray.pipeline.config.config import Config

PREPROCESSING = "tfxray.components.transform.preprocessing.preprocessing_fn"
TRAINING = "tfxray.components.trainer.run.run_fn"


@dataclasses.dataclass(frozen=True)
class Records:
    """TFRecords by the data contract, as ExampleGen reads them.

    Attributes:
        base: The folder.
        globs: One below `base` per split of `train`, `eval`, `test`; or one, to be split.
        group: The feature whose values stay within one split; None splits by the whole record.
        report: The content of `ingest.json`, where there was an ingest.
    """

    base: str
    globs: tuple[str, ...]
    group: str | None = contract.PATIENT
    report: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a pipeline writes.

    Attributes:
        root: Artifacts.
        serving: The pushed versions.
        schema: The run's schema, a file; see `write_schema`.
        state: Where a training that is killed finds itself again.
    """

    root: str
    serving: str
    schema: str
    state: str

    @classmethod
    def below(cls, out: str, model_name: str, schema: str) -> "Places":
        """As every engine lays them out.

        Args:
            out: The folder of all runs.
            model_name: Under which the model is pushed.
            schema: See `write_schema`.
        """
        return cls(
            root=os.path.join(out, "artifacts"),
            serving=os.path.join(out, "serving", model_name),
            schema=schema,
            state=os.path.join(out, "state"),
        )


def create_pipeline(
    config: Config,
    records: Records,
    places: Places,
    metadata: metadata_store_pb2.ConnectionConfig,
    own_resolvers: bool = True,
) -> Pipeline:
    """Wires the nodes.

    Args:
        config: The experiment.
        records: Its data.
        places: Where to write.
        metadata: The metadata store.
        own_resolvers: Whether the engine runs resolver strategies of ours. Without, the latest
            blessed model is found by TFX's, and drift has no baseline: DataGate notes so.

    Returns:
        The pipeline, for any engine.

    Raises:
        UserError: An option of `beam.options` that Beam does not know.
    """
    beam_arguments = beam_options.complete(config.beam.options)
    examples = ExampleGen(
        input_base=records.base,
        input_config=_inputs(records),
        output_config=None if len(records.globs) > 1 else _hash_split(config, records),
    )
    statistics = StatisticsGen(
        examples=examples.outputs["examples"],
        # The encoded image is of no use to TFDV, and all of its cost.
        stats_options=tfdv.StatsOptions(
            feature_allowlist=[name for name in contract.FEATURES if name != contract.IMAGE],
            num_histogram_buckets=drift.HISTOGRAM_BUCKETS,
        ),
    )
    inferred = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
    curated = ImportSchemaGen(schema_file=places.schema).with_id("CuratedSchema")
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=curated.outputs["schema"]
    )
    drift_nodes = _drift_nodes(config, statistics) if own_resolvers else []
    gate = DataGate(
        examples=examples.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        **_drift_found(*drift_nodes),
        settings=_gate_settings(config, records),
    )
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=curated.outputs["schema"],
        preprocessing_fn=PREPROCESSING,
        # The test split is judged from raw images, through the whole served graph.
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        custom_config={
            "mode": config.train.mode,
            "backbone": _backbone(config),
            "copies": config.train.copies,
            "distortions": config.train.distortions.model_dump() if config.train.copies else {},
            "seed": config.train.seed if config.train.copies else 0,
            **_weights(config),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    transform.add_upstream_node(gate)
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        run_fn=TRAINING,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=trainer_settings(config, places.state),
    )
    baseline = _baseline_model(trainer, own_resolvers)
    evaluator = Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config.make_eval_config(
            config.evaluate.slices, config.gate.auc.threshold, config.evaluate.intervals
        ),
        settings=_evaluator_settings(config),
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=places.serving)
        ),
    )
    nodes = [
        examples, statistics, inferred, curated, validator, *drift_nodes, gate,
        transform, trainer, baseline, evaluator, pusher,
    ]  # fmt: skip
    for node in nodes:
        if not isinstance(node, Resolver):  # has no executor, and is never cached
            cache_key.hold_code(node)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=places.root,
        components=nodes,
        enable_cache=True,
        metadata_connection_config=metadata,
        beam_pipeline_args=beam_arguments,
    )


def _drift_nodes(config: Config, statistics: StatisticsGen) -> list[Any]:
    """The latest blessed run's statistics, and how far the data are from them."""
    last_blessed = Resolver(
        strategy_class=drift.LatestBlessedStatistics,
        current=statistics.outputs["statistics"],
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
        blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("BaselineStatistics")
    distribution = DistributionValidator(
        statistics=statistics.outputs["statistics"],
        baseline_statistics=last_blessed.outputs["statistics"].as_optional(),
        config=drift.validator_config(_measured(config)),
        include_split_pairs=drift.SPLITS,
    )
    return [last_blessed, distribution]


def _drift_found(*drift_nodes: Any) -> dict[str, Channel]:
    if not drift_nodes:
        return {}
    last_blessed, distribution = drift_nodes
    return {
        "drift": distribution.outputs["anomalies"],
        "baseline": last_blessed.outputs["statistics"],
    }


def _baseline_model(trainer: Trainer, own_resolvers: bool) -> Resolver:
    strategy: Any = LatestBlessedModelStrategy
    candidate = {}
    if own_resolvers:
        strategy = resolver.LatestOtherBlessedModel
        candidate = {"candidate": trainer.outputs["model"]}
    return Resolver(
        strategy_class=strategy,
        **candidate,
        model=Channel(type=standard_artifacts.Model),
        blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("BaselineModel")


def trainer_settings(config: Config, state: str | None) -> dict[str, object]:
    """What Trainer's user function is told.

    Args:
        config: The experiment.
        state: Where a training that is killed finds itself again; None keeps nothing.
    """
    return {
        "classes": config.classes,
        "train": config.train.model_dump(),
        "head": config.model.head.model_dump(),
        "backbone": _backbone(config),
        "serving": config.serving.model_dump(exclude={"model_name"}),
        # A backbone that learns has seen every site. None there, so that a slice's least size is no
        # reason to train for hours again.
        "transfer": config.evaluate.min_patients if config.train.mode == "frozen" else None,
        "state": state,
        # The state of a training that is killed goes by these settings, and needs the code too.
        "code": code_digest.digest(TRAINING),
        **_weights(config),
    }


def _inputs(records: Records) -> example_gen_pb2.Input:
    splits = contract.SPLITS if len(records.globs) > 1 else ("all",)
    return example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(name=split, pattern=glob)
            for split, glob in zip(splits, records.globs, strict=True)
        ]
    )


def _hash_split(config: Config, records: Records) -> example_gen_pb2.Output:
    shares = [(split, getattr(config.split, split)) for split in contract.SPLITS]
    split_config = example_gen_pb2.SplitConfig(
        splits=[
            example_gen_pb2.SplitConfig.Split(name=split, hash_buckets=round(share * 100))
            for split, share in shares
        ]
    )
    if records.group:
        split_config.partition_feature_name = records.group
    return example_gen_pb2.Output(split_config=split_config)


def _measured(config: Config) -> dict[str, float]:
    return {name: value for name, value in config.validation.drift.items() if value is not None}


def _gate_settings(config: Config, records: Records) -> str:
    settings = config.validation.model_dump(exclude={"schema_file"})
    return json.dumps({**settings, "ingest": records.report}, sort_keys=True)


def _evaluator_settings(config: Config) -> str:
    settings = {
        "gate": config.gate.model_dump(),
        "slices": config.evaluate.slices,
        "min_patients": config.evaluate.min_patients,
    }
    return json.dumps(settings, sort_keys=True)


def _backbone(config: Config) -> dict[str, object]:
    return {
        "name": config.model.backbone,
        "image_size": config.model.image_size,
        "weights": config.model.weights,
        "arguments": config.model.arguments,
        "pooling": config.model.pooling,
    }


def _weights(config: Config) -> dict[str, object]:
    """A digest of a file of weights, which TFX's cache would know by its path alone."""
    path = config.model.weights
    if not fileio.exists(path) or fileio.isdir(path):
        return {}
    with artifacts.local_copy(path) as local, open(local, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"weights_digest": digest.hexdigest()[:16]}


def write_schema(config: Config, folder: str) -> str:
    """Writes the curated schema with the config's classes.

    Args:
        config: The experiment.
        folder: Where to, on any of TFX's file systems.

    Returns:
        The file, under a name that tells its content.

    Raises:
        UserError: The config's schema cannot be read.
    """
    curated = schema.read_schema(config.validation.schema_file or schema.DEFAULT)
    text = text_format.MessageToString(schema.resolve_schema(curated, config.classes))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = os.path.join(folder, digest, "schema.pbtxt")
    io_utils.write_string_file(path, text)
    return path
