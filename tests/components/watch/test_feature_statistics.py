"""Statistics that are collected batch by batch are TFDV's own."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl

from tfxray.components.common.contract import AGE, FILENAME, MEAN, PATIENT, SEX, SITE
from tfxray.components.watch import feature_statistics


def rows(count=2500):
    rng = np.random.default_rng(0)
    return [
        {
            MEAN: float(rng.normal(100, 20)),
            AGE: float(rng.integers(1, 90)) if number % 3 else None,
            SEX: rng.choice([b"F", b"M"]),
            SITE: b"caf\xc3\xa9",
            PATIENT: b"SECRET",
            FILENAME: b"SECRET.png",
        }
        for number in range(count)
    ]


def test_batches_make_tfdvs_statistics():
    data, collector = rows(), feature_statistics.Collector()
    for start in range(0, len(data), 700):
        collector.add(data[start : start + 700])
    columns = {
        name: pa.array([None if row[name] is None else [row[name]] for row in data])
        for name in (MEAN, AGE, SEX, SITE)
    }
    options = tfdv.StatsOptions(num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    (wanted,) = stats_impl.generate_statistics_in_memory(batch, options).datasets
    told = collector.finish()
    assert told.num_examples == len(data)
    by_name = {feature_statistics.feature_name(f): f for f in wanted.features}
    assert {feature_statistics.feature_name(f) for f in told.features} == set(by_name)
    for feature in told.features:
        other = by_name[feature_statistics.feature_name(feature)]
        assert feature.num_stats.mean == pytest.approx(other.num_stats.mean, rel=1e-5)
        assert feature.string_stats == other.string_stats
        assert feature_statistics.common(feature).num_missing == (
            feature_statistics.common(other).num_missing
        )
        for one, two in zip(feature.num_stats.histograms, other.num_stats.histograms, strict=True):
            counts = [[b.sample_count for b in h.buckets] for h in (one, two)]
            assert counts[0] == pytest.approx(counts[1], abs=0.02 * len(data))


def test_neither_name_nor_patient_is_in_them():
    collector = feature_statistics.Collector()
    collector.add(rows(50))
    told = str(feature_statistics.to_json(collector.finish()))
    assert "SECRET" not in told
    assert "café" in told


def test_images_of_which_nothing_is_known_count():
    collector = feature_statistics.Collector()
    collector.add([{}, {}])
    collector.add(rows(3))
    statistics = collector.finish()
    assert statistics.num_examples == 5
    again = feature_statistics.from_json(feature_statistics.to_json(statistics))
    assert again == statistics
    assert feature_statistics.Collector().finish().num_examples == 0
