import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl

from tfxray.components.common import contract
from tfxray.components.validation import drift
from tfxray.components.watch import feature_statistics

THRESHOLDS = {contract.MEAN: 0.07, contract.SEX: 0.1}


def measure(baseline, current):
    options = tfdv.StatsOptions(num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS)
    tables = []
    for means, sexes in (baseline, current):
        columns = [pa.array([[float(m)] for m in means]), pa.array([[s] for s in sexes])]
        batch = pa.RecordBatch.from_arrays(columns, [contract.MEAN, contract.SEX])
        tables.append(stats_impl.generate_statistics_in_memory(batch, options))
    schema = tfdv.infer_schema(tables[0])
    for feature in drift.validator_config(THRESHOLDS).default_slice_config.feature:
        comparator = tfdv.get_feature(schema, feature.path.step[0]).drift_comparator
        comparator.CopyFrom(feature.distribution_comparator)
    return tfdv.validate_statistics(tables[1], schema, previous_statistics=tables[0])


def draw(rng, n, mean=120, women=0.5):
    return rng.normal(mean, 20, n), rng.choice([b"F", b"M"], n, p=[women, 1 - women])


def test_small_samples_of_one_source_are_forgiven_and_a_shift_is_not():
    rng = np.random.default_rng(0)
    for n in (100, 1000):
        same = measure(draw(rng, n), draw(rng, n))
        assert drift.find_drifted(same, THRESHOLDS, n, n) == []
        brighter = drift.find_drifted(measure(draw(rng, n), draw(rng, n, 175)), THRESHOLDS, n, n)
        women = drift.find_drifted(
            measure(draw(rng, n), draw(rng, n, women=0.95)), THRESHOLDS, n, n
        )
        assert [d.feature for d in brighter] == [contract.MEAN]
        assert [d.feature for d in women] == [contract.SEX]


def test_a_feature_without_a_threshold_is_left_out():
    rng = np.random.default_rng(0)
    measurements = measure(draw(rng, 500), draw(rng, 500, 200))
    assert drift.find_drifted(measurements, {contract.SEX: 0.1}, 500, 500) == []


def test_the_limit_nears_the_threshold_as_samples_grow():
    limits = [drift.limit(contract.MEAN, 0.07, n, n) for n in (100, 1_000, 1_000_000)]
    assert limits == sorted(limits, reverse=True)
    assert abs(limits[-1] - 0.07) < 1e-3


def test_another_set_is_measured_as_distribution_validator_measures(tmp_path):
    rng = np.random.default_rng(0)
    tables = {"set": draw(rng, 400, 150, women=0.9), "train": draw(rng, 800)}
    for name, (means, sexes) in tables.items():
        columns = [pa.array([[float(m)] for m in means]), pa.array([[s] for s in sexes])]
        batch = pa.RecordBatch.from_arrays(columns, [contract.MEAN, contract.SEX])
        options = tfdv.StatsOptions(num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS)
        statistics = stats_impl.generate_statistics_in_memory(batch, options)
        (tmp_path / name / "Split-train").mkdir(parents=True)
        path = tmp_path / name / "Split-train" / "FeatureStats.pb"
        path.write_bytes(statistics.SerializeToString())
    # A feature that the training data lacks is none to compare.
    thresholds = {**THRESHOLDS, contract.AGE: 0.07}
    own = drift.measure(str(tmp_path / "set"), str(tmp_path / "train"), thresholds)
    theirs = measure(tables["train"], tables["set"])
    drifted = drift.find_drifted(own, thresholds, 400, 800)
    assert drifted == drift.find_drifted(theirs, THRESHOLDS, 400, 800)
    by_name = {feature.feature: feature.value for feature in drifted}
    shares = [np.mean(sexes == b"F") for _, sexes in tables.values()]
    assert by_name[contract.SEX] == pytest.approx(abs(shares[0] - shares[1]))
    assert set(by_name) == {contract.MEAN, contract.SEX}
