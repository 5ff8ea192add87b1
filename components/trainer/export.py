"""The model to serve: Transform's graph and what was trained, as one SavedModel."""

import json
import os

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader
from tfx.utils import io_utils

from tfxray.components.common import contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.trainer.operating_point import OperatingPoints
from tfxray.components.trainer.scaling import EPSILON
from tfxray.components.trainer.unlikeness import TINY, Unlikeness


class ServedModule(tf.Module):
    """The served module: Transform's graph, then the trained model."""

    def __init__(
        self,
        graph: SavedModelLoader,
        model: keras.Model,
        size: int,
        task: Task,
        operating_points: OperatingPoints,
        unlikeness: Unlikeness,
    ):
        super().__init__()
        self._graph = graph
        self._tracked = vars(graph)  # a tf.Module does not see into what is no Trackable
        self._model = model
        self._variables = model.variables  # nor into a Keras 3 model
        self._size = size
        self._task = task
        self._names = tf.constant(task.names)
        self._thresholds = tf.constant(operating_points.thresholds, tf.float32)
        scaling = operating_points.scaling
        self._temperatures = tf.constant(scaling.temperatures, tf.float32)
        self._biases = tf.constant(scaling.biases, tf.float32)
        self._scales = scaling.changes
        self._limit = unlikeness.limit
        # Variables: a constant would be written into the graph of each signature.
        self._mean = tf.Variable(unlikeness.mean, trainable=False)
        self._whitening = tf.Variable(unlikeness.whitening, trainable=False)

    def _score(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        raw_features = {contract.IMAGE: tf.reshape(encoded, [-1, 1])}
        features = self._graph.apply_transform_model(raw_features)
        if contract.EMBEDDING in features:
            inputs = features[contract.EMBEDDING]
        else:
            inputs = self._pixels(tf.reshape(features[contract.PIXELS], [-1]))
        raw, embedding = self._model(inputs, training=False)
        scores = self._scale(raw)
        length = tf.maximum(tf.norm(embedding, axis=1, keepdims=True), TINY)
        white = tf.matmul(embedding / length - self._mean, self._whitening)
        distance = tf.sqrt(tf.reduce_mean(white**2, axis=1))
        return {
            **self._call(scores),
            contract.CLASSES: tf.repeat(self._names[tf.newaxis], tf.shape(scores)[0], axis=0),
            contract.DISTANCE: distance,
            contract.UNLIKE: tf.cast(distance > self._limit, tf.float32),
        }

    def _call(self, scores: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is called positive; of two classes, one score tells both."""
        thresholds = tf.repeat(self._thresholds[tf.newaxis], tf.shape(scores)[0], axis=0)
        positive = tf.cast(scores >= thresholds, tf.float32)
        if self._task.binary:
            score = scores[:, 0]
            return {
                contract.SCORES: tf.stack([1 - score, score], axis=1),
                contract.SCORE: score,
                contract.THRESHOLD: thresholds[:, 0],
                contract.POSITIVE: positive[:, 0],
            }
        if self._task.softmax:
            positive = tf.one_hot(tf.argmax(scores, axis=1), len(self._task.names))
            score = 1 - scores[:, 0]
        else:
            score = tf.reduce_max(scores, axis=1)
        return {
            contract.SCORES: scores,
            contract.SCORE: score,
            contract.THRESHOLD: thresholds,
            contract.POSITIVE: positive,
        }

    def _scale(self, scores: tf.Tensor) -> tf.Tensor:
        scores = self._clip(scores)
        if not self._scales:
            return scores
        if self._task.softmax:
            scaled = tf.math.log(scores) / self._temperatures + self._biases
            return self._clip(tf.nn.softmax(scaled))
        logits = tf.math.log(scores) - tf.math.log1p(-scores)
        return self._clip(tf.sigmoid(logits / self._temperatures + self._biases))

    def _clip(self, scores: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(scores, EPSILON, 1 - EPSILON)

    def _pixels(self, shrunk: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda png: tf.cast(tf.io.decode_png(png, channels=1), tf.float32),
            shrunk,
            fn_output_signature=tf.TensorSpec([self._size, self._size, 1]),
        )

    # Without autograph, which would rewrite all of Transform's layer and Keras: ten seconds.
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False
    )
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.Examples, [n], to scores."""
        spec = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        return self._score(tf.io.parse_example(examples, spec)[contract.IMAGE])

    # Over REST, TF Serving decodes {"b64": ...} only for inputs whose name ends in _bytes.
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False
    )
    def score_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """JPEG or PNG files, [n], to scores."""
        return self._score(image_bytes)


def export_model(
    model: keras.Model,
    transform_output: tft.TFTransformOutput,
    size: int,
    task: Task,
    operating_points: OperatingPoints,
    unlikeness: Unlikeness,
    folder: str,
) -> None:
    """Writes a SavedModel that TensorFlow alone can load.

    Its signatures `serving_default` (serialized tf.Examples) and `serving_bytes` (encoded images)
    give, for k classes or findings, `scores` [n, k] and `classes` [n, k], their names; `distance`
    [n] to the training images and `unlike` [n], 1 where that is further than almost all of
    validation, else 0. `filenames.CLASSES` beside it names them, too: a list of classes, or
    `findings`. Besides:

    Of two classes, `score` [n], that of the last class; `threshold` [n] and `positive` [n], 1 where
    the score reaches it, else 0. The scores sum to one.

    Of more classes, `threshold` [n, k], of one class against the others, and `positive` [n, k], 1
    for the most probable class, else 0; `score` [n], that of all classes but the first, which is
    the negative one. The scores sum to one.

    Of findings, `threshold` [n, k] and `positive` [n, k], 1 where the score reaches it, else 0;
    `score` [n], the highest.

    Args:
        model: From embeddings or pixels to the scores, uncalibrated, [n, outputs], and to an
            embedding, [n, d]; see `head.with_embedding`.
        transform_output: Transform's output.
        size: Pixels on each side of its images.
        task: What is asked.
        operating_points: Scaling and threshold of each output.
        unlikeness: The distance to the training images.
        folder: Where to.
    """
    # `transform_features_layer` wraps this graph in a Keras 2 model. Keras would trace that model
    # for itself, which takes half of the time of an export.
    graph = SavedModelLoader(transform_output.transform_savedmodel_dir)
    module = ServedModule(graph, model, size, task, operating_points, unlikeness)
    tf.saved_model.save(
        module,
        folder,
        signatures={
            contract.SIGNATURE_EXAMPLES: module.score_examples,
            contract.SIGNATURE_BYTES: module.score_images,
        },
    )
    io_utils.write_string_file(
        os.path.join(folder, filenames.CLASSES),
        json.dumps(task.names if task.exclusive else {"findings": task.names}),
    )
