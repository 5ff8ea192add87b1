"""TFRecords that another program wrote, through the whole pipeline."""

import csv
import json

import tensorflow as tf

from tests.components.ingest.test_record_check import BROKEN, FULL, record
from tests.components.source.test_tfrecords import frame


def test_tf_slim_records_of_another_program_are_taken_as_they_are(
    tfxray, drawn, quick_config, tmp_path
):
    """TF-slim's build_image_data.py: its features, its file names, nothing of ours."""
    folder = tmp_path / "slim"
    folder.mkdir()
    shares = {"train": slice(0, 180), "validation": slice(180, 240), "test": slice(240, 300)}
    files = sorted(drawn.rglob("*.png"), key=lambda p: p.name)  # by patient, classes mixed
    for split, share in shares.items():
        name = str(folder / f"{split}-00000-of-00001")
        with tf.io.TFRecordWriter(name) as writer:
            for path in files[share]:
                writer.write(slim(path).SerializeToString())
    done = tfxray(
        "run", "--config", quick_config, "--data", folder, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    summary = json.loads(done.out.strip().splitlines()[-1])
    assert done.code == 0, done.err
    assert summary["examples"] == {"train": 180, "eval": 60, "test": 60, "rejected": 0}
    assert "name no patient" in done.err


def test_bad_records_are_set_aside_and_the_run_goes_on(tfxray, drawn, quick_config, tmp_path):
    """Each of these ended a node: StatisticsGen, Transform, or Evaluator behind the training."""
    folder, out = tmp_path / "records", tmp_path / "out"
    folder.mkdir()
    bad = ["image: cut PNG", "image doubled", "label as float", "label one-hot", "site not UTF-8"]
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        for path in sorted(drawn.rglob("*.png")):
            writer.write(slim(path).SerializeToString())
        for what in bad:
            writer.write(record(**{**FULL, **BROKEN[what]}))
    done = tfxray(
        "run", "--config", quick_config, "--data", folder, "--out", out, "--json", "--to",
        "Transform",
    )  # fmt: skip
    summary = json.loads(done.out.strip().splitlines()[-1])
    assert done.code == 0, done.err
    assert summary["examples"]["rejected"] == len(bad)
    assert "a.tfrecord, record 300: " in done.err
    (rejects,) = out.glob("data/records-*/rejects.csv")
    names = [row["name"] for row in csv.DictReader(rejects.open())]
    assert names == [f"a.tfrecord#{300 + number}" for number in range(len(bad))]

    whole = (folder / "a.tfrecord").read_bytes()
    (folder / "a.tfrecord").write_bytes(whole + frame(2**40) + bytes(100))
    done = tfxray("run", "--config", quick_config, "--data", folder, "--out", out)
    assert done.code == 2
    assert "a.tfrecord: damaged after record 305: a record of 1099511627776 bytes" in done.err


def slim(path):
    values = {
        "image/height": 96, "image/width": 96,
        "image/colorspace": b"Grayscale", "image/channels": 1,
        "image/class/label": int(path.parent.name == "PNEUMONIA"),
        "image/class/text": path.parent.name.encode(), "image/format": b"PNG",
        "image/filename": path.name.encode(), "image/encoded": path.read_bytes(),
    }  # fmt: skip
    example = tf.train.Example()
    for key, value in values.items():
        kind = "int64_list" if isinstance(value, int) else "bytes_list"
        getattr(example.features.feature[key], kind).value.append(value)
    return example
