"""What StatisticsGen and ExampleValidator wrote: how much a split holds; its anomalies."""

import dataclasses
import math
import os
from collections.abc import Mapping

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import Task


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """How much a split holds.

    Attributes:
        images: Examples.
        patients: How many; None where that is not known.
        labels: How many positive and negative labels are known, of each of the task's `judged`.
    """

    images: int
    patients: int | None
    labels: Mapping[str, tuple[int, int]]


def count_splits(statistics: str, task: Task | None = None) -> dict[str, SplitCounts]:
    """Reads how much each split holds.

    Args:
        statistics: StatisticsGen's artifact.
        task: What is asked; None where labels do not matter.
    """
    counts = {}
    for split, path in _by_split(statistics, "FeatureStats.pb"):
        for stats in tfdv.load_stats_binary(path).datasets[:1]:  # of an empty split there are none
            features = {_name(feature): feature for feature in stats.features}
            patients = features.get(contract.PATIENT)
            counts[split] = SplitCounts(
                stats.num_examples,
                patients.string_stats.unique or None if patients else None,
                _count_labels(features, stats.num_examples, task) if task else {},
            )
    return counts


def _count_labels(
    features: Mapping[str, statistics_pb2.FeatureNameStatistics], images: int, task: Task
) -> dict[str, tuple[int, int]]:
    if not task.exclusive:
        findings = {name: features.get(contract.finding(name)) for name in task.judged}
        return {name: _count_finding(f) if f else (0, 0) for name, f in findings.items()}
    numbers = _count_numbers(features[contract.LABEL], task) if contract.LABEL in features else {}
    if not task.binary and contract.TEXT in features:  # counted exactly
        buckets = features[contract.TEXT].string_stats.rank_histogram.buckets
        texts = {bucket.label: round(bucket.sample_count) for bucket in buckets}
        numbers = {name: texts.get(name, 0) for name in task.names}
    return {name: (numbers.get(name, 0), images - numbers.get(name, 0)) for name in task.judged}


def _count_finding(feature: statistics_pb2.FeatureNameStatistics) -> tuple[int, int]:
    """Of values that are 1, 0 and -1: how many are 1, and how many 0."""
    stats = feature.num_stats
    known = stats.common_stats.num_non_missing
    difference = round(stats.mean * known)
    return (known - stats.num_zeros + difference) // 2, stats.num_zeros


def _count_numbers(feature: statistics_pb2.FeatureNameStatistics, task: Task) -> dict[str, int]:
    """How many examples each class has, by its number."""
    stats = feature.num_stats
    if task.binary:
        positives = stats.mean * stats.common_stats.num_non_missing
        return {task.names[1]: round(positives) if math.isfinite(positives) else 0}
    counts = dict.fromkeys(task.names, 0.0)
    for histogram in stats.histograms:
        if histogram.type == statistics_pb2.Histogram.STANDARD:
            for bucket in histogram.buckets:
                number = round((bucket.low_value + bucket.high_value) / 2)
                if 0 <= number < len(task.names):
                    counts[task.names[number]] += bucket.sample_count
    return {name: round(count) for name, count in counts.items()}


def _by_split(folder: str, name: str) -> list[tuple[str, str]]:
    """The splits of an artifact that hold a file of this name, and the files."""
    splits = [item for item in artifacts.list_folder(folder) if item.startswith("Split-")]
    paths = [(item.removeprefix("Split-"), os.path.join(folder, item, name)) for item in splits]
    return [(split, path) for split, path in paths if fileio.exists(path)]


def _name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return feature.name or ".".join(feature.path.step)


@dataclasses.dataclass(frozen=True)
class Anomaly:
    """One anomaly that ExampleValidator reports."""

    split: str
    feature: str
    short: str
    description: str


def read_anomalies(folder: str) -> list[Anomaly]:
    """Reads ExampleValidator's artifact."""
    anomalies = []
    for split, path in _by_split(folder, "SchemaDiff.pb"):
        message = anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path))
        for feature, info in sorted(message.anomaly_info.items()):
            anomalies.append(Anomaly(split, feature, info.short_description, info.description))
    return anomalies
