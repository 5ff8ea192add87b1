"""What Trainer reads: Transform's examples as batches, in an order that the seed alone decides.

The runner that ran Transform does not: an example's place is that of its file's name among all
names of its split.
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.networks.distortions import DRAWS, distort
from tfxray.components.trainer.distributed.in_step import Share


@dataclasses.dataclass(frozen=True)
class Order:
    """The order and the distortions of training examples.

    Attributes:
        batch: Examples per step, over all replicas.
        seed: The seed of order and distortions.
        weights: One per label, see `weigh_labels`; [n, outputs], or [n, 1] for all of a row.
        distortions: Of images; embeddings come distorted from Transform.
    """

    batch: int
    seed: int
    weights: np.ndarray
    distortions: Distortions = dataclasses.field(default_factory=Distortions)


# Autograph would rewrite these functions, and all that they call, for nothing.
_as_written = tf.autograph.experimental.do_not_convert

# Transform's outputs for each example besides its inputs; the last three may be missing.
_COLUMNS = (contract.TARGET, contract.KEY, contract.NAME, contract.HOSPITAL, contract.OWNER)


class _Store:
    """Inputs on disk, to be read at any place, so that memory holds a batch and no more.

    A TFRecord is read from its beginning only, and its order is Beam's: often by class. A shuffle
    buffer would turn such a stream into long runs of one class.
    """

    def __init__(self) -> None:
        # Gone with the process, however that ends.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._ends = [0]

    def add(self, content: bytes) -> None:
        """Appends an input."""
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))

    def seal(self) -> None:
        """Flushes the file; call it before `read`."""
        self._file.flush()

    def read(self, places: np.ndarray) -> np.ndarray:
        """The inputs at some places, as an array of bytes."""
        return np.array([self._at(int(place)) for place in places], object)

    def _at(self, place: int) -> bytes:
        start, end = self._ends[place], self._ends[place + 1]
        return os.pread(self._file.fileno(), end - start, start)


class Examples:
    """One split of Transform's examples, sorted by the names of their files, and by `key`.

    Attributes:
        kind: Of the inputs: `pixels` or `embedding`.
        columns: Transform's `key` and, where there are such, `hospital` and `owner`, [n].
        labels: int8 [n, outputs], 1 or 0, or -1 where the label is not known. Of two classes, a
            column tells the positive one; of more, each class has one; and so has each finding.
    """

    def __init__(self, files: Sequence[str], spec: Mapping[str, Any], size: int, classes: int = 2):
        """Reads them once.

        Args:
            files: Patterns of TFRecords.
            spec: Transform's feature spec.
            size: Pixels on each side, where the examples are images.
            classes: How many there are, where the target is a class's number.
        """
        self.kind = contract.PIXELS if contract.PIXELS in spec else contract.EMBEDDING
        self._spec, self._size, self._store = dict(spec), size, _Store()
        columns = {n: [np.zeros(0, spec[n].dtype.as_numpy_dtype)] for n in _COLUMNS if n in spec}
        for inputs, values in self._parse_records(files).as_numpy_iterator():
            for content in inputs:
                self._store.add(content if isinstance(content, bytes) else content.tobytes())
            for name, column in values.items():
                columns[name].append(column)
        self._store.seal()
        self.columns = {name: np.concatenate(arrays) for name, arrays in columns.items()}
        targets = self.columns.pop(contract.TARGET).reshape(-1, spec[contract.TARGET].shape[0])
        names = self.columns.pop(contract.NAME, None)
        self._rows = _sort(names, self.columns[contract.KEY], targets)
        self.columns = {name: values[self._rows] for name, values in self.columns.items()}
        self.keys, targets = self.columns[contract.KEY], targets[self._rows]
        self.labels = targets.astype(np.int8)
        if classes > 2:
            self.labels = np.eye(classes, dtype=np.int8)[targets[:, 0]]

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
        share = share or Share()
        labels = tf.constant(self.labels, tf.float32)

        @_as_written
        def load(places: tf.Tensor, part: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start, end = share.bounds(part, tf.size(places, tf.int64))
            places = places[start:end]
            inputs = self._read(places)
            if self.kind == contract.EMBEDDING:
                inputs = inputs[:, 0]
            return inputs, tf.gather(labels, places)

        every = np.arange(len(self)) if chosen is None else chosen
        places = tf.data.Dataset.from_tensor_slices(every).batch(batch).flat_map(share.parts)
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
        share = share or Share()
        steps = self.steps(order.batch)
        labels = tf.constant(self.labels, tf.float32)
        weights = tf.constant(order.weights, tf.float32)

        @_as_written
        def load(
            number: tf.Tensor, index: tf.Tensor, places: tf.Tensor, part: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            count = tf.size(places, tf.int64)
            start, end = share.bounds(part, count)
            counts = tf.cast(end > start, tf.float32) / tf.cast(count, tf.float32)
            start = tf.minimum(start, count - 1)
            end = tf.maximum(end, start + 1)
            mine = places[start:end]
            seeds = [order.seed + number, index]
            inputs = self._distort(self._read(mine), order, seeds, count, start)
            return inputs, tf.gather(labels, mine), tf.gather(weights, mine) * counts

        @_as_written
        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            every = tf.range(len(self), dtype=tf.int64)
            permutation = tf.random.experimental.stateless_shuffle(every, [order.seed + number, -1])
            first = tf.where(number == first_step // steps, first_step % steps, 0)
            batches = tf.data.Dataset.from_tensor_slices(permutation).batch(order.batch).enumerate()
            return batches.skip(tf.cast(first, tf.int64)).map(
                lambda index, places: (number, index, places)
            )

        numbers = tf.data.Dataset.counter(first_step // steps)
        step_parts = numbers.flat_map(one_pass).flat_map(share.parts)
        return _ready(step_parts.map(load, tf.data.AUTOTUNE, deterministic=True))

    def steps(self, batch: int) -> int:
        """Batches of a pass; the last may be smaller."""
        return -(-len(self) // batch)

    def _parse_records(self, files: Sequence[str]) -> tf.data.Dataset:
        """Batches of inputs, [n] or [n, embeddings, width], and of columns, [n]."""
        paths = tf.data.Dataset.list_files(list(files), shuffle=False)
        records = tf.data.TFRecordDataset(paths, "GZIP").batch(64)

        @_as_written
        def parse(batch: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            features = tf.io.parse_example(batch, self._spec)
            inputs = features[self.kind]
            if self.kind == contract.EMBEDDING:
                inputs = inputs[:, tf.newaxis]
                if self._embeddings > 1:
                    inputs = tf.concat([inputs, features[contract.DISTORTED]], 1)
            return inputs, {n: tf.reshape(features[n], [-1]) for n in _COLUMNS if n in features}

        return records.map(parse)

    def _read(self, places: tf.Tensor) -> tf.Tensor:
        """Pixels [n, size, size, 1], or embeddings [n, embeddings, width]; float32."""
        content = tf.numpy_function(self._read_rows, [places], tf.string)
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

    def _read_rows(self, places: np.ndarray) -> np.ndarray:
        return self._store.read(self._rows[places])

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


def weigh_labels(labels: np.ndarray, softmax: bool, balanced: bool) -> np.ndarray:
    """What each label counts in the loss.

    Args:
        labels: See `Examples.labels`.
        softmax: Whether a row tells one class of several.
        balanced: As scikit-learn has it: n / (classes * n of the class). A finding has two, present
            and absent, and n counts its known labels.

    Returns:
        float32 [n, outputs], 0 where a label is not known; the loss is the mean over the outputs.
        Of a softmax, [n, 1].
    """
    if softmax:
        numbers = labels.argmax(1)
        counts = np.bincount(numbers, minlength=labels.shape[1])
        weights = len(labels) / (labels.shape[1] * counts) if balanced else np.ones(len(counts))
        return np.asarray(weights[numbers, np.newaxis], np.float32)
    known = labels >= 0
    weights = known.astype(float)
    if balanced:
        for value in (0, 1):
            count = np.maximum((labels == value).sum(0), 1)
            weights[labels == value] = np.broadcast_to(known.sum(0) / (2 * count), labels.shape)[
                labels == value
            ]
    return np.asarray(weights / labels.shape[1], np.float32)


def _ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(2).with_options(options)
