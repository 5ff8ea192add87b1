"""TFDV's statistics of the features that monitoring compares: no image, no name and no patient."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from google.protobuf import json_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics

from tfxray.components.common import contract
from tfxray.components.common.contract import AGE, MEAN, SEX, SHARPNESS, SITE, STD, VIEW

# What can be known of an image without a label.
MONITORED = (MEAN, STD, SHARPNESS, AGE, SEX, VIEW, SITE)
# TFDV compares two histograms of equal bins over different ranges. With its 10 bins, two samples of
# one skewed feature lie up to 0.1 apart however large they are; with 60, up to 0.04.
HISTOGRAM_BUCKETS = 60


class Collector:
    """Collects TFDV's statistics batch by batch: what it holds does not grow with the images."""

    def __init__(self) -> None:
        options = tfdv.StatsOptions(num_histogram_buckets=HISTOGRAM_BUCKETS)
        self._options = options
        self._generators = stats_impl.get_generators(options, in_memory=True)
        self._collected: list[Any] | None = None

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds images.

        Args:
            rows: What is known of each, by the data contract's names; others than `MONITORED` are
                left out.
        """
        if not rows:
            return
        columns = {
            name: pa.array(
                [None if (value := row.get(name)) is None else [value] for row in rows],
                pa.list_(pa.large_binary() if contract.FEATURES[name] is bytes else pa.float32()),
            )
            for name in MONITORED
            if any(row.get(name) is not None for row in rows)
        }
        # Rows of which nothing is known count, too.
        batch = pa.RecordBatch.from_arrays(
            list(columns.values()) or [pa.nulls(len(rows))], list(columns) or [MEAN]
        )
        partial = stats_impl.generate_partial_statistics_in_memory(
            batch, self._options, self._generators
        )
        if self._collected is None:
            self._collected = partial
            return
        pairs = zip(self._generators, self._collected, partial, strict=True)
        self._collected = [
            generator.compact(generator.merge_accumulators([one, other]))
            for generator, one, other in pairs
        ]

    def finish(self) -> DatasetFeatureStatistics:
        """Ends the collection: the statistics of all images that were added."""
        if self._collected is None:
            return DatasetFeatureStatistics()
        listed = stats_impl.extract_statistics_output(self._collected, self._generators)
        return select_monitored(listed.datasets[0])


def select_monitored(statistics: DatasetFeatureStatistics) -> DatasetFeatureStatistics:
    """The statistics of the features in `MONITORED` that are known of an image at least.

    Args:
        statistics: TFDV's of a whole data set, or of a split.
    """
    selected = DatasetFeatureStatistics(num_examples=statistics.num_examples)
    for feature in statistics.features:
        name = feature_name(feature)
        if name in MONITORED and common(feature).num_non_missing:
            selected.features.add().CopyFrom(feature)
    return selected


def feature_name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    """A feature's name, in either of TFDV's notations."""
    return str(feature.name or ".".join(feature.path.step))


def common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    """What TFDV tells of a feature of any kind."""
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def to_json(statistics: DatasetFeatureStatistics) -> dict[str, Any]:
    """Statistics as JSON; `from_json` reads it."""
    content: dict[str, Any] = json_format.MessageToDict(statistics)
    return content


def from_json(content: Mapping[str, Any]) -> DatasetFeatureStatistics:
    """Reads what `to_json` gave.

    Raises:
        ValueError: It gave no such thing.
    """
    if not isinstance(content, Mapping):
        raise ValueError("must be TFDV's statistics")
    try:
        return json_format.ParseDict(content, DatasetFeatureStatistics())
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None
