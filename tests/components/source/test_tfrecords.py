"""Files of TFRecords: found, and read as files that may be damaged or made to do harm."""

import gzip
import os
import struct

import pytest
import tensorflow as tf
from apache_beam.io.tfrecordio import _TFRecordUtil

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.guard.rejects import Rejected
from tfxray.components.source import tfrecords


def write(path, *content):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for item in content or (b"one", b"another"):
            writer.write(item)
    return path


def frame(length, checksum=None):
    """The beginning of a record of this length, by Beam's checksum."""
    packed = struct.pack("<Q", length)
    right = _TFRecordUtil._masked_crc32c(packed)
    return packed + struct.pack("<I", right if checksum is None else checksum)


@pytest.mark.parametrize(
    ("files", "splits", "globs"),
    [
        (["a.tfrecord", "b.tfrecord"], (), ("*",)),
        (["data-00000-of-00002", "data-00001-of-00002"], (), ("*",)),
        (["a.tfrecord/data-00000-of-00001", "b/data-00000-of-00001"], (), ("*/*",)),
        (
            ["train/a.tfrecord.gz", "val/a.tfrecord.gz", "test/a.tfrecord.gz"],
            contract.SPLITS,
            ("train/*", "val/*", "test/*"),
        ),
        (["train/a.tfrecord", "test/a.tfrecord"], ("train", "test"), ("train/*", "test/*")),
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
    assert sorted(file for _, file in layout.by_split()) == sorted(files)
    assert [split for split, _ in layout.by_split()].count(None) == (0 if splits else len(files))


def test_other_files_beside_records_are_left_aside(tmp_path):
    write(tmp_path / "a.tfrecord")
    (tmp_path / "labels.txt").write_text("0:NORMAL")
    assert tfrecords.find_layout(tmp_path).globs == ("*.tfrecord*",)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("NORMAL/1.png", "1 images, such as NORMAL/1.png"),
        ("far/below/DOE.DCM", "1 images: which of them"),  # whose name may be a patient's
        ("a/b/c.tfrecord", "1 lie deeper, such as a/b/c.tfrecord"),
        ("a/b/data-00000-of-00001", "1 lie deeper, such as a/b/data-00000-of-00001"),
    ],
)
def test_what_would_be_passed_over_beside_records_is_told(tmp_path, other, told):
    write(tmp_path / "one.tfrecord")
    for find in (tfrecords.find_layout, tfrecords.list_records):
        assert find(tmp_path)
        write(tmp_path / other)
        with pytest.raises(UserError, match=told):
            find(tmp_path)
        (tmp_path / other).unlink()


def test_a_pipe_beside_records_is_in_no_pattern(tmp_path):
    """Who opened it would wait for ever."""
    write(tmp_path / "a.tfrecord")
    os.mkfifo(tmp_path / "pipe")
    assert tfrecords.find_layout(tmp_path).globs == ("*.tfrecord*",)


def test_a_missing_split_is_named(tmp_path):
    write(tmp_path / "train" / "a.tfrecord")
    with pytest.raises(UserError, match="none for test"):
        tfrecords.find_layout(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: os.symlink("nowhere", path),
        lambda path: os.symlink("/dev/zero", path),
    ],
)
def test_what_is_named_like_records_and_is_no_file_is_refused(tmp_path, make):
    write(tmp_path / "a.tfrecord")
    make(tmp_path / "b.tfrecord")
    assert tfrecords.holds_records(tmp_path)
    with pytest.raises(UserError, match=r"b\.tfrecord: .* is no file"):
        tfrecords.find_layout(tmp_path)
    with pytest.raises(UserError, match=r"b\.tfrecord: .* is no file"):
        tfrecords.list_records(tmp_path)


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_records_are_read_as_tensorflow_wrote_them(tmp_path, name):
    content = [os.urandom(size) for size in (0, 1, 100, 2**20)]
    path = write(tmp_path / name, *content)
    assert list(tfrecords.read_records(str(path))) == content
    (tmp_path / name).write_bytes(b"" if name == "a.tfrecord" else gzip.compress(b""))
    assert list(tfrecords.read_records(str(path))) == []


