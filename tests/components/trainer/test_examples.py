import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.trainer import examples, objective

SIZE = 8


def write(path, records):
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for features in records:
            writer.write(
                tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
            )


def number(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


@pytest.fixture
def images(tmp_path):
    """Twenty grey images, each of the level of its number; every fourth is positive."""
    records = []
    for i in range(20):
        png = tf.io.encode_png(np.full((SIZE, SIZE, 1), i, np.uint8)).numpy()
        pixels = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
        records.append(
            {
                contract.PIXELS: pixels,
                contract.TARGET: number(int(i % 4 == 0)),
                contract.KEY: number(i),
            }
        )
    write(tmp_path / "a.gz", records)
    spec = {
        contract.PIXELS: tf.io.FixedLenFeature([], tf.string),
        contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
    }
    return examples.Examples([str(tmp_path / "*.gz")], spec, SIZE)


def ones(count):
    return np.ones((count, 1), np.float32)


def steps(split, order, first, count):
    return list(split.passes(order, first).take(count).as_numpy_iterator())


def levels(batches):
    return [int(level) for inputs, *_ in batches for level in inputs[:, 0, 0, 0]]


def test_each_pass_holds_every_example_once_in_an_order_of_its_own(images):
    order = examples.Order(batch=6, seed=1, weights=ones(20))
    assert images.steps(6) == 4
    batches = steps(images, order, 0, 8)
    assert [len(inputs) for inputs, *_ in batches] == [6, 6, 6, 2] * 2
    for inputs, goals, _ in batches:
        assert np.array_equal(inputs[:, 0, 0, 0] % 4 == 0, goals[:, 0] == 1)
    first, second = levels(batches[:4]), levels(batches[4:])
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    other = levels(steps(images, examples.Order(batch=6, seed=2, weights=ones(20)), 0, 4))
    assert other != first


def test_examples_that_come_sorted_by_class_leave_mixed(tmp_path):
    records = []
    for i in range(2000):
        png = tf.io.encode_png(np.full((2, 2, 1), i % 256, np.uint8)).numpy()
        pixels = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
        records.append(
            {
                contract.PIXELS: pixels,
                contract.TARGET: number(int(i >= 1000)),
                contract.KEY: number(i),
            }
        )
    write(tmp_path / "a.gz", records)
    spec = {
        contract.PIXELS: tf.io.FixedLenFeature([], tf.string),
        contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
    }
    sorted_ones = examples.Examples([str(tmp_path / "*.gz")], spec, 2)
    order = examples.Order(batch=100, seed=1, weights=ones(2000))
    shares = [goals.mean() for _, goals, _ in steps(sorted_ones, order, 0, 20)]
    assert min(shares) > 0.3
    assert max(shares) < 0.7


@pytest.mark.parametrize("first", [1, 3, 4, 6, 9])
def test_training_may_begin_at_any_step(images, first):
    how = Distortions(rotation=20, width_shift=0.3, noise=4, brightness=0.2)
    order = examples.Order(batch=6, seed=3, weights=ones(20), distortions=how)
    whole, rest = steps(images, order, 0, 12), steps(images, order, first, 12 - first)
    for one, other in zip(whole[first:], rest, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a, b)


def test_weights_sum_to_the_mean_over_the_batch(images):
    weights = [20 / (2 * 15), 20 / (2 * 5)]
    order = examples.Order(
        6, 1, objective.weigh_labels(images.labels, images.label_counts, False, True)
    )
    for inputs, goals, batch_weights in steps(images, order, 0, 4):
        positive = goals[:, 0] == 1
        assert np.allclose(batch_weights[:, 0] * len(inputs), np.where(positive, *weights[::-1]))


def test_of_a_plain_and_its_distorted_embeddings_one_is_drawn(tmp_path):
    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    records = [
        {
            contract.EMBEDDING: floats([i, 0.0]),
            contract.DISTORTED: floats([i, 1.0, i, 2.0]),
            contract.TARGET: number(i % 2),
            contract.KEY: number(i),
        }
        for i in range(30)
    ]
    write(tmp_path / "a.gz", records)
    spec = {
        contract.EMBEDDING: tf.io.FixedLenFeature([2], tf.float32),
        contract.DISTORTED: tf.io.FixedLenFeature([2, 2], tf.float32),
        contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
    }
    embeddings = examples.Examples([str(tmp_path / "*.gz")], spec, SIZE)
    plain = np.concatenate([x for x, _ in embeddings.plain(8).as_numpy_iterator()])
    assert np.array_equal(plain, [[i, 0] for i in range(30)])
    order = examples.Order(batch=8, seed=1, weights=ones(30))
    epoch = np.concatenate([x for x, *_ in steps(embeddings, order, 0, 12)])
    assert set(epoch[:, 1]) == {0, 1, 2}
    assert sorted(epoch[:30, 0]) == list(range(30))


def test_the_shares_of_all_hosts_make_the_batches_of_one(images):
    order = examples.Order(
        6, 1, np.array([[1.0], [3.0]])[images.labels[:, 0]], Distortions(rotation=20, noise=5)
    )
    whole = steps(images, order, 2, 3)
    # Two hosts of two replicas each; the last batch of a pass has two images for the four.
    hosts = [
        list(images.passes(order, 2, examples.Share(first, 2, 4)).take(6).as_numpy_iterator())
        for first in (0, 2)
    ]
    for step, batch in enumerate(whole):
        parts = [part for host in hosts for part in host[2 * step : 2 * step + 2]]
        assert all(len(inputs) for inputs, *_ in parts)
        weighted_parts = [[values[weights[:, 0] > 0] for values in (*part, weights)]
                   for *part, weights in parts]  # fmt: skip
        for number, values in enumerate(batch):
            assert np.allclose(np.concatenate([part[number] for part in weighted_parts]), values)
    plain = [list(images.plain(6, share=examples.Share(host, 1, 2))) for host in (0, 1)]
    levels = [int(level) for pair in zip(*plain, strict=True)
              for inputs, _ in pair for level in inputs[:, 0, 0, 0]]  # fmt: skip
    assert levels == list(range(20))


def _shuffled(folder, rng, named, shards):
    """Thirty records, each with an embedding and a label of its own, in any order in any files."""
    names = [b"b/%02d.png" % (i % 29) for i in range(30)]  # one name stands for two images
    records = [
        {
            contract.EMBEDDING: tf.train.Feature(float_list=tf.train.FloatList(value=[i, i / 7])),
            contract.TARGET: number(i % 2),
            contract.KEY: number((i * 7919) % 101),
            **({contract.NAME: text(names[i])} if named else {}),
        }
        for i in range(30)
    ]
    rng.shuffle(records)
    folder.mkdir()
    for shard in range(shards):
        write(folder / f"{shard}.gz", records[shard::shards])
    spec = {
        contract.EMBEDDING: tf.io.FixedLenFeature([2], tf.float32),
        contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
        **({contract.NAME: tf.io.FixedLenFeature([1], tf.string)} if named else {}),
    }
    return examples.Examples([str(folder / "*.gz")], spec, SIZE)


def text(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


@pytest.mark.parametrize("named", [True, False])
def test_the_order_of_the_records_does_not_decide_the_batches(tmp_path, named):
    rng = np.random.default_rng(1)
    one, other = (_shuffled(tmp_path / str(n), rng, named, shards=n) for n in (1, 4))
    assert one.keys.tolist() == other.keys.tolist()
    assert one.labels.tolist() == other.labels.tolist()
    order = examples.Order(batch=7, seed=1, weights=ones(30))
    for batches in (lambda split: steps(split, order, 0, 10), lambda split: list(split.plain(4))):
        for a, b in zip(batches(one), batches(other), strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    first = np.concatenate([inputs for inputs, _ in one.plain(30)])[:, 0]
    if named:  # by name, and where two share one, by key
        assert first.tolist() == [0, 29, *range(1, 29)]
    else:
        assert (np.diff(one.keys) > 0).all()
