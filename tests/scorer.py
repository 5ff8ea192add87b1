"""A model with the outputs of a pushed one, that scores an image by its brightness alone."""

import tensorflow as tf

from tfxray.components.common import contract


class Brightness(tf.Module):
    """Bright is PNEUMONIA, from the threshold on; a white image is like none."""

    def __init__(self, threshold: float):
        super().__init__()
        self._threshold = threshold

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def score(self, image_bytes):
        score = tf.map_fn(self._one, image_bytes, fn_output_signature=tf.float32)
        return {
            contract.SCORES: tf.stack([1 - score, score], axis=1),
            contract.SCORE: score,
            contract.CLASSES: tf.repeat([["NORMAL", "PNEUMONIA"]], tf.size(score), axis=0),
            contract.THRESHOLD: tf.fill(tf.shape(score), self._threshold),
            contract.POSITIVE: tf.cast(score >= self._threshold, tf.float32),
            contract.DISTANCE: score * 2,
            contract.UNLIKE: tf.cast(score > 0.99, tf.float32),
        }

    def _one(self, encoded):
        image = tf.io.decode_image(encoded, channels=1, expand_animations=False)
        return tf.reduce_mean(tf.cast(image, tf.float32)) / 255


class Unchecked(Brightness):
    """An older model's: it measures no distance to the training images."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def score(self, image_bytes):
        outputs = super().score(image_bytes)
        return {k: v for k, v in outputs.items() if k not in (contract.DISTANCE, contract.UNLIKE)}


def export(folder, threshold=0.5, kind=Brightness):
    """Writes it; returns the folder."""
    model = kind(threshold)
    tf.saved_model.save(model, str(folder), signatures={contract.SIGNATURE_BYTES: model.score})
    return folder
