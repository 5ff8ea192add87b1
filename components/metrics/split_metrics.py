"""Figures of a whole split at the end of a training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from tfxray.components.common.contract import Task

FINDINGS = "findings"  # the key of the figures of each output, where there are several


def measure_split(
    scores: np.ndarray, labels: np.ndarray, thresholds: Sequence[float] | np.ndarray, task: Task
) -> dict[str, Any]:
    """AUC and the like of a whole split.

    Args:
        scores: Calibrated, [n, outputs].
        labels: 1, 0 or, where it is not known, -1, [n, outputs].
        thresholds: Of each output, the score that makes an image positive.
        task: What is asked.

    Returns:
        The figures. Of more than two classes, and of findings, `findings` has those of each by its
        name; beside it stand the means of `auc`, `accuracy` and `cross_entropy` over those that
        have them. A softmax's accuracy and cross entropy are those of its classes.
    """
    figures = []
    for own_labels, own_scores, threshold in zip(labels.T, scores.T, thresholds, strict=True):
        known = own_labels >= 0
        figures.append(_measure(own_scores[known], own_labels[known], threshold))
    if task.binary:
        return figures[0]
    by_name = dict(zip(task.judged, figures, strict=True))
    summary: dict[str, Any] = {}
    for name in ("auc", "accuracy", "cross_entropy"):
        values = [of_one[name] for of_one in figures if name in of_one]
        summary |= {name: float(np.mean(values))} if values else {}
    if task.softmax and len(labels):
        own = np.take_along_axis(scores, labels.argmax(1)[:, np.newaxis], 1)
        summary["accuracy"] = float((scores.argmax(1) == labels.argmax(1)).mean())
        summary["cross_entropy"] = float(-np.log(own).mean())
    return {**summary, FINDINGS: by_name}


def _measure(scores: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float]:
    if not len(labels):
        return {}
    predicted_positive, positive = scores >= threshold, labels == 1
    (tn, fp), (fn, tp) = metrics.confusion_matrix(
        positive, predicted_positive, labels=[False, True]
    ).tolist()
    both = 0 < positive.sum() < len(positive)
    return {
        **({"auc": float(metrics.roc_auc_score(positive, scores))} if both else {}),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "accuracy": (tp + tn) / len(positive),
        "cross_entropy": float(metrics.log_loss(positive, scores, labels=[False, True])),
        "true_positives": tp, "false_positives": fp, "true_negatives": tn, "false_negatives": fn,
    }  # fmt: skip
