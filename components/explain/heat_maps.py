"""Heat maps: which places of an X-ray raise a model's score. Three methods, one interface."""

import functools
import os
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage
from tfx.dsl.io import fileio

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath

GRAD_CAM, INTEGRATED_GRADIENTS, SHAP = contract.EXPLAIN_METHODS

# Images whose gradients are computed at a time: what bounds the memory.
_BATCH = 16
# Integrated gradients take as many steps as it needs to be complete to so much, up to the last.
_STEPS = (32, 64, 128, 256)
_INCOMPLETE = 0.05
# Fewer show the same places, in a tenth of the time: benchmarks/HEAT_MAPS.md.
QUICK_STEPS = 8
_SHAP_SAMPLES = 200
_SEED = 0
# What belongs to one place of an X-ray is spread over neighbouring pixels, noise is not. Standard
# deviation as a share of the image's side.
_SMOOTHING = 0.04
# The highest pixels of gradients are single ones: that share counts as full heat.
_TOP = 0.999


def load_explainer(folder: StrPath) -> "Explainer":
    """Opens what Trainer left beside a served model.

    Args:
        folder: The SavedModel's.

    Raises:
        UserError: There is nothing, or something else.
    """
    path = os.path.join(folder, filenames.EXPLAIN)
    if not fileio.exists(path):
        raise UserError(
            f"{folder}: holds no {filenames.EXPLAIN}, from which heat maps are made: an older "
            "tfxray exported it, or the run's log says why; train it again"
        )
    try:
        # Safe mode: a model is a file that others hand over, and must not bring code.
        with artifacts.local_copy(path) as local:
            model = keras.saving.load_model(local, compile=False, safe_mode=True)
        return Explainer(model)
    except Exception as error:
        raise UserError(f"{path}: is no model of tfxray's: {str(error)[:300]}") from None


