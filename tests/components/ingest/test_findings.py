"""Findings from manifests and records to records by the contract."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.components.ingest.test_job import examples
from tests.images import png
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, record_labels, record_scan
from tfxray.components.source import labelling, tfrecords

NAMES = ("Effusion", "Mass")
TASK = Task(NAMES, exclusive=False)


def write_images(folder, rows, headings):
    """Images that differ, and a manifest with a row of each."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *headings])
        for number, row in enumerate(rows):
            rng = np.random.default_rng(number)
            pixels = rng.integers(0, 256, (40, 40), np.uint8)
            (folder / f"{number}.png").write_bytes(png(pixels))
            writer.writerow([f"{number}.png", *row])


def read_findings(folder):
    """Of each record its file and what it says of findings."""
    told = {}
    for feature in examples(folder):
        name = feature[contract.FILENAME].bytes_list.value[0].decode()
        told[name] = {
            key: feature[contract.finding(key)].int64_list.value[0]
            for key in NAMES
            if contract.finding(key) in feature
        }
        assert contract.LABEL not in feature
        assert contract.TEXT not in feature
    return told


def test_a_column_of_each_finding(tmp_path):
    rows = [("1", ""), ("0.0", "1.0"), ("-1", "0"), ("", "")]
    write_images(tmp_path / "in", rows, ["effusion", "Tumour"])
    rules = labelling.Rules(findings=NAMES, columns={"Mass": "Tumour"})
    report = job.ingest(tmp_path / "in", tmp_path / "out", rules)
    assert read_findings(tmp_path / "out") == {
        "0.png": {"Effusion": 1},
        "1.png": {"Effusion": 0, "Mass": 1},
        "2.png": {"Effusion": -1, "Mass": 0},
    }
    assert report.reasons == {"no_label": 1}
    assert report.labels == {"Effusion": 1, "Mass": 1}


def test_a_text_that_names_them(tmp_path):
    rows = [("Effusion|Mass",), ("No Finding",), ("Hernia",), ("Mass",), ("Nodule",), ("",)]
    write_images(tmp_path / "in", rows, ["label"])
    rules = labelling.Rules(findings=NAMES, labels={"Hernia": ""}, tolerated=0.5)
    report = job.ingest(tmp_path / "in", tmp_path / "out", rules)
    assert read_findings(tmp_path / "out") == {
        "0.png": {"Effusion": 1, "Mass": 1},
        "1.png": {"Effusion": 0, "Mass": 0},
        "2.png": {"Effusion": 0, "Mass": 0},
        "3.png": {"Effusion": 0, "Mass": 1},
    }
    assert report.reasons == {"no_label": 1, "unknown_label": 1}


@pytest.mark.parametrize(
    ("headings", "rows", "told"),
    [
        (["Effusion", "Mass"], [("1", "2"), ("0", "1")], "column of Mass .* line 2"),
        (["Effusion"], [("1",), ("0",)], "none of Mass"),
        (["Effusion", "Mass"], [("1", "0"), ("0", "0")], "no image has Mass"),
        (["label"], [("Effusion|Mass",), ("Edema",)], r"Edema \(1\)"),
        (["age"], [("30",), ("40",)], "nothing tells the findings"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, headings, rows, told):
    write_images(tmp_path / "in", rows, headings)
    with pytest.raises(UserError, match=told):
        labelling.label_images(tmp_path / "in", labelling.Rules(findings=NAMES))


def test_the_same_image_with_other_findings_is_set_aside(tmp_path):
    write_images(tmp_path / "in", [("1", "0"), ("0", "1"), ("1", "1")], NAMES)
    (tmp_path / "in" / "1.png").write_bytes((tmp_path / "in" / "0.png").read_bytes())
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(findings=NAMES))
    assert report.reasons == {"duplicate": 2}
    assert set(read_findings(tmp_path / "out")) == {"2.png"}


def example(**features):
    message = tf.train.Example()
    for name, values in features.items():
        feature = message.features.feature[name]
        kind = {str: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        values = values if isinstance(values, list) else [values]
        kind[type(values[0])].value.extend(v.encode() if isinstance(v, str) else v for v in values)
    return message.features.feature


@pytest.mark.parametrize(
    ("features", "mapping", "expected"),
    [
        ({"finding/Effusion": 1}, {}, {"Effusion": 1}),
        ({"finding/Effusion": 0, "finding/Mass": -1}, {}, {"Effusion": 0, "Mass": -1}),
        ({"effusion": 1}, {"finding/Effusion": "effusion"}, {"Effusion": 1}),
        ({"labels": [0, 1]}, {contract.LABEL: "labels"}, {"Effusion": 0, "Mass": 1}),
        ({"labels": [1.0, -1.0]}, {contract.LABEL: "labels"}, {"Effusion": 1, "Mass": -1}),
        ({"t": "Mass|Effusion"}, {contract.TEXT: "t"}, {"Effusion": 1, "Mass": 1}),
        ({"t": ["Mass", "Effusion"]}, {contract.TEXT: "t"}, {"Effusion": 1, "Mass": 1}),
        ({"t": "No Finding"}, {contract.TEXT: "t"}, {"Effusion": 0, "Mass": 0}),
    ],
)
def test_records_say_them_in_three_ways(features, mapping, expected):
    assert record_labels.findings_of(example(**features), mapping, TASK, {}) == expected


@pytest.mark.parametrize(
    ("features", "mapping", "told"),
    [
        ({}, {}, "no_label"),
        ({"finding/Effusion": 2}, {}, "finding/Effusion is 2; allowed: 1, 0 and -1"),
        ({"finding/Effusion": [1, 0]}, {}, "holds 2 values"),
        ({"labels": [1, 0, 0]}, {contract.LABEL: "labels"}, "a vector of the 2 findings"),
        ({"labels": "yes"}, {contract.LABEL: "labels"}, "is bytes, not int64"),
        ({"t": "Edema"}, {contract.TEXT: "t"}, "t has Edema"),
    ],
)
def test_what_is_wrong_with_a_record_is_told(features, mapping, told):
    with pytest.raises(record_labels.Rejected, match=told):
        record_labels.findings_of(example(**features), mapping, TASK, {})


def test_what_ingest_writes_keeps_the_contract(tmp_path):
    rows = [("1", ""), ("0", "1"), ("-1", "0"), ("0", "0")]
    write_images(tmp_path / "in", rows, NAMES)
    job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(findings=NAMES))
    scan = record_scan.check_records(tfrecords.find_layout(tmp_path / "out"), TASK)
    assert (scan.examples, scan.labels) == (4, {"Effusion": 1, "Mass": 1})
