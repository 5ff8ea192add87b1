"""Counts, rejects and copies are the same, however many parts they are made in."""

import json
import os
import random
import shutil

import tensorflow as tf

from tests.components.ingest.test_job import CLASSES, examples
from tfxray.components.common import contract
from tfxray.components.ingest import job, rewriting, summary
from tfxray.components.ingest.duplicates import Entry, find_duplicates, find_moves
from tfxray.components.jobs import packing
from tfxray.components.source import labelling


def test_buckets_change_nothing(drawn, tmp_path, monkeypatch):
    source = tmp_path / "in"
    for folder in (source / split / name for split in ("train", "test") for name in CLASSES):
        folder.mkdir(parents=True)
    for number, path in enumerate(sorted(drawn.rglob("*.png"))[::2]):
        split = ("train", "test", "train")[number % 3]
        shutil.copy(path, source / split / path.parent.name / path.name)
        if number % 10 == 0:  # in another split, and of another class
            shutil.copy(path, source / "test" / path.parent.name / f"copy-{path.name}")
        if number % 30 == 0:
            other = CLASSES[path.parent.name == CLASSES[0]]
            shutil.copy(path, source / "train" / other / f"other-{path.name}")
    for number in range(40):
        name = os.fsdecode(b"caf\xe9%02d.png" % number)
        (source / "train" / CLASSES[number % 2] / name).write_bytes(b"no image"[:number])
    rules = labelling.Rules(CLASSES, eval_from_train=0.3, pattern=r"(?P<patient>[A-Z]?\d+)")
    reports, rejects, records = [], [], []
    for per_bucket in (20_000, 7):
        monkeypatch.setattr(summary, "_PER_BUCKET", per_bucket)
        monkeypatch.setattr(packing, "_HELD", per_bucket)
        out = tmp_path / f"out-{per_bucket}"
        reports.append(job.ingest(source, out, rules))
        rejects.append((out / "rejects.csv").read_bytes())
        records.append([e[contract.FILENAME].bytes_list.value[0] for e in examples(out)])
        assert not (out / ".work").exists()
    assert reports[0] == reports[1]
    assert rejects[0] == rejects[1]
    assert records[0] == records[1]
    assert len(rejects[0].splitlines()) == 1 + reports[0].rejected
    assert {"duplicate", "empty", "not_an_image"} <= reports[0].reasons.keys()


def test_who_reads_first_decides_nothing():
    index = [
        Entry("a", "1", "NORMAL", "train", "p", f"x-0000{n // 20}#{n % 20}", "0" * 64)
        for n in range(40)
    ]
    index += [Entry("a", "1", "NORMAL", "eval", "q", f"y#{n}", "0" * 64) for n in range(12)]
    told = find_duplicates(index), list(find_moves(index))
    for seed in range(5):
        shuffled = random.Random(seed).sample(index, len(index))
        assert find_duplicates(shuffled) == told[0]
        assert list(find_moves(shuffled)) == told[1]
    assert told[0][0][1] == "same pixels as y#0 (in eval)"
    assert [entry.place for entry, _ in told[0][:11]] == [f"x-00000#{n}" for n in range(11)]


def record(name):
    features = tf.train.Example().features
    message = tf.train.Example(features=features)
    for key, value in (
        (contract.FILENAME, name), (contract.SHA256, f"sha {name}"), (contract.PATIENT, "p"),
    ):  # fmt: skip
        message.features.feature[key].bytes_list.value.append(value.encode())
    return message.SerializeToString()


def write(path, names):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            writer.write(record(name))


def read(folder):
    return {
        path.relative_to(folder).as_posix(): [
            tf.train.Example.FromString(r).features.feature[contract.FILENAME].bytes_list.value[0]
            for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        ]
        for path in sorted(folder.rglob("*.tfrecord"))
    }


def test_only_files_that_hold_what_goes_are_written_again(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write(out / "train" / "data-0.tfrecord", ["a", "b", "c"])
    write(out / "train" / "data-1.tfrecord", ["d", "e"])
    write(out / "eval" / "data-0.tfrecord", ["f", "g"])
    untouched = (out / "train" / "data-1.tfrecord").stat()
    parts = summary.Parts(str(out / ".work"))
    gone = Entry("sha b", "b", "NORMAL", "train", "p")
    moved = Entry("sha g", "g", "NORMAL", "eval", "p")
    parts.write(0, "copies", [gone.fields()])
    parts.write_moves(0, [(moved, "train")])
    expected = {
        "eval/data-0.tfrecord": [b"f"], "train/data-0.tfrecord": [b"a", b"c"],
        "train/data-1.tfrecord": [b"d", b"e"], "train/moved-data-0.tfrecord": [b"g"],
    }  # fmt: skip
    for _ in range(2):  # a worker may do it twice
        rewriting.rewrite_records(str(out), parts, ())
        assert read(out) == expected
    after = (out / "train" / "data-1.tfrecord").stat()
    assert (after.st_ino, after.st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)


def test_counts_of_parts_add_up(tmp_path):
    parts = summary.Parts(str(tmp_path))
    for bucket in range(3):
        counts = summary.Counts(largest_patient=bucket, without_patient=1)
        counts.written["train"] = bucket
        counts.note(summary.SEEN, "", 5)
        for number in range(4):
            counts.note_image("odd", f"{number}{bucket}")
            counts.add_broken(f"{number}{bucket}")
        parts.write(bucket, "counts", [vars(counts)])
    total = parts.counts()
    assert json.loads(json.dumps(vars(total))) == {
        "written": {"train": 3}, "labels": {}, "without_patient": 3, "largest_patient": 2,
        "copies": 0, "moves": 0, "reasons": {}, "other_view": 0, "notes": {"seen": {"": 15}},
        "image_notes": {"odd": 12}, "noted": {"odd": ["00", "01", "02", "10", "11"]},
        "broken": 12, "faults": ["00", "01", "02", "10", "11", "12", "20", "21", "22", "30"],
    }  # fmt: skip
