"""What Trainer reads: Transform's examples as batches, in an order that the seed alone decides."""

import dataclasses
import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfxray.components import names
from tfxray.components.distortions import DRAWS, Distortions, distort

# Embeddings on disk up to this size are kept in memory between passes.
_CACHED_BYTES = 500_000_000
# So many examples are mixed at a time. They come well mixed from ExampleGen, and every pass begins
# at another; embeddings are small, images are not.
_MIXED = {names.EMBEDDING: 8_192, names.PIXELS: 1_024}


@dataclasses.dataclass(frozen=True)
class Order:
    """How training examples are drawn.

    Attributes:
        batch: Examples per step, over all replicas.
        seed: Of order and distortions.
        weights: One per class.
        distortions: Of images; embeddings come distorted from Transform.
    """

    batch: int
    seed: int
    weights: Sequence[float]
    distortions: Distortions = dataclasses.field(default_factory=Distortions)


class Examples:
    """One split of Transform's examples."""

    def __init__(self, files: Sequence[str], spec: Mapping[str, Any], size: int):
        """Reads the targets.

        Args:
            files: Patterns of TFRecords.
            spec: Transform's feature spec.
            size: Pixels on each side, where the examples are images.
        """
        self._files, self._spec, self._size = list(files), dict(spec), size
        self.kind = names.PIXELS if names.PIXELS in spec else names.EMBEDDING
        only = {names.TARGET: spec[names.TARGET]}
        batches = self._records().batch(4096).map(lambda x: tf.io.parse_example(x, only))
        parts = [batch[names.TARGET].ravel() for batch in batches.as_numpy_iterator()]
        self.targets = np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def width(self) -> int:
        """Of an embedding."""
        return int(self._spec[names.EMBEDDING].shape[0])

    def plain(self, batch: int) -> tf.data.Dataset:
        """All examples once, in the files' order, undistorted: inputs [n, …], targets [n, 1]."""
        batches = self._cached(self._parsed(None)).batch(batch)
        return _ready(batches.map(lambda x, y: (x, tf.cast(y, tf.float32)[:, tf.newaxis])))

    def passes(self, order: Order, first_step: int) -> tf.data.Dataset:
        """Pass after pass without end, each in an order of its own.

        A step's batch depends on the seed and on the step's number, and on nothing else: training
        may begin anywhere.

        Args:
            order: How examples are drawn.
            first_step: Where to begin.

        Returns:
            Batches of inputs, targets [n, 1] and weights [n, 1]. The weights of a batch sum to
            what they would as a mean over the batch, so that the loss is their sum: right however
            many examples a replica gets.
        """
        steps = self.steps(order.batch)
        base = self._cached(self._parsed(order))
        table = tf.constant(order.weights, tf.float32)

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            mixed = _mixed(base, len(self), _MIXED[self.kind], order.seed + number)
            drawn = mixed.enumerate().map(
                lambda i, item: self._drawn(item, order.seed + number, i),
                tf.data.AUTOTUNE,
                deterministic=True,
            )
            batches = drawn.batch(order.batch).enumerate()
            skipped = tf.where(number == first_step // steps, first_step % steps, 0)
            return batches.skip(tf.cast(skipped, tf.int64)).map(
                lambda i, item: _finished(item, order, table, number, i),
                tf.data.AUTOTUNE,
                deterministic=True,
            )

        numbers = tf.data.Dataset.counter(first_step // steps)
        return _ready(numbers.flat_map(one_pass))

    def steps(self, batch: int) -> int:
        """Batches of a pass; the last may be smaller."""
        return -(-len(self) // batch)

    def _records(self) -> tf.data.Dataset:
        paths = tf.data.Dataset.list_files(self._files, shuffle=False)
        return tf.data.TFRecordDataset(paths, "GZIP")

    def _parsed(self, order: Order | None) -> tf.data.Dataset:
        """Inputs and targets; of copies, one is drawn later."""
        spec = {key: self._spec[key] for key in (self.kind, names.TARGET)}
        copies = order is not None and names.DISTORTED in self._spec
        if copies:
            spec[names.DISTORTED] = self._spec[names.DISTORTED]

        def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            parsed = tf.io.parse_example(records, spec)
            inputs = parsed[self.kind]
            if copies:
                inputs = tf.concat([inputs[:, tf.newaxis], parsed[names.DISTORTED]], 1)
            return inputs, tf.reshape(parsed[names.TARGET], [-1])

        examples = self._records().batch(256).map(parse).unbatch()
        if self.kind == names.PIXELS and order is None:
            return examples.map(lambda x, y: (self._pixels(x), y), tf.data.AUTOTUNE)
        return examples

    def _cached(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        paths = [file for pattern in self._files for file in glob.glob(pattern)]
        small = sum(Path(path).stat().st_size for path in paths) < _CACHED_BYTES
        return examples.cache() if small and self.kind == names.EMBEDDING else examples

    def _pixels(self, encoded: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_png(encoded, channels=1)
        return tf.cast(tf.ensure_shape(image, [self._size, self._size, 1]), tf.float32)

    def _drawn(
        self, item: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor, index: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """An example of a pass and its draws: by seed, pass and place in the pass."""
        inputs, target = item
        draws = tf.random.stateless_uniform([DRAWS], [seed, index], -1, 1)
        if inputs.dtype == tf.string:
            inputs = self._pixels(inputs)
        elif inputs.shape.rank == 2:  # an embedding and its distorted copies
            copies = inputs.shape[0]
            inputs = inputs[tf.cast((draws[0] + 1) / 2 * copies, tf.int32) % copies]
        return inputs, target, draws


def class_weights(targets: np.ndarray, classes: int, balanced: bool) -> list[float]:
    """One weight per class; balanced, as scikit-learn has it: n / (classes * n of the class)."""
    counts = np.bincount(targets, minlength=classes)
    if not balanced:
        return [1.0] * classes
    return [float(weight) for weight in counts.sum() / (classes * counts)]


def _mixed(base: tf.data.Dataset, count: int, size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Examples in an order by a seed, which may be a tensor; `Dataset.shuffle` takes none."""
    if count > size:
        start = tf.random.stateless_uniform([], [seed, -1], 0, count, tf.int64)
        base = base.skip(start).concatenate(base.take(start))

    def mix(index: tf.Tensor, items: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.range(tf.shape(items[1])[0])
        places = tf.random.experimental.stateless_shuffle(places, [seed, index])
        return tf.gather(items[0], places), tf.gather(items[1], places)

    return base.batch(size).enumerate().map(mix).unbatch()


def _finished(
    item: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    order: Order,
    table: tf.Tensor,
    number: tf.Tensor,
    index: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    inputs, target, draws = item
    if inputs.shape.rank == 4 and order.distortions.any:
        noise = None
        if order.distortions.noise:
            noise = tf.random.stateless_normal(tf.shape(inputs), [order.seed + number, index])
        inputs = distort(inputs, draws, order.distortions, noise)
    weights = tf.gather(table, target) / tf.cast(tf.shape(target)[0], tf.float32)
    return inputs, tf.cast(target, tf.float32)[:, tf.newaxis], weights[:, tf.newaxis]


def _ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(2).with_options(options)
