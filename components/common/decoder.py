"""TensorFlow's decoder of images, as Transform's graph and the served model call it."""

import tensorflow as tf


def decode_grey(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one image.

    Args:
        encoded: JPEG or PNG, a scalar string.

    Returns:
        Grey pixels, uint8 of shape [height, width, 1].
    """

    # By itself, TensorFlow takes a faster transform for JPEG, a grey level beside what all others
    # see, ingest's digest of the pixels among them.
    def decode_jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE")

    def decode_other() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=1, expand_animations=False)

    image = tf.cond(tf.io.is_jpeg(encoded), decode_jpeg, decode_other)
    image.set_shape([None, None, 1])
    return image


def is_decodable(encoded: bytes) -> bool:
    """Whether the graph can decode an image; Pillow reads some that it refuses.

    Args:
        encoded: The image's bytes; the caller has bounded the number of its pixels.
    """
    try:
        return bool(tf.size(decode_grey(tf.constant(encoded))) > 0)
    except (tf.errors.OpError, ValueError):
        return False
