import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl

from tfxray.components.common import contract
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.pixels.near import Drawn
from tfxray.components.shortcuts.association import Association
from tfxray.components.validation import data_gate, drift
from tfxray.components.validation.leakage import Leaks
from tfxray.components.watch import feature_statistics

RULES = {
    "drift": {contract.MEAN: 0.07, contract.AGE: 0.07, contract.VIEW: 0.1},
    "gate": {"drift": "fail"},
}


@pytest.fixture
def gate(tmp_path):
    """What DataGate says of a run's drift, against a baseline with so many bins."""
    rng = np.random.default_rng(0)

    def statistics(bins, views, age):
        columns = {
            contract.MEAN: [[float(x)] for x in rng.normal(120, 20, 2000)],
            contract.AGE: [[age]] * 2000,
            contract.VIEW: [[v] for v in rng.choice([b"PA", b"AP"], 2000, p=views)],
        }
        batch = pa.RecordBatch.from_arrays([pa.array(v) for v in columns.values()], list(columns))
        options = tfdv.StatsOptions(num_histogram_buckets=bins)
        return stats_impl.generate_statistics_in_memory(batch, options)

    def call(bins, views=(0.5, 0.5), age=40.0):
        tables = {
            "now": statistics(feature_statistics.HISTOGRAM_BUCKETS, (0.5, 0.5), 40.0),
            "then": statistics(bins, views, age),
        }
        schema = tfdv.infer_schema(tables["now"])
        for feature in drift.validator_config(RULES["drift"]).default_slice_config.feature:
            schema_feature = tfdv.get_feature(schema, feature.path.step[0])
            schema_feature.drift_comparator.CopyFrom(feature.distribution_comparator)
        anomalies = tfdv.validate_statistics(
            tables["now"], schema, previous_statistics=tables["then"]
        )
        for name, table in tables.items():
            (tmp_path / name / "Split-train").mkdir(parents=True)
            path = tmp_path / name / "Split-train" / "FeatureStats.pb"
            path.write_bytes(table.SerializeToString())
        pair = tmp_path / "drift" / "SplitPair-train_train"
        pair.mkdir(parents=True)
        (pair / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
        folders = [str(tmp_path / name) for name in ("drift", "now", "then")]
        return list(data_gate._drift(*folders, RULES))

    return call


def test_a_baseline_with_other_histograms_is_warned_of_and_numbers_are_not_judged(gate):
    (issue,) = gate(bins=10)
    assert (issue.kind, issue.action, issue.items) == ("drift", "warn", [contract.MEAN])
    assert "another version of tfxray" in issue.message


def test_its_categories_are_judged_all_the_same(gate):
    warning, failure = gate(bins=10, views=(0.95, 0.05))
    assert warning.action == "warn"
    assert failure.action == "fail"
    assert contract.VIEW in failure.message
    assert contract.MEAN not in failure.message


def test_one_value_alone_is_no_other_version(gate):
    """All are of one age, which makes one bin."""
    assert gate(bins=feature_statistics.HISTOGRAM_BUCKETS) == []


def test_another_age_of_all_is_drift(gate):
    (issue,) = gate(bins=feature_statistics.HISTOGRAM_BUCKETS, age=70.0)
    assert issue.action == "fail"
    assert contract.AGE in issue.message


def test_odd_images_are_noted_with_the_names_of_some():
    notes = {
        "VOI odd": {"count": 7, "names": ["a", "b"]},
        "slope odd": {"count": 1, "names": ["c"]},
    }
    (issue,) = data_gate._image_notes({"image_notes": notes})
    assert (issue.kind, issue.action, issue.total) == ("image_notes", "note", 8)
    assert "VOI odd (7 images, such as a); slope odd (1 images, such as c)" in issue.message
    assert issue.items == ["VOI odd: a", "VOI odd: b", "slope odd: c"]
    assert list(data_gate._image_notes({"image_notes": {}})) == []
    assert list(data_gate._image_notes(None)) == []  # there was no ingest


def test_shortcuts_are_one_issue_that_names_those_beyond_their_limit():
    def found(auc):
        return Association(contract.VIEW, "PNEUMONIA", Estimate(auc, 0.5, 0.7), 0.58, [])

    assert list(data_gate._shortcuts([found(0.57)], "warn")) == []
    (issue,) = data_gate._shortcuts([found(0.62), found(0.57)], "warn")
    assert (issue.kind, issue.action, issue.total) == ("shortcut", "warn", 1)
    assert issue.items == ["study/view alone tells PNEUMONIA with AUC 0.62 (at most 0.58)"]
    assert issue.items[0] in issue.message
    assert "may" in issue.message


ACTIONS = {"leakage": "fail", "near_identical": "fail"}
LEAKS = {kind: {kind: Leaks(1, ["(test: b; train: a)"])} for kind in data_gate._MESSAGES}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_between_given_splits_says_what_to_do(kind):
    (issue,) = data_gate._leaks(LEAKS[kind], ACTIONS, False, None)
    assert (issue.kind, issue.action, issue.total) == (kind, "fail", 1)
    assert "such as (test: b; train: a). " in issue.message
    assert "split.ignore_given" in issue.message
    expected = {"patients": "`patient`", "near_identical": "validation.near_distance"}
    assert expected.get(kind, "Leave one of each") in issue.message


def test_a_group_that_is_too_large_to_be_drawn_says_what_to_do():
    groups = Drawn(0, 0, 0, (11, 21), 101)
    (issue,) = data_gate._leaks(LEAKS["identical"], ACTIONS, True, groups)
    assert issue.kind == "identical"
    assert "one group would hold 11, 21 images of 101" in issue.message


def test_what_an_ingest_drew_together_is_told_and_what_it_could_not():
    drawn = Drawn(4, 4, 2, (), 9, 3)
    report = {"drawn_together": drawn._asdict()}
    told = data_gate._groups("", json.loads(json.dumps(report)))
    assert told is not None
    assert told.describe() == drawn.describe()
    (issue,) = data_gate._leaks({}, ACTIONS, False, drawn)
    assert issue.message.endswith("drawn as 2 patients (3 of the images name no patient)")
    too_large = drawn._replace(drawn_as=0, too_large=(21,))
    (issue,) = data_gate._leaks(LEAKS["near_identical"], ACTIONS, False, too_large)
    assert "one group would hold 21 images of 9" in issue.message


def test_patients_who_are_drawn_as_one_are_noted():
    (issue,) = data_gate._leaks({}, ACTIONS, True, Drawn(2, 3, 1, (), 9))
    assert (issue.kind, issue.action, issue.total) == ("near_identical", "note", 3)
    assert "3 images of 2 patients" in issue.message
    assert "drawn as 1 patients" in issue.message
    assert list(data_gate._leaks({}, ACTIONS, True, Drawn(0, 0, 0, (), 9))) == []
    assert list(data_gate._leaks({}, ACTIONS, False, None)) == []