DAMAGED = {
    "a length of 2^40": (frame(2**40) + b"x" * 100, "a record of 1099511627776 bytes"),
    "a length of 2^64 - 1": (frame(2**64 - 1), "a record of 18446744073709551615 bytes"),
    "a byte above the limit": (frame(tfrecords.MAX_RECORD + 1), "at most 268435456 are allowed"),
    "a length behind the end": (frame(2**20) + b"x" * 100, "ends within a record"),
    "no checksum behind": (frame(3) + b"xyz", "ends within a record"),
    "half a header": (frame(3)[:7], "ends within a record"),
    "another checksum": (frame(3, 7) + b"xyz1234", "the checksum of its length is wrong"),
    "a text": (b"Dear colleague, these are the records.", "there is no record"),
    "zeros": (bytes(10_000), "there is no record"),
}


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_with_a_broken_frame_is_named_with_what_comes_before(tmp_path, name, damage):
    tail, message = DAMAGED[damage]
    path = write(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole + (gzip.compress(tail) if name.endswith("gz") else tail))
    read = []
    with pytest.raises(UserError) as caught:
        read.extend(tfrecords.read_records(str(path)))
    assert f"{name}: damaged after record 2: " in str(caught.value)
    assert message in str(caught.value)
    assert "2 records" in str(caught.value)


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = write(tmp_path / name, *[os.urandom(5000) for _ in range(9)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(UserError, match=f"{name}: damaged after record 5"):
        list(tfrecords.read_records(str(path)))


def test_a_gzip_that_is_none_is_named(tmp_path):
    for content in (b"no gzip at all", gzip.compress(b"no record at all, but long enough")):
        (tmp_path / "a.tfrecord.gz").write_bytes(content)
        with pytest.raises(UserError, match="damaged after record 0"):
            list(tfrecords.read_records(str(tmp_path / "a.tfrecord.gz")))


def test_a_gzip_that_grows_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "_MAX_INFLATED", 2**20)
    path = write(tmp_path / "a.tfrecord.gz", *[bytes(2**19)] * 40)
    with pytest.raises(UserError, match=r"after record \d: it grows to more than 100 times"):
        list(tfrecords.read_records(str(path)))
    ordinary = write(tmp_path / "b.tfrecord.gz", *[os.urandom(2**19) for _ in range(4)])
    assert len(list(tfrecords.read_records(str(ordinary)))) == 4


def test_a_record_whose_content_is_damaged_costs_no_other(tmp_path):
    path = write(tmp_path / "a.tfrecord", b"first", b"second", b"third")
    content = bytearray(path.read_bytes())
    content[content.index(b"second")] ^= 1
    path.write_bytes(content)
    first, second, third = tfrecords.read_records(str(path))
    assert (first, third) == (b"first", b"third")
    assert isinstance(second, Rejected)
    assert str(second) == "damaged: the checksum of the record is wrong"


def test_batches_are_bound_by_number_and_by_size(monkeypatch):
    records = [(number, bytes(10)) for number in range(7)]
    sizes = [len(batch) for batch in tfrecords.batch_records(records, 3)]
    assert sizes == [3, 3, 1]
    monkeypatch.setattr(tfrecords, "MAX_RECORD", 15)
    assert [len(batch) for batch in tfrecords.batch_records(records, 3)] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    "names",
    [
        ["train-00003-of-00008", "val-00000-of-00001", "test-00000-of-00001"],
        ["data-00000-of-00002.tfrecord"],
        ["a/x-00001-of-00002.tfrecord.gz", "b/x-00000-of-00002.tfrecord.gz"],
    ],
)
def test_a_set_that_lacks_files_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, b"x")
    for look in (tfrecords.find_layout, tfrecords.list_records):
        with pytest.raises(UserError, match=r"of the \d files of .* are missing, such as"):
            look(tmp_path)


def test_capitals_in_an_extension_hide_no_records(tmp_path):
    write(tmp_path / "a.tfrecord", b"x")
    write(tmp_path / "b.TFRECORD", b"x")
    assert tfrecords.find_layout(tmp_path).files == ("a.tfrecord", "b.TFRECORD")


def test_records_that_hold_nothing_are_not_counted_for_hours(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "_MOST_SHORT", 10)
    empty = write(tmp_path / "a.tfrecord", *[b""] * 11)
    with pytest.raises(UserError, match="11 records in a row are too short for an image"):
        list(tfrecords.read_records(str(empty)))
    mixed = write(tmp_path / "b.tfrecord", *[*[b""] * 10, bytes(100)] * 3)
    assert len(list(tfrecords.read_records(str(mixed)))) == 33
