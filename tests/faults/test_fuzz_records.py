"""A few of the records of `fuzz_records.py`, through an ingest and what nodes parse."""

import random

import tensorflow as tf
from tfx_bsl.coders import example_coder

from tests.faults import fuzz_records
from tfxray.components.common import contract
from tfxray.components.ingest import job
from tfxray.components.source import labelling
from tfxray.components.transform import preprocessing


def test_damaged_files_are_refused_or_read_as_they_were(tmp_path):
    draws = random.Random(1)
    records = [draws.randbytes(draws.randrange(200)) for _ in range(20)]
    fates = fuzz_records.read_damaged_files(tmp_path, records, 300, draws)
    assert fates.total() == 300
    assert min(fates["refused"], fates["set aside"]) > 30


def test_damaged_records_are_used_or_set_aside_and_none_is_lost(tmp_path):
    draws = random.Random(2)
    good = fuzz_records.good_records(tmp_path / "drawn", 20)
    damaged = [fuzz_records.damage(draws.choice(good), draws) for _ in range(150)]
    kept = list(fuzz_records.keeping_contract(damaged))
    assert 0 < len(kept) < 75
    whole = [example.SerializeToString() for example in good]
    fuzz_records.write(tmp_path / "in" / "a.tfrecord", [*whole, *damaged])
    report = job.ingest(
        tmp_path / "in", tmp_path / "out", labelling.Rules(fuzz_records.TASK.names), {}
    )
    files = [str(path) for path in (tmp_path / "out").rglob("*.tfrecord")]
    written = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    assert len(written) + report.rejected == report.images == len(whole) + 150
    assert report.rejected > 20
    # What StatisticsGen, the served graph and Transform do with a record, in their order.
    for records in ([*whole, *kept], written):
        batch = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(records)
        assert batch.num_rows == len(records)
        spec = {
            contract.IMAGE: tf.io.FixedLenFeature([], tf.string),
            contract.LABEL: tf.io.FixedLenFeature([], tf.int64),
            contract.SITE: tf.io.VarLenFeature(tf.string),
        }
        parsed = tf.io.parse_example(records, spec)
        for encoded in parsed[contract.IMAGE]:
            assert preprocessing.decode_pixels(encoded, 32).shape == (32, 32, 1)
        for site in parsed[contract.SITE].values.numpy():
            assert site.decode()
