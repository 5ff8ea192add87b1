"""The model to serve: Transform's graph and what was trained, as one SavedModel."""

import keras
import tensorflow as tf
import tensorflow_transform as tft

from tfxray.components import names


class Served(tf.Module):
    """What is served: Transform's graph, then the trained model."""

    def __init__(self, graph: tf.Module, model: keras.Model, size: int, classes: list[str]):
        super().__init__()
        self._graph = graph
        self._model = model
        self._variables = model.variables  # a tf.Module does not see into a Keras 3 model
        self._size = size
        self._classes = tf.constant(classes)

    def _score(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._graph({names.IMAGE: tf.reshape(encoded, [-1, 1])})
        if names.EMBEDDING in features:
            inputs = features[names.EMBEDDING]
        else:
            inputs = self._pixels(tf.reshape(features[names.PIXELS], [-1]))
        score = self._model(inputs, training=False)[:, 0]
        named = tf.repeat(self._classes[tf.newaxis], tf.shape(score)[0], axis=0)
        scores = tf.stack([1 - score, score], axis=1)
        return {names.SCORES: scores, names.SCORE: score, names.CLASSES: named}

    def _pixels(self, shrunk: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda png: tf.cast(tf.io.decode_png(png, channels=1), tf.float32),
            shrunk,
            fn_output_signature=tf.TensorSpec([self._size, self._size, 1]),
        )

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
    model: keras.Model,
    transformed: tft.TFTransformOutput,
    size: int,
    classes: list[str],
    folder: str,
) -> None:
    """Writes a SavedModel that TensorFlow alone can load.

    Its signatures `serving_default` (serialized tf.Examples) and `serving_bytes` (encoded images)
    give `scores` [n, 2], which sum to one, `classes`, their names, and `score` [n], that of
    the last class.

    Args:
        model: From embeddings or pixels to the score of the positive class, [n, 1].
        transformed: Transform's output.
        size: Pixels on each side of its images.
        classes: In the order of their labels.
        folder: Where to.
    """
    # A Keras 2 object: made after training and outside of the strategy's scope.
    served = Served(transformed.transform_features_layer(), model, size, classes)
    tf.saved_model.save(
        served,
        folder,
        signatures={
            names.SIGNATURE_EXAMPLES: served.score_examples,
            names.SIGNATURE_BYTES: served.score_images,
        },
    )
