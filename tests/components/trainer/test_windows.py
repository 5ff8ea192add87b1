"""A split that is larger than a window: as well mixed, as repeatable, and never all on disk."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.trainer import examples, windows
from tfxray.components.trainer.distributed import in_step

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


class Meeting:
    """Hosts that meet to gather their counts, each in a thread of its own."""

    def __init__(self, hosts):
        self._barrier, self._counts = threading.Barrier(hosts, timeout=60), {}

    def host(self, number):
        def gather(counts):
            self._barrier.wait()
            self._counts[number] = counts
            self._barrier.wait()
            return np.stack([self._counts[place] for place in sorted(self._counts)])

        return in_step.Hosts(number, self._barrier.parties, gather)


def on_hosts(files, count, monkeypatch):
    """Each host's split, and the files that it opened."""
    meeting, splits, opened = Meeting(count), {}, {}
    parse = examples.Examples._parse_records

    def remember(self, paths):
        opened.setdefault(threading.get_ident(), []).extend(paths)
        return parse(self, paths)

    monkeypatch.setattr(examples.Examples, "_parse_records", remember)

    def read(number):
        splits[number] = examples.Examples(files, SPEC, 0, hosts=meeting.host(number))
        opened[number] = opened.pop(threading.get_ident())

    threads = [threading.Thread(target=read, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(splits[number], opened[number]) for number in range(count)]


def test_each_host_reads_a_part_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_BYTES", 2 * COUNT // BUCKETS * 4 * WIDTH)
    files = write(tmp_path / "a", 1, 2)
    hosts = on_hosts(files, 2, monkeypatch)
    opened = [set(paths) for _, paths in hosts]
    assert not opened[0] & opened[1]
    assert opened[0] | opened[1] == {str(path) for path in (tmp_path / "a").iterdir()}
    splits = [split for split, _ in hosts]
    sizes = [len(split) for split in splits]
    assert sum(sizes) == COUNT
    assert sizes[0] != sizes[1]  # so that one of them runs out before the other
    assert all(split.label_counts.tolist() == [[COUNT // 2]] * 2 for split in splits)
    # Batches of 31 are 15 and 16 of two hosts with two replicas each.
    steps = {split.steps(31) for split in splits}
    assert len(steps) == 1
    count = steps.pop()
    passes = []
    for number, split in enumerate(splits):
        order = examples.Order(31, 3, np.ones((len(split), 1), np.float32))
        share = examples.Share(2 * number, 2, 4)
        parts = list(split.passes(order, 0, share).take(2 * count * 2).as_numpy_iterator())
        again = list(split.passes(order, 7, share).take(2).as_numpy_iterator())
        assert all(np.array_equal(a, b) for a, b in zip(parts[14], again[0], strict=True))
        passes.append(parts)
    of_pass = [[], []]
    for step in range(2 * count):
        parts = [part for parts in passes for part in parts[2 * step : 2 * step + 2]]
        assert all(len(inputs) for inputs, *_ in parts)
        weights = np.concatenate([weight[:, 0] for *_, weight in parts])
        assert weights.sum() == pytest.approx(1)
        assert len(set(weights[weights > 0])) == 1
        whole = np.concatenate([inputs[:, 0] for inputs, *_ in parts])
        of_pass[step // count] += whole[weights > 0].astype(int).tolist()
    assert sorted(of_pass[0]) == sorted(of_pass[1]) == list(range(COUNT))
    plain = [list(s.plain(31, share=examples.Share(2 * n, 2, 4))) for n, s in enumerate(splits)]
    assert len(plain[0]) == len(plain[1]) == 2 * count
    assert sorted(numbers(plain[0]) + numbers(plain[1])) == list(range(COUNT))


def test_hosts_all_read_a_split_that_fits(tmp_path, monkeypatch):
    files = write(tmp_path / "a", 1, 1)
    for split, opened in on_hosts(files, 2, monkeypatch):
        assert len(opened) == BUCKETS
        assert len(split) == COUNT
        assert split.steps(31) == -(-COUNT // 31)
