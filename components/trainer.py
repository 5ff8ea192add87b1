"""Trainer's user function: fits the head, and exports it with Transform's graph as one model."""

import glob
import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from tfxray.components import models, names
from tfxray.components.errors import UserError

HISTORY = "history.json"
_SHUFFLE = 20_000
# Embeddings on disk up to this size are kept in memory between epochs.
_CACHED_BYTES = 500_000_000

log = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs) -> None:
    """Trains on Transform's embeddings and writes the model to serve.

    Args:
        fn_args: TFX's; `custom_config` holds `classes`, `train` (see the config) and `head`
            (the fields of a `models.HeadSpec`).

    Raises:
        UserError: A class without a training example, or the loss is no number.
    """
    settings = fn_args.custom_config
    classes, train = settings["classes"], settings["train"]
    keras.utils.set_random_seed(train["seed"])
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    spec = transformed.transformed_feature_spec()
    width = spec[names.EMBEDDING].shape[0]

    labels = _labels(fn_args.train_files, spec)
    weights = _class_weights(labels, classes, train["class_weights"])
    batch = train["batch_size"]
    training = _dataset(fn_args.train_files, spec, batch, weights, shuffle=train["seed"])
    validation = _dataset(fn_args.eval_files, spec, batch, np.ones(len(classes), np.float32))

    strategy = _strategy(train["distribution"])
    log.info("training on %d replicas", strategy.num_replicas_in_sync)
    with strategy.scope():
        head = models.head(models.HeadSpec(**settings["head"]), width, len(classes))
        head.compile(
            keras.optimizers.Adam(train["learning_rate"]),
            keras.losses.CategoricalCrossentropy(),
            metrics=["accuracy"],
            weighted_metrics=[keras.metrics.AUC(1000, multi_label=True, name="auc")],
            # A step of a head takes less time than Python's part of it.
            steps_per_execution=16,
        )
    history = head.fit(
        training,
        validation_data=validation,
        epochs=train["epochs"],
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_auc", mode="max", patience=train["patience"], restore_best_weights=True
            ),
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.TensorBoard(fn_args.model_run_dir),
        ],
        verbose=2,
    ).history
    if not np.isfinite(history["loss"]).all():
        raise UserError(
            f"the training loss became {history['loss'][-1]}: lower train.learning_rate "
            f"(now {train['learning_rate']})"
        )
    export(head, transformed, classes, fn_args.serving_model_dir)
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    (Path(fn_args.model_run_dir) / HISTORY).write_text(json.dumps(history, default=float))


def _strategy(distribution: str) -> tf.distribute.Strategy:
    if distribution == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy(
        "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    )


def _records(files: list[str]) -> tf.data.Dataset:
    paths = tf.data.Dataset.list_files(files, shuffle=False)
    return tf.data.TFRecordDataset(paths, "GZIP")


def _labels(files: list[str], spec: dict[str, Any]) -> np.ndarray:
    only = {names.TARGET: spec[names.TARGET]}
    batches = _records(files).batch(4096).map(lambda x: tf.io.parse_example(x, only))
    parts = [batch[names.TARGET].ravel() for batch in batches.as_numpy_iterator()]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _class_weights(labels: np.ndarray, classes: list[str], balanced: bool) -> np.ndarray:
    """One weight per class; balanced, as scikit-learn has it: n / (classes * n of the class)."""
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() == 0:
        empty = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise UserError(f"the training split holds no example of {empty}: too few patients")
    if not balanced:
        return np.ones(len(classes), np.float32)
    return (counts.sum() / (len(classes) * counts)).astype(np.float32)


def _dataset(
    files: list[str],
    spec: dict[str, Any],
    batch: int,
    weights: np.ndarray,
    shuffle: int | None = None,
) -> tf.data.Dataset:
    """Batches of embeddings, one-hot targets and weights."""
    table = tf.constant(weights)

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        target = tf.reshape(parsed[names.TARGET], [-1])
        return parsed[names.EMBEDDING], tf.one_hot(target, len(weights)), tf.gather(table, target)

    examples = _records(files).batch(1024).map(parse).unbatch()
    if sum(Path(file).stat().st_size for path in files for file in glob.glob(path)) < _CACHED_BYTES:
        examples = examples.cache()
    if shuffle is not None:
        examples = examples.shuffle(_SHUFFLE, seed=shuffle)
    batches = examples.batch(batch)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


class Served(tf.Module):
    """What is served: Transform's graph, then the head."""

    def __init__(self, graph: tf.Module, head: keras.Model, classes: list[str]):
        super().__init__()
        self._graph = graph
        self._head = head
        self._variables = head.variables  # a tf.Module does not see into a Keras 3 model
        self._classes = tf.constant(classes)

    def _score(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._graph({names.IMAGE: tf.reshape(encoded, [-1, 1])})
        scores = self._head(features[names.EMBEDDING], training=False)
        named = tf.repeat(self._classes[tf.newaxis], tf.shape(scores)[0], axis=0)
        return {names.SCORES: scores, names.SCORE: scores[:, -1], names.CLASSES: named}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.Examples, [n], to scores."""
        spec = {names.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        return self._score(tf.io.parse_example(examples, spec)[names.IMAGE])

    # Over REST, TF Serving decodes {"b64": ...} only for inputs whose name ends in _bytes.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def score_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """JPEG or PNG files, [n], to scores."""
        return self._score(image_bytes)


def export(
    head: keras.Model, transformed: tft.TFTransformOutput, classes: list[str], folder: str
) -> None:
    """Writes a SavedModel that TensorFlow alone can load.

    Its signatures `serving_default` (serialized tf.Examples) and `serving_bytes` (encoded images)
    give `scores` [n, classes], which sum to one, `classes`, their names, and `score` [n], that of
    the last class.

    Args:
        head: The trained head.
        transformed: Transform's output.
        classes: In the order of their labels.
        folder: Where to.
    """
    # A Keras 2 object: made after training and outside of the strategy's scope.
    served = Served(transformed.transform_features_layer(), head, classes)
    tf.saved_model.save(
        served,
        folder,
        signatures={
            names.SIGNATURE_EXAMPLES: served.score_examples,
            names.SIGNATURE_BYTES: served.score_images,
        },
    )
