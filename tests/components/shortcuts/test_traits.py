"""The table of what is known of each example besides its pixels."""

import hashlib

import apache_beam as beam
import numpy as np
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.shortcuts import traits

CLASSES = Task(("NORMAL", "PNEUMONIA", "TB"))
FINDINGS = Task(("Edema", "Mass"), exclusive=False)


def record(image, **features):
    example = tf.train.Example()
    for name, value in {contract.IMAGE: image, **features}.items():
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(value)]
        getattr(example.features.feature[name], kind).value.append(value)
    return example


def write(folder, split, records):
    with beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(records) | traits.Write(str(folder), split)


def test_a_record_becomes_a_row_with_nothing_for_what_it_lacks(tmp_path):
    told = {
        contract.VIEW: b"PA", contract.AGE: 41.0, contract.WIDTH: 320, contract.PATIENT: b"p",
        contract.LABEL: 2, contract.SHARPNESS: float("nan"), contract.SITE: b"",
    }  # fmt: skip
    write(tmp_path, "train", [record(b"one", **told)])
    write(tmp_path, "test", [record(b"two")])
    frame, labels = traits.read_traits(str(tmp_path), ["train"], CLASSES)
    row = frame.iloc[0]
    assert row[traits.DIGEST] == hashlib.sha256(b"one").hexdigest()[:32]
    assert (row[contract.VIEW], row[contract.AGE], row[contract.WIDTH]) == ("PA", 41, 320)
    assert row[contract.PATIENT] == "p"
    assert row[contract.SITE] is None
    assert np.isnan(row[contract.SHARPNESS])
    assert labels.iloc[0].to_dict() == {"NORMAL": 0, "PNEUMONIA": 0, "TB": 1}
    frame, labels = traits.read_traits(str(tmp_path), ["test"], CLASSES)
    assert frame[contract.PATIENT][0] == f"image:{frame[traits.DIGEST][0]}"
    assert labels.iloc[0].to_list() == [-1, -1, -1]


def test_findings_keep_what_was_said_of_each(tmp_path):
    edema, mass = map(contract.finding, FINDINGS.names)
    write(tmp_path, "train", [record(b"a", **{edema: 1, mass: -1}), record(b"b", **{mass: 0})])
    _, labels = traits.read_traits(str(tmp_path), ["train"], FINDINGS)
    assert sorted(map(tuple, labels.to_numpy())) == [(-1, 0), (1, -1)]


def test_splits_are_read_in_one_order_and_large_ones_are_drawn(tmp_path):
    records = [record(str(i).encode(), **{contract.LABEL: i % 3}) for i in range(400)]
    for folder, order in (("one", records), ("other", records[::-1])):
        write(tmp_path / folder, "train", order[:300])
        write(tmp_path / folder, "eval", order[300:])
    tables = [
        traits.read_traits(str(tmp_path / name), contract.SPLITS, CLASSES)
        for name in ("one", "other")
    ]
    assert tables[0][0].equals(tables[1][0])
    assert tables[0][1].equals(tables[1][1])
    assert len(tables[0][0]) == 400
    drawn, _ = traits.read_traits(str(tmp_path / "one"), contract.SPLITS, CLASSES, most=100)
    assert 70 < len(drawn) < 130
    assert drawn[traits.DIGEST].isin(tables[0][0][traits.DIGEST]).all()


def test_no_table_has_no_rows(tmp_path):
    frame, labels = traits.read_traits(str(tmp_path), contract.SPLITS, CLASSES)
    assert len(frame) == len(labels) == 0
