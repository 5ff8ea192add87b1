"""What the data looks like, split by split, and how far it lies from the last blessed run's."""

import dataclasses
import math
import os
from collections.abc import Mapping

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio

from tfxray.components.common import contract
from tfxray.components.review.evidence import Evidence
from tfxray.components.validation import drift, schema, statistics

_CATEGORIES = (contract.SITE, contract.SEX, contract.VIEW)
_NUMBERS = (
    contract.AGE,
    contract.MEAN,
    contract.STD,
    contract.SHARPNESS,
    contract.WIDTH,
    contract.HEIGHT,
)
_MOST = 20  # values of a category that are listed


@dataclasses.dataclass(frozen=True)
class Number:
    """A number's distribution in a split."""

    feature: str
    split: str
    missing: int
    mean: float
    deviation: float
    least: float
    median: float
    most: float


@dataclasses.dataclass(frozen=True)
class Category:
    """How many images have each value of a category: by value, then by split."""

    feature: str
    values: dict[str, dict[str, int]]
    more_values: int


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far a feature lies from the last blessed run's.

    Attributes:
        feature: Its name.
        kind: The distance's.
        value: The distance; None where the two cannot be compared.
        limit: The most allowed, for as many patients as there are.
    """

    feature: str
    kind: str
    value: float | None
    limit: float


def read_numbers(evidence: Evidence) -> list[Number]:
    """The numbers that the data holds, by feature and split."""
    rows = []
    for split, (total, features) in _statistics(evidence).items():
        for name in _NUMBERS:
            feature = features.get(name)
            if feature and feature.num_stats.common_stats.num_non_missing:
                s = feature.num_stats
                missing = total - s.common_stats.num_non_missing
                row = Number(name, split, missing, s.mean, s.std_dev, s.min, s.median, s.max)
                rows.append(row)
    return sorted(rows, key=lambda n: (_NUMBERS.index(n.feature), contract.SPLITS.index(n.split)))


def read_categories(evidence: Evidence) -> list[Category]:
    """The categories that the data holds."""
    splits = _statistics(evidence)
    rows = []
    for name in _CATEGORIES:
        values: dict[str, dict[str, int]] = {}
        for split, (_, features) in splits.items():
            if name in features:
                for bucket in features[name].string_stats.rank_histogram.buckets:
                    values.setdefault(bucket.label, {})[split] = int(bucket.sample_count)
        if values:
            order = sorted(values, key=lambda value: (-sum(values[value].values()), value))
            most_frequent = {value: values[value] for value in order[:_MOST]}
            rows.append(Category(name, most_frequent, len(values) - len(most_frequent)))
    return rows


def read_drifts(evidence: Evidence) -> list[Drift] | None:
    """How far each feature lies off, the nearest to its limit first.

    Returns:
        None where there was no blessed run to compare with.
    """
    uris = evidence.uris
    folder, baseline = (
        uris.get("DistributionValidator.anomalies"),
        uris.get("BaselineStatistics.statistics"),
    )
    if not folder or not baseline or "train" not in evidence.counts:
        return None
    thresholds = evidence.config.get("validation", {}).get("drift", {})
    patients, baseline_patients = (
        _patients(evidence.counts),
        _patients(statistics.count_splits(baseline)),
    )
    other = drift.of_other_bins(uris["StatisticsGen.statistics"], baseline)
    rows = []
    for info in drift.read_measurements(folder).drift_skew_info:
        name = ".".join(info.path.step)
        threshold = thresholds.get(name)
        for measurement in info.drift_measurements if threshold is not None else ():
            kind = "L-infinity" if contract.FEATURES[name] is bytes else "Jensen-Shannon"
            value = None if name in other else measurement.value
            rows.append(
                Drift(name, kind, value, drift.limit(name, threshold, patients, baseline_patients))
            )
    # A distance that could not be measured comes last.
    return sorted(rows, key=lambda d: d.limit - d.value if d.value is not None else math.inf)


def find_differences(uris: Mapping[str, str]) -> list[schema.Difference]:
    """How what SchemaGen inferred differs from the curated schema, as the run had it."""
    if "SchemaGen.schema" not in uris or "CuratedSchema.schema" not in uris:
        return []
    curated, inferred = (
        schema.read_schema(os.path.join(uris[f"{node}.schema"], "schema.pbtxt"))
        for node in ("CuratedSchema", "SchemaGen")
    )
    return schema.find_differences(curated, inferred)


def _patients(counts: Mapping[str, statistics.SplitCounts]) -> int:
    size = counts.get("train")
    return (size.patients or size.images) if size else 0


def _statistics(
    evidence: Evidence,
) -> dict[str, tuple[int, dict[str, statistics_pb2.FeatureNameStatistics]]]:
    """By split, how many examples it holds and the statistics of each feature."""
    folder = evidence.uris.get("StatisticsGen.statistics")
    splits = {}
    for split in contract.SPLITS if folder else ():
        path = os.path.join(str(folder), f"Split-{split}", "FeatureStats.pb")
        if fileio.exists(path):
            for dataset in tfdv.load_stats_binary(path).datasets[:1]:
                features = {f.name or ".".join(f.path.step): f for f in dataset.features}
                splits[split] = (dataset.num_examples, features)
    return splits
