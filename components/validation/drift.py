"""Drift: how far a run's training data lies from the last blessed run's.

Measured by TFX's DistributionValidator: Jensen-Shannon divergence for numbers, L-infinity distance
for categories. Both grow when samples are small, also where nothing has drifted.
DistributionValidator has fixed thresholds only. So it gets none, and its measurements are held here
against a limit that allows for the number of patients (images of one patient are alike, and count
as one).

Embeddings are not among the features: StatisticsGen sees examples before Transform embeds them, and
Transform's own statistics come after DataGate, when the data has been let in. Brightness, contrast
and sharpness stand for the pixels here; the served model says of
each image whether it looks like the training data.
"""

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, path_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.dsl.io import fileio
from tfx.proto import distribution_validator_pb2
from tfx.utils import io_utils

from tfxray.components.common.contract import AGE, FEATURES, TEXT, Task, finding
from tfxray.components.pusher import rollbacks
from tfxray.components.validation.statistics import count_splits
from tfxray.components.watch.feature_statistics import feature_name

if TYPE_CHECKING:
    import ml_metadata as mlmd
    from tfx.types import Artifact

# The training splits are compared: the largest, and what a model learns from.
SPLITS = [("train", "train")]
# Upper ends of what random splits of one source measure, in units of 1/n + 1/m for the divergence
# and of its root for the distance; benchmarks/drift_false_alarms.py shows the false alarms. Age is
# the same in all images of a patient and takes whole years, so that it varies the most.
_DIVERGENCE_ALLOWANCE = 10.0
_AGE_ALLOWANCE = 24.0
_DISTANCE_ALLOWANCE = 1.2
_BLESSED, _MODEL = "blessed", "current_model_id"  # TFX's, of a blessing
_OUTPUT_EVENTS = (4, 6)  # mlmd.Event.OUTPUT, INTERNAL_OUTPUT


def validator_config(
    thresholds: Mapping[str, float],
) -> distribution_validator_pb2.DistributionValidatorConfig:
    """DistributionValidator's configuration: measure every feature, forgive everything.

    Args:
        thresholds: By feature; only the names matter here.
    """
    config = distribution_validator_pb2.DistributionValidatorConfig()
    for name in sorted(thresholds):
        feature = config.default_slice_config.feature.add()
        feature.path.CopyFrom(path_pb2.Path(step=[name]))
        comparator = feature.distribution_comparator
        if FEATURES[name] is bytes:
            comparator.infinity_norm.threshold = 1.0
        else:
            comparator.jensen_shannon_divergence.threshold = 1.0
    return config


def limit(name: str, threshold: float, patients: int, baseline_patients: int) -> float:
    """The most that a feature may measure.

    Args:
        name: The feature.
        threshold: The config's, which is the limit for very large samples.
        patients: In this run's training split.
        baseline_patients: In the baseline's.
    """
    noise = 1 / max(patients, 1) + 1 / max(baseline_patients, 1)
    if FEATURES[name] is bytes:
        return threshold + _DISTANCE_ALLOWANCE * math.sqrt(noise)
    return threshold + (_AGE_ALLOWANCE if name == AGE else _DIVERGENCE_ALLOWANCE) * noise


@dataclasses.dataclass(frozen=True)
class FeatureDrift:
    """How far a feature lies off, and how far it may."""

    feature: str
    value: float
    limit: float

    @property
    def drifted(self) -> bool:
        """Whether it lies further off than it may."""
        return self.value > self.limit

    def __str__(self) -> str:
        """For the page and the screen."""
        kind = "L-infinity" if FEATURES[self.feature] is bytes else "Jensen-Shannon"
        return f"{self.feature} ({kind} {self.value:.3f}, at most {self.limit:.3f})"


def measure(
    statistics: str, baseline: str, thresholds: Mapping[str, float]
) -> anomalies_pb2.Anomalies:
    """Measures as DistributionValidator does, where there is no node of it.

    Args:
        statistics: A folder that is laid out as StatisticsGen's, with the split `train`.
        baseline: StatisticsGen's.
        thresholds: By feature; only the names matter here.

    Returns:
        What TFDV measured, for `find_drifted`.
    """
    now, before = (
        tfdv.load_stats_binary(os.path.join(folder, f"Split-{split}", "FeatureStats.pb"))
        for folder, split in zip((statistics, baseline), SPLITS[0], strict=True)
    )
    schema = tfdv.infer_schema(before)
    comparators = {
        feature.path.step[0]: feature.distribution_comparator
        for feature in validator_config(thresholds).default_slice_config.feature
    }
    for feature in schema.feature:
        if feature.name in comparators:
            feature.drift_comparator.CopyFrom(comparators[feature.name])
    return tfdv.validate_statistics(now, schema, previous_statistics=before)


def list_drifts(
    anomalies: anomalies_pb2.Anomalies,
    thresholds: Mapping[str, float],
    patients: int,
    baseline_patients: int,
) -> list[FeatureDrift]:
    """How far the features lie off, the furthest beyond its limit first.

    Args:
        anomalies: What TFDV measured.
        thresholds: By feature.
        patients: See `limit`.
        baseline_patients: See `limit`.
    """
    features = []
    for info in anomalies.drift_skew_info:
        name = ".".join(info.path.step)
        for measurement in info.drift_measurements if name in thresholds else ():
            most = limit(name, thresholds[name], patients, baseline_patients)
            features.append(FeatureDrift(name, measurement.value, most))
    return sorted(features, key=lambda d: d.limit - d.value)


