"""A split that is larger than a window: as well mixed, as repeatable, and never all on disk."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.trainer import examples, windows

BUCKETS, COUNT, WIDTH = 16, 400, 3
SPEC = {
    contract.EMBEDDING: tf.io.FixedLenFeature([WIDTH], tf.float32),
    contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
    contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
    contract.NAME: tf.io.FixedLenFeature([1], tf.string),
}


def write(folder, seed, shards):
    """The same examples for every seed, each in its bucket, in any order in any shard."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    buckets = [[] for _ in range(BUCKETS)]
    for i in range(COUNT):
        key = (i * 7919) % 100_003
        feature = tf.train.Example().features.feature
        feature[contract.EMBEDDING].float_list.value.extend([i, i / 2, i / 3])
        feature[contract.TARGET].int64_list.value.append(int(i >= COUNT // 2))
        feature[contract.KEY].int64_list.value.append(key)
        feature[contract.NAME].bytes_list.value.append(b"%05d.png" % i)
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        buckets[key % BUCKETS].append(example.SerializeToString())
    for number, records in enumerate(buckets):
        rng.shuffle(records)
        for shard in range(shards):
            name = f"x{contract.BUCKET.format(number, BUCKETS)}{rng.integers(10**9)}.gz"
            with tf.io.TFRecordWriter(str(folder / name), "GZIP") as writer:
                for record in records[shard::shards]:
                    writer.write(record)
    return [str(folder / "*.gz")]


@pytest.fixture
def small_windows(monkeypatch):
    """Of a quarter of a bucket more than two buckets: seven or so windows, of which three stay."""
    monkeypatch.setattr(windows, "WINDOW_BYTES", 2 * COUNT // BUCKETS * 4 * WIDTH)


def numbers(batches):
    return [int(x) for inputs, *_ in batches for x in inputs[:, 0]]


def train(split, first, count):
    order = examples.Order(batch=30, seed=3, weights=np.ones((COUNT, 1), np.float32))
    return list(split.passes(order, first).take(count).as_numpy_iterator())


@pytest.mark.usefixtures("small_windows")
def test_a_pass_holds_each_example_once_mixed_and_repeatable(tmp_path):
    split = examples.Examples(write(tmp_path / "a", 1, 1), SPEC, 0)
    other = examples.Examples(write(tmp_path / "b", 2, 3), SPEC, 0)  # by another runner
    assert split._windows.count > windows._AT_HAND
    steps = split.steps(30)
    batches = train(split, 0, 2 * steps)
    first, second = numbers(batches[:steps]), numbers(batches[steps:])
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second
    for inputs, goals, _ in batches:
        assert np.array_equal(inputs[:, 0] >= COUNT // 2, goals[:, 0] == 1)
        assert 0.1 < goals.mean() < 0.9
    for begin in (0, 5, steps, steps + 9):
        for again in (split, other):
            for one, two in zip(
                batches[begin:], train(again, begin, 2 * steps - begin), strict=True
            ):
                assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    plain = [list(part.plain(32).as_numpy_iterator()) for part in (split, other)]
    assert sorted(numbers(plain[0])) == list(range(COUNT))
    assert numbers(plain[0]) == numbers(plain[1])
    assert numbers(split.plain(32, np.array([5, 200, 399]))) == [
        numbers(plain[0])[place] for place in (5, 200, 399)
    ]


@pytest.mark.usefixtures("small_windows")
def test_the_disk_holds_a_few_windows_and_no_more(tmp_path, monkeypatch):
    live, most, lock = [0], [0], threading.Lock()

    class Counted(windows.Scratch):
        def add(self, content):
            super().add(content)
            with lock:
                live[0] += len(content)
                most[0] = max(most[0], live[0])

        def __del__(self):
            with lock:
                live[0] -= self.size

    monkeypatch.setattr(windows, "Scratch", Counted)
    split = examples.Examples(write(tmp_path / "a", 1, 1), SPEC, 0)
    train(split, 0, 3 * split.steps(30))
    numbers(split.plain(30))
    whole = COUNT * 4 * WIDTH
    # Those at hand, and one that is not yet let go of.
    largest = np.diff(split._windows.starts).max() * 4 * WIDTH
    assert most[0] <= (windows._AT_HAND + 1) * largest < whole


def test_a_split_that_fits_is_one_window_sorted_by_name(tmp_path):
    split = examples.Examples(write(tmp_path / "a", 1, 2), SPEC, 0)
    assert numbers(split.plain(64)) == list(range(COUNT))
    assert split._windows.count == 1


def test_no_file_at_all_is_an_empty_split(tmp_path):
    split = examples.Examples([str(tmp_path / "*.gz")], SPEC, 0)
    assert len(split) == 0
    assert split.labels.shape == (0, 1)
    assert list(split.plain(8)) == []
