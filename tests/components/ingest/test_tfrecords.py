import gzip

import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import record_check, tfrecords

CLASSES = ("NORMAL", "PNEUMONIA")


def record(**features):
    example = tf.train.Example()
    for name, value in {contract.IMAGE: b"i", contract.LABEL: 0, **features}.items():
        if value is not None:
            kind = "bytes_list" if isinstance(value, bytes) else "int64_list"
            getattr(example.features.feature[name], kind).value.append(value)
    return example.SerializeToString()


def write(path, *content):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for item in content or (record(), record(**{contract.LABEL: 1})):
            writer.write(item)


@pytest.mark.parametrize(
    ("files", "splits", "globs"),
    [
        (["a.tfrecord", "b.tfrecord"], (), ("*",)),
        (["data-00000-of-00002", "data-00001-of-00002"], (), ("*",)),
        (
            ["train/a.tfrecord.gz", "val/a.tfrecord.gz", "test/a.tfrecord.gz"],
            contract.SPLITS,
            ("train/*", "val/*", "test/*"),
        ),
        (
            ["train-00000-of-00001", "validation-00000-of-00001", "test-00000-of-00001"],
            contract.SPLITS,
            ("train-00000-of-00001*", "validation-00000-of-00001*", "test-00000-of-00001*"),
        ),
    ],
)
def test_layouts_and_splits_are_recognised(tmp_path, files, splits, globs):
    for file in files:
        write(tmp_path / file)
    layout = tfrecords.find_layout(tmp_path)
    assert layout.splits == splits
    assert layout.globs == globs
    assert record_check.check_records(layout, CLASSES).examples == 2 * len(files)


def test_other_files_beside_records_are_left_aside(tmp_path):
    write(tmp_path / "a.tfrecord")
    (tmp_path / "labels.txt").write_text("0:NORMAL")
    assert tfrecords.find_layout(tmp_path).globs == ("*.tfrecord*",)


def test_a_missing_split_is_named(tmp_path):
    write(tmp_path / "train" / "a.tfrecord")
    with pytest.raises(UserError, match="none for eval, test"):
        tfrecords.find_layout(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [record(**{contract.LABEL: None})],
            "record 0: has no 'image/class/label'; it has image/encoded",
        ),
        ([record(), record(**{contract.IMAGE: None})], "record 1: has no 'image/encoded'"),
        ([record(**{contract.LABEL: 2})], "allowed: 0 to 1, for [NORMAL, PNEUMONIA]"),
        ([record()], "needs records of every class"),
        ([b"\xff\xff"], "no tf.train.Example"),
    ],
)
def test_records_that_break_the_contract_are_named(tmp_path, content, message):
    write(tmp_path / "a.tfrecord", *content)
    with pytest.raises(UserError) as caught:
        record_check.check_records(tfrecords.find_layout(tmp_path), CLASSES)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_a_truncated_file_is_named(tmp_path, name):
    content = [
        record(**{contract.LABEL: i % 2, contract.IMAGE: bytes(range(256)) * 20}) for i in range(9)
    ]
    write(tmp_path / name, *content)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(UserError, match=f"{name}: damaged after record"):
        record_check.check_records(tfrecords.find_layout(tmp_path), CLASSES)


def test_what_patients_are_split_by_falls_back_and_is_told(tmp_path):
    write(tmp_path / "a.tfrecord")
    assert record_check.check_records(tfrecords.find_layout(tmp_path), CLASSES).group is None
    named = {contract.FILENAME: b"x.png"}
    write(tmp_path / "a.tfrecord", record(**named), record(**named, **{contract.LABEL: 1}))
    assert (
        record_check.check_records(tfrecords.find_layout(tmp_path), CLASSES).group
        == contract.FILENAME
    )


def test_a_gzip_that_is_none_is_named(tmp_path):
    (tmp_path / "a.tfrecord.gz").write_bytes(gzip.compress(b"no record at all, but long enough"))
    with pytest.raises(UserError, match="damaged after record 0"):
        record_check.check_records(tfrecords.find_layout(tmp_path), CLASSES)