class Explainer:
    """Makes heat maps of one model."""

    def __init__(self, model: keras.Model):
        """Takes a model.

        Args:
            model: See `export_explainable.build_explainable`.

        Raises:
            ValueError: The model is of another shape.
        """
        maps, logits = model.outputs
        if len(model.input_shape) != 4 or len(maps.shape) != 4 or len(logits.shape) != 2:
            raise ValueError(f"takes {model.input_shape}, gives {model.output_shape}")
        self._model = model
        self._softmax = model.name.endswith("softmax")
        self._of_pixels = keras.Model(model.inputs, logits)
        signature = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
        # Traced once; eagerly, each layer of each call costs more than the pixels.
        self._traced_slopes = tf.function(
            self._compute_slopes,
            input_signature=[signature, tf.TensorSpec([], tf.int32)],
            autograph=False,
        )

    @property
    def size(self) -> int:
        """Pixels on each side of the images that it takes."""
        return int(self._model.input_shape[1])

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the feature maps: how fine Grad-CAM can be."""
        rows, columns = self._model.output_shape[0][1:3]
        return rows, columns

    def score(self, pixels: np.ndarray) -> np.ndarray:
        """Scores.

        Args:
            pixels: Grey, 0..255, of shape [n, size, size].

        Returns:
            float32 in 0..1, of shape [n, outputs].
        """
        (logits,) = self._in_batches(pixels, lambda part: (self._of_pixels(part, training=False),))
        return (tf.nn.softmax(logits) if self._softmax else tf.sigmoid(logits)).numpy()

    def heat(
        self,
        pixels: np.ndarray,
        method: str,
        background: np.ndarray | None = None,
        steps: int | None = None,
        output: int = 0,
    ) -> np.ndarray:
        """Tells where a score comes from.

        Args:
            pixels: Grey, 0..255, of shape [n, size, size].
            method: One of `contract.EXPLAIN_METHODS`.
            background: For `shap`: images to compare with, as `pixels`.
            steps: Of integrated gradients, such as `QUICK_STEPS`; by default, as many as it takes
                for the shares to sum to the score.
            output: Which score, where there are several.

        Returns:
            float32 in 0..1, of the same shape: 1 where an image has most that raises the score,
            0 where there is nothing or what lowers it. Each image has a scale of its own; all of
            it is 0 where nothing raises the score.
        """
        shares = self.attributions(pixels, method, background, steps, output)
        if method != GRAD_CAM:
            # Smoothed before what lowers the score is cut off: noise falls out by itself.
            shares = ndimage.gaussian_filter(
                shares, (0, _SMOOTHING * self.size, _SMOOTHING * self.size)
            )
        raising = np.maximum(shares, 0)
        top = np.quantile(raising, 1 if method == GRAD_CAM else _TOP, axis=(1, 2), keepdims=True)
        return np.clip(np.divide(raising, top, where=top > 0, out=np.zeros_like(raising)), 0, 1)

    def attributions(
        self,
        pixels: np.ndarray,
        method: str,
        background: np.ndarray | None = None,
        steps: int | None = None,
        output: int = 0,
    ) -> np.ndarray:
        """What `heat` draws, with its sign.

        Args:
            pixels: Grey, 0..255, of shape [n, size, size].
            method: One of `contract.EXPLAIN_METHODS`.
            background: For `shap`: images to compare with, as `pixels`.
            steps: See `heat`.
            output: Likewise.

        Returns:
            float32 of the same shape. For the two other methods than Grad-CAM, each pixel's share
            in the logit, which sum to how far it lies above the one of a black image (`baseline`)
            or above the background's mean. A class of a softmax has the logit of its probability.

        Raises:
            ValueError: No such method, or no background.
        """
        pixels = np.asarray(pixels, np.float32)
        if method == GRAD_CAM:
            return self._grad_cam(pixels, output)
        if method == INTEGRATED_GRADIENTS:
            step_counts = _STEPS if steps is None else (steps,)
            return np.stack([self._integrated(image, step_counts, output) for image in pixels])
        if method == SHAP and background is not None and len(background):
            return self._shap(pixels, np.asarray(background, np.float32), output)
        raise ValueError(f"{method!r} is none of {contract.EXPLAIN_METHODS}, or lacks a background")

    def _grad_cam(self, pixels: np.ndarray, output: int) -> np.ndarray:
        """Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391."""

        def cam(part: tf.Tensor) -> tuple[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(part)
                maps, logits = self._model(part, training=False)
                logit = self._logit(logits, output)
            weights = tf.reduce_mean(tape.gradient(logit, maps), (1, 2), keepdims=True)
            coarse = tf.reduce_sum(weights * maps, -1, keepdims=True)
            return (tf.image.resize(tf.nn.relu(coarse), [self.size, self.size]),)

        return self._in_batches(pixels, cam)[0][..., 0]

    def _integrated(self, image: np.ndarray, step_counts: Sequence[int], output: int) -> np.ndarray:
        """Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365."""
        start = self.baseline(image[np.newaxis])[0]
        for steps in step_counts:
            between = (np.arange(steps, dtype=np.float32) + 0.5) / steps
            along = np.array([0, 1, *between], np.float32)[:, np.newaxis, np.newaxis]
            slopes, logits = self._in_batches(
                start + along * (image - start), functools.partial(self._slopes, output=output)
            )
            shares = slopes[2:, ..., 0].mean(0) * (image - start)
            low, high = logits[:2, 0]
            if abs(shares.sum() - (high - low)) <= _INCOMPLETE * abs(high - low):
                break
        return shares

    @staticmethod
    def baseline(pixels: np.ndarray) -> np.ndarray:
        """The images that integrated gradients start from: black.

        What is ill is bright on an X-ray. Evenly grey ones, the usual choice elsewhere, are as
        bright as an opacity, which then has no share: benchmarks/HEAT_MAPS.md.
        """
        return np.zeros_like(pixels)

    def _shap(self, pixels: np.ndarray, background: np.ndarray, output: int) -> np.ndarray:
        """Expected gradients: Erion et al. 2021, https://arxiv.org/abs/1906.10670."""
        import shap  # seconds

        # SHAP knows models of tf.keras only, which is Keras 2 wherever TFX was imported before.
        legacy = tf.keras
        keras_input = legacy.Input(self._model.input_shape[1:])
        of_pixels, choose = self._of_pixels, self._logit

        class Through(legacy.layers.Layer):  # type: ignore[name-defined,misc]
            def call(self, pixels: tf.Tensor) -> tf.Tensor:
                return choose(of_pixels(pixels, training=False), output)

        logit = Through()(keras_input)
        keras_model = legacy.Model(keras_input, logit)
        before = np.random.get_state()  # it seeds NumPy's global generator
        try:
            explainer = shap.GradientExplainer(
                keras_model, background[..., np.newaxis], batch_size=_BATCH
            )
            values = explainer.shap_values(
                pixels[..., np.newaxis], nsamples=_SHAP_SAMPLES, rseed=_SEED
            )
        finally:
            np.random.set_state(before)
        return values.reshape(pixels.shape).astype(np.float32)

    def _slopes(self, part: tf.Tensor, output: int) -> tuple[tf.Tensor, tf.Tensor]:
        slopes, logit = self._traced_slopes(part, tf.constant(output))
        return slopes, logit

    def _compute_slopes(self, part: tf.Tensor, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A logit's gradients, [n, size, size, 1], and that logit, [n, 1]."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(part)
            logit = self._logit(self._of_pixels(part, training=False), output)
        return tape.gradient(logit, part), logit

    def _logit(self, logits: tf.Tensor, output: int | tf.Tensor) -> tf.Tensor:
        """One score's logit, [n, 1], of those of all, [n, outputs]."""
        own = tf.gather(logits, output, axis=1)
        if self._softmax:
            others = tf.one_hot(output, tf.shape(logits)[1]) * logits.dtype.min
            own -= tf.reduce_logsumexp(logits + others, axis=1)
        return own[:, tf.newaxis]

    @staticmethod
    def _in_batches(
        pixels: np.ndarray, compute: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]
    ) -> list[np.ndarray]:
        """Computes arrays of [n, …] from [n, size, size], some images at a time."""
        images = pixels[..., np.newaxis]
        parts = [
            [of_part.numpy() for of_part in compute(tf.constant(images[i : i + _BATCH]))]
            for i in range(0, len(images), _BATCH)
        ]
        return [np.concatenate(of_all) for of_all in zip(*parts, strict=True)]
