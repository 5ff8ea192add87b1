"""Transform's user function: images to embeddings, by the graph that is served later."""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from tfxray.components import models, names

# Beam decides how many examples make a batch; so many images at a time bound the memory.
CHUNK = 64


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Embeds images with the frozen backbone.

    Args:
        inputs: `image/encoded` and `image/class/label`, of shape [n, 1].
        custom_config: `backbone`, the fields of a `models.BackboneSpec`.

    Returns:
        `embedding`, float32 [n, d], and `target`, int64 [n, 1].
    """
    spec = models.BackboneSpec(**custom_config["backbone"])
    backbone = tft.make_and_track_object(lambda: models.backbone(spec), name="backbone")
    encoded = tf.reshape(inputs[names.IMAGE], [-1])
    return {
        names.EMBEDDING: embed(encoded, backbone, spec.image_size),
        names.TARGET: inputs[names.LABEL],
    }


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


def embed(encoded: tf.Tensor, backbone: keras.Model, size: int) -> tf.Tensor:
    """Embeds images, CHUNK at a time.

    Args:
        encoded: JPEG or PNG, strings of shape [n].
        backbone: See `models.backbone`.
        size: Pixels on each side that it takes.

    Returns:
        float32 of shape [n, d].
    """
    count = tf.shape(encoded)[0]
    chunks = (count + CHUNK - 1) // CHUNK
    width = backbone.output_shape[-1]

    def one(index: tf.Tensor) -> tf.Tensor:
        part = encoded[index * CHUNK : (index + 1) * CHUNK]
        grey = tf.map_fn(
            lambda item: decode(item, size),
            part,
            fn_output_signature=tf.TensorSpec([size, size, 1]),
        )
        return backbone(tf.repeat(grey, 3, axis=-1), training=False)

    def step(index: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        return index + 1, done.write(index, one(index))

    parts = tf.TensorArray(tf.float32, size=chunks, infer_shape=False, element_shape=[None, width])
    _, parts = tf.while_loop(
        lambda index, _: index < chunks, step, (0, parts), parallel_iterations=1
    )
    embeddings = tf.cond(chunks > 0, parts.concat, lambda: tf.zeros([0, width], tf.float32))
    return tf.ensure_shape(embeddings, [None, width])
