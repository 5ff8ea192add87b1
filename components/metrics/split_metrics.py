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
    said, true = scores >= threshold, labels == 1
    (tn, fp), (fn, tp) = metrics.confusion_matrix(true, said, labels=[False, True]).tolist()
    both = 0 < true.sum() < len(true)
    return {
        **({"auc": float(metrics.roc_auc_score(true, scores))} if both else {}),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "accuracy": (tp + tn) / len(true),
        "cross_entropy": float(metrics.log_loss(true, scores, labels=[False, True])),
        "true_positives": tp, "false_positives": fp, "true_negatives": tn, "false_negatives": fn,
    }  # fmt: skip
