"""Heads trained on one site and judged on each."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.trainer import examples, site_transfer
from tfxray.components.transform.preprocessing import first_values

WIDTH = 4
SPEC = {
    contract.EMBEDDING: tf.io.FixedLenFeature([WIDTH], tf.float32),
    contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
    contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
}
KNOWN = {
    contract.HOSPITAL: tf.io.FixedLenFeature([1], tf.string),
    contract.OWNER: tf.io.FixedLenFeature([1], tf.int64),
}


def split(folder, sites, seed, known=True):
    """Two images per patient. A site shows its findings in a dimension of its own, by its place."""
    folder.mkdir()
    random, options = np.random.default_rng(seed), tf.io.TFRecordOptions("GZIP")
    with tf.io.TFRecordWriter(str(folder / "a.gz"), options) as out:
        for place, (site, patients) in enumerate(sites.items()):
            for number in range(2 * patients):
                owner, label = 1000 * place + number // 2, number // 2 % 2
                embedding = random.normal(size=WIDTH)
                embedding[place] += 4 * label
                own = [tf.train.Feature(int64_list=tf.train.Int64List(value=[v]))
                       for v in (label, 2 * owner + number % 2, owner)]  # fmt: skip
                features = {
                    contract.EMBEDDING: tf.train.Feature(
                        float_list=tf.train.FloatList(value=embedding)
                    ),
                    contract.HOSPITAL: tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[site.encode("latin-1")])
                    ),
                    **dict(zip((contract.TARGET, contract.KEY, contract.OWNER), own, strict=True)),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                out.write(example.SerializeToString())
    return examples.Examples([str(folder / "*.gz")], {**SPEC, **(KNOWN if known else {})}, 0)


def measure(tmp_path, training, validation=None, least=10, known=True):
    return site_transfer.measure_transfer(
        split(tmp_path / "train", training, 1, known),
        split(tmp_path / "eval", validation or training, 2, known),
        least,
        seed=0,
    )


def test_what_one_site_teaches_tells_less_about_a_site_that_shows_it_elsewhere(tmp_path):
    table = measure(tmp_path, {"north": 100, "south": 80}, {"north": 60, "south": 60})
    assert [row.site for row in table.rows] == ["north", "south", None]
    cells = {(row.site, cell.site): cell for row in table.rows for cell in row.cells}
    auc = {pair: cell.auc for pair, cell in cells.items()}
    for here, there in (("north", "south"), ("south", "north")):
        assert auc[here, here].value > 0.97
        assert auc[None, here].value > 0.9
        assert auc[here, there].low < auc[here, there].value < auc[here, there].high
        assert auc[here, there].high < auc[there, there].low
    assert (table.rows[1].images, table.rows[1].patients) == (160, 80)
    assert (cells["north", "south"].images, cells["north", "south"].patients) == (120, 60)


def test_a_site_of_few_patients_neither_trains_nor_is_judged(tmp_path):
    table = measure(
        tmp_path, {"north": 60, "tiny": 18, "": 40}, {"north": 18, "tiny": 60, "new": 40}
    )
    assert [row.site for row in table.rows] == ["north", None]
    assert {cell.site for cell in table.rows[0].cells} == {"tiny", "new"}
    assert table.left_out == ["tiny", "new"]
    assert table.rows[-1].patients == 60 + 18 + 40  # of an unknown site, yet training images


@pytest.mark.parametrize(
    ("training", "known", "reason"),
    [
        ({"north": 40}, True, "all images come from one site, north"),
        ({"": 40}, True, "the data names no site"),
        ({"north": 40, "south": 10}, True, "evaluate.min_patients"),
        ({"north": 40, "south": 40}, False, "tensor_representation_group"),
    ],
)
def test_where_there_is_no_table_it_says_why(tmp_path, training, known, reason):
    table = measure(tmp_path, training, known=known)
    assert table.rows == []
    assert reason in table.reason


def test_a_split_larger_than_the_memory_is_drawn_from(tmp_path, monkeypatch):
    monkeypatch.setattr(site_transfer, "_VALUES", 100 * WIDTH)
    table = measure(tmp_path, {"north": 60, "south": 60})
    assert table.rows[-1].images == 100
    json.dumps(dataclasses.asdict(table))  # as Trainer writes it


def test_a_name_in_another_encoding_costs_no_run(tmp_path):
    table = measure(tmp_path, {"Lübeck": 40, "south": 40})
    assert {row.site for row in table.rows} == {"L\ufffdbeck", "south", None}


def test_the_first_of_several_texts_counts_and_none_is_empty():
    values = tf.sparse.from_dense([["a", "b"], ["", ""], ["c", ""]])
    assert first_values(values, tf.constant(3)).numpy().tolist() == [b"a", b"", b"c"]
    nothing = tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.constant([], tf.string), [2, 0])
    assert first_values(nothing, tf.constant(2)).numpy().tolist() == [b"", b""]
