"""What a training minimises and watches: of labels that may be unknown, one or many per image."""

from typing import Any

import keras
import numpy as np

# With 1,000 thresholds, the area differs from the exact one by less than 1e-3.
_THRESHOLDS = 1_000


def make_loss(softmax: bool, smoothing: float) -> keras.losses.Loss:
    """The loss: a sum, whose weights make it a mean; see `examples.Examples.passes`.

    Args:
        softmax: Whether the scores of an image sum to 1.
        smoothing: The config's `train.label_smoothing`.
    """
    if softmax:
        return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing, reduction="sum")
    return EachCrossEntropy(smoothing)


def make_metrics(softmax: bool, outputs: int) -> list[keras.metrics.Metric]:
    """What is watched: `accuracy`, `auc` and `cross_entropy`, over the labels that are known.

    Args:
        softmax: Whether the scores of an image sum to 1.
        outputs: How many there are.
    """
    if softmax:
        return [
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            MeanAuc(outputs),
            keras.metrics.CategoricalCrossentropy(name="cross_entropy"),
        ]
    return [
        OfKnown(_is_right, "accuracy"),
        MeanAuc(outputs),
        OfKnown(keras.ops.binary_crossentropy, "cross_entropy"),
    ]


def _known(labels: Any) -> Any:
    return keras.ops.cast(labels >= 0, "float32")


class EachCrossEntropy(keras.losses.Loss):
    """Binary cross entropy of each output, [n, outputs]; 0 where the label is not known."""

    def __init__(self, smoothing: float):
        super().__init__("cross_entropy", reduction="sum")
        self._smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """See `keras.losses.Loss`."""
        labels = keras.ops.maximum(y_true, 0)
        smooth = labels * (1 - self._smoothing) + 0.5 * self._smoothing
        return keras.ops.binary_crossentropy(smooth, y_pred) * _known(y_true)


class OfKnown(keras.metrics.MeanMetricWrapper):
    """The mean, over the labels that are known, of a function of labels and scores."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """See `keras.metrics.Metric`."""
        del sample_weight
        labels = keras.ops.convert_to_tensor(y_true)
        super().update_state(keras.ops.maximum(labels, 0), y_pred, _known(labels))


def _is_right(labels: Any, scores: Any) -> Any:
    return keras.ops.cast((scores > 0.5) == (labels > 0.5), "float32")


class MeanAuc(keras.metrics.AUC):
    """The mean AUC of the outputs of which both a positive and a negative label are known."""

    def __init__(self, outputs: int):
        super().__init__(_THRESHOLDS, name="auc", multi_label=True, num_labels=outputs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """See `keras.metrics.Metric`."""
        del sample_weight
        labels = keras.ops.convert_to_tensor(y_true)
        super().update_state(keras.ops.maximum(labels, 0), y_pred, _known(labels))

    def result(self) -> Any:
        """The mean; 0 where no output can be judged."""
        divide = keras.ops.divide_no_nan
        found = divide(self.true_positives, self.true_positives + self.false_negatives)
        alarms = divide(self.false_positives, self.false_positives + self.true_negatives)
        areas = keras.ops.sum((alarms[:-1] - alarms[1:]) * (found[:-1] + found[1:]) / 2, axis=0)
        # At the lowest threshold, all are called positive.
        judged = (self.true_positives[0] > 0) & (self.false_positives[0] > 0)
        judged = keras.ops.cast(judged, "float32")
        return divide(keras.ops.sum(areas * judged), keras.ops.sum(judged))


def count_labels(labels: np.ndarray) -> np.ndarray:
    """How many labels of each output are 0, and how many 1; [2, outputs].

    Args:
        labels: See `examples.Examples.labels`.
    """
    return np.stack([(labels == value).sum(0) for value in (0, 1)])


def weigh_labels(
    labels: np.ndarray, label_counts: np.ndarray, softmax: bool, balanced: bool
) -> np.ndarray:
    """What each label counts in the loss.

    Args:
        labels: See `examples.Examples.labels`.
        label_counts: See `count_labels`; of the whole split.
        softmax: Whether a row tells one class of several.
        balanced: As scikit-learn has it: n / (classes * n of the class). A finding has two, present
            and absent, and n counts its known labels.

    Returns:
        float32 [n, outputs], 0 where a label is not known; the loss is the mean over the outputs.
        Of a softmax, [n, 1].
    """
    if softmax:
        numbers = labels.argmax(1)
        counts = label_counts[1]
        weights = counts.sum() / (len(counts) * counts) if balanced else np.ones(len(counts))
        return np.asarray(weights[numbers, np.newaxis], np.float32)
    known = labels >= 0
    weights = known.astype(float)
    if balanced:
        of_each = label_counts.sum(0) / (2 * np.maximum(label_counts, 1))
        for value in (0, 1):
            weights = np.where(labels == value, of_each[value], weights)
    return np.asarray(weights / labels.shape[1], np.float32)
