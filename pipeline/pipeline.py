"""The graph: the only place where nodes are wired."""

from typing import Any

import tensorflow_data_validation as tfdv
from ml_metadata.proto import metadata_store_pb2
from tfx.components import (
    ExampleValidator,
    SchemaGen,
    StatisticsGen,
    Trainer,
)
from tfx.components.distribution_validator.component import DistributionValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from tfxray.components.common import beam_options, contract, filesystem
from tfxray.components.evaluator import eval_config, resolver
from tfxray.components.evaluator.component import Evaluator
from tfxray.components.example_gen.executor import ExampleGen
from tfxray.components.external.component import ExternalTest
from tfxray.components.pusher.component import Pusher
from tfxray.components.transform.executor import Transform
from tfxray.components.validation import drift
from tfxray.components.validation.data_gate import DataGate
from tfxray.components.watch import feature_statistics
from tfxray.pipeline import cache_key
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.node_settings import (
    PREPROCESSING,
    TRAINING,
    data_gate_settings,
    evaluator_settings,
    external_settings,
    trainer_settings,
    transform_settings,
)
from tfxray.pipeline.places import Places
from tfxray.pipeline.records import Records


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
            blessed model is found by TFX's, and neither drift nor labels have a baseline: DataGate
            and the gate note so.

    Returns:
        The pipeline, for any engine.

    Raises:
        UserError: An option of `beam.options` that Beam does not know; or its cluster is not there.
    """
    beam_arguments = beam_options.complete(config.beam.arguments())
    examples = ExampleGen(
        near_distance=config.validation.near_distance,
        input_base=filesystem.glob_for(records.base),
        input_config=_inputs(records),
        output_config=None if len(records.globs) > 1 else _hash_split(config, records),
    )
    statistics = StatisticsGen(
        examples=examples.outputs["examples"],
        # The encoded image is of no use to TFDV, and all of its cost.
        stats_options=tfdv.StatsOptions(
            feature_allowlist=_measured(config),
            num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS,
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
        **_drift_inputs(*drift_nodes),
        settings=data_gate_settings(config, records),
    )
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=curated.outputs["schema"],
        preprocessing_fn=PREPROCESSING,
        # Evaluator scores the test split from raw images, through the whole served graph.
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        custom_config=transform_settings(config),
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
    outside = _external_nodes(config, records, trainer, statistics)
    baseline = _baseline_model(trainer, own_resolvers)
    evaluator = Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        statistics=statistics.outputs["statistics"],
        baseline_model=baseline.outputs["model"],
        baseline_evaluation=baseline.outputs["evaluation"] if own_resolvers else None,
        external=outside[0].outputs["scores"] if outside else None,
        eval_config=eval_config.make_eval_config(
            config.task,
            config.evaluate.slices,
            config.gate.auc.threshold,
            config.evaluate.intervals,
        ),
        settings=evaluator_settings(config),
        serving=places.serving,
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
        transform, trainer, *outside, baseline, evaluator, pusher,
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
    baseline = Resolver(
        strategy_class=drift.LatestBlessedStatistics,
        current=statistics.outputs["statistics"],
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
        blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("BaselineStatistics")
    distribution = DistributionValidator(
        statistics=statistics.outputs["statistics"],
        baseline_statistics=baseline.outputs["statistics"].as_optional(),
        config=drift.validator_config(_drift_limits(config)),
        include_split_pairs=drift.SPLITS,
    )
    return [baseline, distribution]


def _drift_inputs(*drift_nodes: Any) -> dict[str, Channel]:
    if not drift_nodes:
        return {}
    baseline, distribution = drift_nodes
    return {
        "drift": distribution.outputs["anomalies"],
        "baseline": baseline.outputs["statistics"],
    }


def _external_nodes(
    config: Config, records: Records, trainer: Trainer, statistics: StatisticsGen
) -> list[Any]:
    """What scores the external test sets, where there are any."""
    if not config.evaluate.external:
        return []
    return [
        ExternalTest(
            model=trainer.outputs["model"],
            statistics=statistics.outputs["statistics"],
            settings=external_settings(config, records, _measured(config)),
        )
    ]


def _baseline_model(trainer: Trainer, own_resolvers: bool) -> Resolver:
    strategy: Any = LatestBlessedModelStrategy
    more_channels = {}
    if own_resolvers:
        strategy = resolver.LatestOtherBlessedModel
        more_channels = {
            "candidate": trainer.outputs["model"],
            "evaluation": Channel(type=standard_artifacts.ModelEvaluation),
        }
    return Resolver(
        strategy_class=strategy,
        **more_channels,
        model=Channel(type=standard_artifacts.Model),
        blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("BaselineModel")


def _measured(config: Config) -> list[str]:
    """The features of which StatisticsGen measures how they are distributed."""
    if config.task.exclusive:
        return [name for name in contract.FEATURES if name != contract.IMAGE]
    others = (contract.IMAGE, contract.LABEL, contract.TEXT)
    findings = [contract.finding(name) for name in config.task.names]
    return [*(name for name in contract.FEATURES if name not in others), *findings]


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


def _drift_limits(config: Config) -> dict[str, float]:
    """By feature; DataGate itself compares findings."""
    limits = config.validation.drift
    absent = None if config.task.exclusive else contract.TEXT
    return {name: value for name, value in limits.items() if value is not None and name != absent}