def find_drifted(
    anomalies: anomalies_pb2.Anomalies,
    thresholds: Mapping[str, float],
    patients: int,
    baseline_patients: int,
) -> list[FeatureDrift]:
    """The features of `list_drifts` that have drifted."""
    features = list_drifts(anomalies, thresholds, patients, baseline_patients)
    return [feature for feature in features if feature.drifted]


def find_drifted_findings(
    statistics: Sequence[str], task: Task, threshold: float, patients: Sequence[int]
) -> list[str]:
    """The findings whose share among the known labels lies further off than it may, in words.

    Args:
        statistics: This run's folder, and the baseline's.
        task: What is asked. Of classes there are none: TFDV measures `image/class/text`.
        threshold: The config's, of `image/class/text`.
        patients: In both training splits; see `limit`.
    """
    if task.exclusive:
        return []
    counts, texts = [count_splits(uri, task)["train"].labels for uri in statistics], []
    most = limit(TEXT, threshold, *patients)
    for name in task.names:
        pairs = [labels[name] for labels in counts]
        if not all(map(sum, pairs)):
            continue
        now, before = (positives / (positives + negatives) for positives, negatives in pairs)
        if abs(now - before) > most:
            texts.append(
                f"{finding(name)} ({now:.1%} have it, {before:.1%} had; at most "
                f"{100 * most:.1f} points of difference)"
            )
    return texts


def of_other_bins(statistics: str, baseline: str) -> list[str]:
    """The numbers whose histograms in the baseline have other bins than in this run.

    Args:
        statistics: This run's, a folder.
        baseline: The baseline's.

    Returns:
        Features, sorted. Their divergence tells of the bins, not of the data.
    """
    current, before = (
        tfdv.load_stats_binary(os.path.join(folder, f"Split-{split}", "FeatureStats.pb"))
        for folder, split in zip((statistics, baseline), SPLITS[0], strict=True)
    )
    return find_other_bins(current.datasets[0], before.datasets[0])


def find_other_bins(
    statistics: DatasetFeatureStatistics, baseline: DatasetFeatureStatistics
) -> list[str]:
    """The same, of statistics that are at hand; see `of_other_bins`."""
    current, before = _bins(statistics), _bins(baseline)
    # One value alone makes one bin, and no value none, whatever number was asked for.
    return sorted(
        name
        for name in current.keys() & before.keys()
        if current[name] != before[name] and min(current[name], before[name]) > 1
    )


def _bins(statistics: DatasetFeatureStatistics) -> dict[str, int]:
    """How many bins the standard histogram of each number has."""
    return {
        feature_name(feature): len(histogram.buckets)
        for feature in statistics.features
        for histogram in feature.num_stats.histograms
        if histogram.type == statistics_pb2.Histogram.STANDARD
    }


def read_measurements(folder: str) -> anomalies_pb2.Anomalies:
    """Reads DistributionValidator's artifact; empty where there was no baseline."""
    (current, baseline) = SPLITS[0]
    path = os.path.join(folder, f"SplitPair-{current}_{baseline}", "SchemaDiff.pb")
    content = io_utils.read_bytes_file(path) if fileio.exists(path) else b""
    return anomalies_pb2.Anomalies.FromString(content)


class LatestBlessedStatistics(LatestBlessedModelStrategy):
    """The statistics of the latest run whose model was blessed, other than this run's own.

    Those of the last run would let data drift away in small steps, or compare with data that no
    model was ever trusted on.
    """

    def resolve_artifacts(
        self, store: "mlmd.MetadataStore", input_dict: "dict[str, list[Artifact]]"
    ) -> "dict[str, list[Artifact]] | None":
        """See TFX's `ResolverStrategy`; `current` holds the statistics not to resolve."""
        own = {artifact.id for artifact in input_dict["current"]}
        candidates = {a.id: a for a in input_dict["statistics"] if a.id not in own}
        blessings = [a for a in input_dict["blessing"] if a.get_int_custom_property(_BLESSED) == 1]
        models = {a.id: a.get_int_custom_property(_MODEL) for a in blessings}
        # After a rollback, the data of the model that is served again come first.
        restored = rollbacks.find_restored(store, models.values())
        blessings.sort(key=lambda a: (models[a.id] == restored, a.id), reverse=True)
        for blessing in blessings:
            same_run = set(_of_the_same_run(store, blessing.id))
            if statistics := same_run & set(candidates):
                return {
                    "current": input_dict["current"],
                    "statistics": [candidates[max(statistics)]],
                    "blessing": [blessing],
                }
        return {"current": input_dict["current"], "statistics": [], "blessing": []}


def _of_the_same_run(store: "mlmd.MetadataStore", artifact: int) -> Iterator[int]:
    """The artifacts that the run which made an artifact put out."""
    events = store.get_events_by_artifact_ids([artifact])
    makers = [e.execution_id for e in events if e.type in _OUTPUT_EVENTS]
    for maker in makers[:1]:
        for context in store.get_contexts_by_execution(maker):
            if context.type == "pipeline_run":
                ids = [e.id for e in store.get_executions_by_context(context.id)]
                for event in store.get_events_by_execution_ids(ids):
                    if event.type in _OUTPUT_EVENTS:
                        yield event.artifact_id
