"""Transform's user function: images to embeddings, by the graph that is served later."""

import functools
import json
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfxray.components import models, names

# Beam decides how many examples make a batch; so many images at a time bound the memory.
CHUNK = 64
# A graph holds 2 GiB at most, and TFT's holds the backbone more than once.
_MAX_CONSTANTS = 70_000_000


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Embeds images with the frozen backbone.

    Args:
        inputs: `image/encoded` and `image/class/label`, of shape [n, 1].
        custom_config: `backbone`, the fields of a `models.BackboneSpec`.

    Returns:
        `embedding`, float32 [n, d], and `target`, int64 [n, 1].
    """
    described = json.dumps(custom_config["backbone"], sort_keys=True)
    embedder = tft.make_and_track_object(lambda: _embedder(described), name="embedder")
    return {
        names.EMBEDDING: embedder.embed(tf.reshape(inputs[names.IMAGE], [-1])),
        names.TARGET: inputs[names.LABEL],
    }


# TFT traces preprocessing_fn half a dozen times. A backbone takes seconds to build and to trace;
# this way each is done once.
@functools.lru_cache(maxsize=1)
def _embedder(described: str) -> "Embedder":
    spec = models.BackboneSpec(**json.loads(described))
    with tf.init_scope():
        return Embedder(models.backbone(spec), spec.image_size)


class Embedder(tf.Module):
    """Images to embeddings, CHUNK images at a time."""

    def __init__(self, backbone: keras.Model, size: int):
        """Wraps a backbone.

        Args:
            backbone: See `models.backbone`.
            size: Pixels on each side that it takes.
        """
        super().__init__()
        self._size = size
        self._width = backbone.output_shape[-1]
        pixels = tf.TensorSpec([None, size, size, 3], tf.float32)
        call = tf.function(lambda x: backbone(x, training=False)).get_concrete_function(pixels)
        if backbone.count_params() <= _MAX_CONSTANTS:
            # Constants, not variables: a SavedModel is written and read in a fraction of the time,
            # and TensorFlow can merge batch normalisation into the convolutions.
            frozen = convert_variables_to_constants_v2(call)
            self._call = lambda x: frozen(x)[0]
        else:
            self._variables = backbone.variables  # a tf.Module does not see into a Keras 3 model
            self._call = call

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def embed(self, encoded: tf.Tensor) -> tf.Tensor:
        """JPEG or PNG, strings of shape [n], to float32 of shape [n, d]."""
        count = tf.shape(encoded)[0]
        chunks = (count + CHUNK - 1) // CHUNK

        def step(index: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            part = encoded[index * CHUNK : (index + 1) * CHUNK]
            return index + 1, done.write(index, self._chunk(part))

        parts = tf.TensorArray(
            tf.float32, size=chunks, infer_shape=False, element_shape=[None, self._width]
        )
        _, parts = tf.while_loop(
            lambda index, _: index < chunks, step, (0, parts), parallel_iterations=1
        )
        embeddings = tf.cond(
            chunks > 0, parts.concat, lambda: tf.zeros([0, self._width], tf.float32)
        )
        return tf.ensure_shape(embeddings, [None, self._width])

    def _chunk(self, encoded: tf.Tensor) -> tf.Tensor:
        grey = tf.map_fn(
            lambda item: decode(item, self._size),
            encoded,
            fn_output_signature=tf.TensorSpec([self._size, self._size, 1]),
        )
        return self._call(tf.repeat(grey, 3, axis=-1))


def decode(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image to grey and resizes it.

    Args:
        encoded: JPEG or PNG, a scalar string.
        size: Pixels on each side of the result.

    Returns:
        float32 in 0..255, of shape [size, size, 1].
    """
    image = tf.io.decode_image(encoded, channels=1, expand_animations=False)
    image.set_shape([None, None, 1])
    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    # Without antialiasing, an X-ray of 2,000 pixels is sampled at every tenth.
    image = tf.cond(
        fits,
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, [size, size], antialias=True),
    )
    return tf.ensure_shape(image, [size, size, 1])
