"""What Trainer reads: Transform's examples as batches, in an order that the seed alone decides.

The runner that ran Transform does not: an example's place is that of its file's name among all
names of its window, and a small split is one window.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.networks.distortions import DRAWS, distort
from tfxray.components.trainer import objective, windows
from tfxray.components.trainer.distributed.in_step import ALONE, Hosts, Share


@dataclasses.dataclass(frozen=True)
class Order:
    """The order and the distortions of training examples.

    Attributes:
        batch: Examples per step, over all replicas.
        seed: The seed of order and distortions.
        weights: One per label, [n, outputs], or [n, 1] for all of a row; see
            `objective.weigh_labels`.
        distortions: Of images; embeddings come distorted from Transform.
    """

    batch: int
    seed: int
    weights: np.ndarray
    distortions: Distortions = dataclasses.field(default_factory=Distortions)


# Autograph would rewrite these functions, and all that they call, for nothing.
_as_written = tf.autograph.experimental.do_not_convert

# Transform's outputs for each example besides its inputs; all but the first two may be missing.
_COLUMNS = (
    contract.TARGET, contract.KEY, contract.NAME, contract.HOSPITAL, contract.PROJECTION,
    contract.OWNER,
)  # fmt: skip


class Examples:
    """One split of Transform's examples: in each window sorted by their files' names and `key`.

    Memory holds the attributes below; `windows.Windows` holds the inputs. Of a large split, each of
    several hosts reads a part of its own, and takes its part of each batch from that.

    Attributes:
        kind: Of the inputs: `pixels` or `embedding`.
        columns: Transform's `key` and, where there are such, `hospital`, `projection` and
            `owner`, [n].
        labels: int8 [n, outputs], 1 or 0, or -1 where the label is not known. Of two classes, a
            column tells the positive one; of more, each class has one; and so has each finding.
        label_counts: Of the whole split, see `objective.count_labels`.
    """

    def __init__(
        self,
        files: Sequence[str],
        spec: Mapping[str, Any],
        size: int,
        classes: int = 2,
        hosts: Hosts = ALONE,
    ):
        """Reads them once.

        Args:
            files: Patterns of TFRecords.
            spec: Transform's feature spec.
            size: Pixels on each side, where the examples are images.
            classes: How many there are, where the target is a class's number.
            hosts: Those that train together.
        """
        self.kind = contract.PIXELS if contract.PIXELS in spec else contract.EMBEDDING
        self._spec, self._size = dict(spec), size
        self._windows = windows.Windows(self._read_inputs)
        paths = [path for pattern in files for path in tf.io.gfile.glob(pattern)]
        buckets = windows.group_files(paths)
        shared = windows.may_be_shared(buckets, hosts.count)
        if shared:
            buckets = buckets[hosts.number :: hosts.count]
        tables = list(self._open_windows(buckets))
        self.columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
        self.keys, targets = self.columns[contract.KEY], self.columns.pop(contract.TARGET)
        self.labels = targets.astype(np.int8)
        if classes > 2:
            self.labels = np.eye(classes, dtype=np.int8)[targets[:, 0]]
        gather = hosts.gather if shared else ALONE.gather
        self.label_counts = gather(objective.count_labels(self.labels)).sum(0)
        # Of each host that has a part of its own.
        self._sizes = gather(np.array([len(self)]))[:, 0]
        self._host = hosts.number if shared else 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def width(self) -> int:
        """The length of an embedding."""
        return int(self._spec[contract.EMBEDDING].shape[0])

    @property
    def _embeddings(self) -> int:
        """How many embeddings an example has: the plain one, and those of distorted copies."""
        copies = self._spec.get(contract.DISTORTED)
        return 1 + (int(copies.shape[0]) if copies is not None else 0)

    def plain(
        self, batch: int, chosen: np.ndarray | None = None, share: Share | None = None
    ) -> tf.data.Dataset:
        """Examples once, in their order, undistorted: inputs [n, …], labels [n, outputs].

        Args:
            batch: Examples at a time.
            chosen: Their places; None takes all.
            share: Of one host of several; a part of a batch may then be empty.
        """
        share, (first, end) = self._own_share(share), self._own_part(batch)
        labels, starts = tf.constant(self.labels), tf.constant(self._windows.starts)

        @_as_written
        def load(places: tf.Tensor, part: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start, end = share.bounds(part, tf.size(places, tf.int64))
            places = places[start:end]
            ends = tf.searchsorted(starts, places, "right", tf.int64)
            inputs = self._read(places, ends % self._windows.count)
            if self.kind == contract.EMBEDDING:
                inputs = inputs[:, 0]
            return inputs, tf.cast(tf.gather(labels, places), tf.float32)

        every = np.arange(len(self)) if chosen is None else chosen
        places = tf.data.Dataset.from_tensor_slices(every).batch(end - first)
        if chosen is None:
            places = self._fill_up(places, batch, np.zeros(0, np.int64))
        places = places.flat_map(share.parts)
        return _ready(places.map(load, tf.data.AUTOTUNE, deterministic=True))

    def passes(self, order: Order, first_step: int, share: Share | None = None) -> tf.data.Dataset:
        """Pass after pass without end, each in an order of its own.

        A step's batch depends on the seed and on the step's number, and on nothing else: training
        may begin anywhere.

        Args:
            order: The order and the distortions.
            first_step: Where to begin.
            share: Of one host of several.

        Returns:
            Batches of inputs, labels [n, outputs] and weights, as wide as the order's. The weights
            of a batch sum to what they would as a mean over the batch, so that the loss is their
            sum: right however many examples a replica gets. No part of a batch is empty, since
            TensorFlow has no gradient of an empty one: where there are fewer examples than
            replicas, an example without weight fills the part.
        """
        share, (lead, lead_end) = self._own_share(share), self._own_part(order.batch)
        steps = self.steps(order.batch)
        sizes = tf.constant(self._sizes)
        parts = tf.constant(np.diff(self._bounds(order.batch)))
        labels, starts = tf.constant(self.labels), tf.constant(self._windows.starts)
        weights = tf.constant(order.weights, tf.float32)

        @_as_written
        def load(
            number: tf.Tensor,
            index: tf.Tensor,
            places: tf.Tensor,
            following: tf.Tensor,
            part: tf.Tensor,
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # What each host has of this batch; of one that has run out, a stand-in comes.
            every = tf.clip_by_value(sizes - index * parts, 0, parts)
            count, whole = every[self._host], tf.reduce_sum(every)
            start, end = share.bounds(part, count)
            counts = tf.cast(end > start, tf.float32) / tf.cast(whole, tf.float32)
            start = tf.maximum(tf.minimum(start, count - 1), 0)
            end = tf.maximum(end, start + 1)
            mine = places[start:end]
            seeds = [order.seed + number, index]
            inputs = self._read(mine, following[start:end])
            drawn = order.batch if len(self._sizes) > 1 else count
            inputs = self._distort(inputs, order, seeds, drawn, lead + start)
            goals = tf.cast(tf.gather(labels, mine), tf.float32)
            return inputs, goals, tf.gather(weights, mine) * counts

        def shuffle(numbers: tf.Tensor, number: tf.Tensor, window: tf.Tensor | int) -> tf.Tensor:
            seed = [order.seed + number, -1 - window]
            return tf.random.experimental.stateless_shuffle(numbers, seed)

        @_as_written
        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            every = tf.range(self._windows.count, dtype=tf.int64)
            turns = shuffle(every, number, 0)
            following = tf.concat([turns[1:], shuffle(every, number + 1, 0)[:1]], 0)

            def one_window(window: tf.Tensor, following: tf.Tensor) -> tf.data.Dataset:
                places = shuffle(tf.range(starts[window], starts[window + 1]), number, window)
                return tf.data.Dataset.from_tensor_slices(
                    (places, tf.repeat(following, tf.size(places)))
                )

            examples = tf.data.Dataset.from_tensor_slices((turns, following)).flat_map(one_window)
            first = tf.where(number == first_step // steps, first_step % steps, 0)
            stand_in = (np.zeros(1, np.int64), np.zeros(1, np.int64))
            batches = self._fill_up(examples.batch(lead_end - lead), order.batch, stand_in)
            return (
                batches.enumerate()
                .skip(tf.cast(first, tf.int64))
                .map(lambda index, example: (number, index, *example))
            )

        numbers = tf.data.Dataset.counter(first_step // steps)
        step_parts = numbers.flat_map(one_pass).flat_map(share.parts)
        return _ready(step_parts.map(load, tf.data.AUTOTUNE, deterministic=True))

    def steps(self, batch: int) -> int:
        """Batches of a pass; the last may be smaller, or the last few of hosts with own parts."""
        parts = np.diff(self._bounds(batch))
        return int(np.max(-(-self._sizes // parts)))

    def _bounds(self, batch: int) -> np.ndarray:
        """Where each host's part of a batch begins, and the last one's end."""
        return batch * np.arange(len(self._sizes) + 1) // len(self._sizes)

    def _own_part(self, batch: int) -> tuple[int, int]:
        begin, end = self._bounds(batch)[self._host : self._host + 2].tolist()
        return begin, end

    def _own_share(self, share: Share | None) -> Share:
        """A host with a part of its own shares that among its replicas alone."""
        share = share or Share()
        return Share(0, share.replicas, share.replicas) if len(self._sizes) > 1 else share

    def _fill_up(self, batches: tf.data.Dataset, batch: int, stand_in: Any) -> tf.data.Dataset:
        """A pass of as many batches as the other hosts have."""
        first, end = self._own_part(batch)
        lacking = self.steps(batch) - -(-len(self) // (end - first))
        return batches.concatenate(tf.data.Dataset.from_tensors(stand_in).repeat(lacking))

    def _open_windows(self, buckets: Sequence[Sequence[str]]) -> Iterator[dict[str, np.ndarray]]:
        """Reads the split once, window by window, and yields the columns of each, sorted."""
        files: list[str] = []
        scratch, batches = windows.Scratch(), [self._no_columns()]
        for number, bucket in enumerate(buckets or [[]], 1):
            for inputs, columns in self._parse_records(bucket):
                for content in inputs:
                    scratch.add(content)
                batches.append(columns)
            files += bucket
            if scratch.size >= windows.WINDOW_BYTES or number >= len(buckets):
                table = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
                names = table.pop(contract.NAME, None)
                rows = _sort(names, table[contract.KEY], table[contract.TARGET])
                self._windows.add(files, rows, scratch)
                yield {name: values[rows] for name, values in table.items()}
                files, scratch, batches = [], windows.Scratch(), [self._no_columns()]

    def _read_inputs(self, files: Sequence[str]) -> Iterator[bytes]:
        for inputs, _ in self._parse_records(files):
            yield from inputs

    def _parse_records(
        self, files: Sequence[str]
    ) -> Iterator[tuple[list[bytes], dict[str, np.ndarray]]]:
        """The inputs and the columns of some records at a time.

        Not by a function of TensorFlow's, which would wait for its threads: all of them may be
        waiting for this one.
        """
        if not files:
            return
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        records = tf.data.TFRecordDataset(list(files), "GZIP").batch(64).with_options(options)
        for batch in records:
            features = tf.io.parse_example(batch, self._spec)
            arrays = {name: tensor.numpy() for name, tensor in features.items()}
            inputs = arrays[self.kind]
            if self.kind == contract.EMBEDDING:
                copies = [arrays[contract.DISTORTED]] if contract.DISTORTED in arrays else []
                inputs = np.concatenate([inputs[:, np.newaxis], *copies], 1)
            columns = {n: arrays[n] for n in _COLUMNS if n in arrays}
            yield (
                [one if isinstance(one, bytes) else one.tobytes() for one in inputs],
                {n: v if n == contract.TARGET else v[:, 0] for n, v in columns.items()},
            )

    def _no_columns(self) -> dict[str, np.ndarray]:
        specs = {name: self._spec[name] for name in _COLUMNS if name in self._spec}
        shapes = {name: (0, *spec.shape[:1]) if name == contract.TARGET else (0,)
                  for name, spec in specs.items()}  # fmt: skip
        return {n: np.zeros(shapes[n], spec.dtype.as_numpy_dtype) for n, spec in specs.items()}

    def _read(self, places: tf.Tensor, following: tf.Tensor) -> tf.Tensor:
        """Pixels [n, size, size, 1], or embeddings [n, embeddings, width]; float32."""
        content = tf.numpy_function(self._windows.read, [places, following], tf.string)
        content = tf.ensure_shape(content, [None])
        if self.kind == contract.EMBEDDING:
            flat = tf.io.decode_raw(content, tf.float32)
            return tf.reshape(flat, [-1, self._embeddings, self.width])
        shape = [self._size, self._size, 1]
        pixels = tf.map_fn(
            lambda png: tf.ensure_shape(tf.io.decode_png(png, channels=1), shape),
            content,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        return tf.cast(pixels, tf.float32)

    def _distort(
        self,
        inputs: tf.Tensor,
        order: Order,
        seeds: Sequence[tf.Tensor],
        count: tf.Tensor,
        start: tf.Tensor,
    ) -> tf.Tensor:
        """A part of a batch: distorted images, or of each example one of its embeddings.

        Args:
            inputs: The part's.
            order: The order and the distortions.
            seeds: The pass's, and the batch's number.
            count: Examples of the whole batch; random numbers are drawn for all of them.
            start: Where in it the part begins.
        """
        seed, index = seeds
        end = start + tf.shape(inputs, tf.int64)[0]
        draws = tf.random.stateless_uniform([count, DRAWS], [seed, index], -1, 1)[start:end]
        if self.kind == contract.EMBEDDING:
            chosen = tf.cast((draws[:, 0] + 1) / 2 * self._embeddings, tf.int32)
            chosen = tf.minimum(chosen, self._embeddings - 1)
            return tf.gather(inputs, chosen, batch_dims=1)
        if not order.distortions.any:
            return inputs
        noise = None
        if order.distortions.noise:
            shape = tf.concat([[count], tf.shape(inputs, tf.int64)[1:]], 0)
            noise = tf.random.stateless_normal(shape, [seed, -2 - index])[start:end]
        return distort(inputs, draws, order.distortions, noise)


def _sort(names: np.ndarray | None, keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rows in the examples' order: the same whatever order Beam wrote them in.

    Records from elsewhere may lack names; those are sorted by their keys alone. Images that are the
    same in all may still differ in their labels.

    Args:
        names: Of files, bytes [n]; None where Transform had none.
        keys: Hashes of the files, [n].
        targets: [n, outputs].
    """
    names = np.full(len(keys), b"", object) if names is None else names
    columns = (names.tolist(), keys.tolist(), targets.tolist())
    rows = sorted(zip(*columns, range(len(keys)), strict=True))
    return np.array([row for *_, row in rows], np.int64)


def _ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(2).with_options(options)
