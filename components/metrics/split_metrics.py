"""Figures of a whole split at the end of a training."""

import numpy as np
from sklearn import metrics


def measure_split(scores: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float]:
    """AUC and the like of a whole split.

    Args:
        scores: Calibrated, [n].
        labels: 0 or 1, [n].
        threshold: The score that makes an image positive.
    """
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
