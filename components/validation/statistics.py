"""What StatisticsGen and ExampleValidator wrote: how much a split holds; its anomalies."""

import dataclasses
import math
import os

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """How many examples, patients and examples of the positive class a split holds."""

    images: int
    patients: int | None
    positives: int


def count_splits(statistics: str) -> dict[str, SplitCounts]:
    """Reads how much each split holds from StatisticsGen's artifact."""
    counts = {}
    for split, path in _by_split(statistics, "FeatureStats.pb"):
        for stats in tfdv.load_stats_binary(path).datasets[:1]:  # of an empty split there are none
            features = {_name(feature): feature for feature in stats.features}
            patients, label = features.get(contract.PATIENT), features.get(contract.LABEL)
            positives = label.num_stats.mean * stats.num_examples if label else 0.0
            counts[split] = SplitCounts(
                stats.num_examples,
                patients.string_stats.unique or None if patients else None,
                round(positives) if math.isfinite(positives) else 0,
            )
    return counts


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
