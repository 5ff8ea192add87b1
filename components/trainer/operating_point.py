"""The operating point: a temperature and a threshold, both fitted on the validation split.

The test split chooses nothing.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import optimize
from sklearn import metrics

# No score is certain: 0 and 1 have no logit, and one wrong one makes a cross entropy infinite.
EPSILON = 1e-7
_RANGE = (0.05, 20.0)  # of temperatures
_LEAST = 5  # validation examples of each class, below which nothing is fitted


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What the served model does with a score.

    Attributes:
        rule: The rule that chose the threshold, in words.
        threshold: Of the calibrated score; an image that reaches it is called positive.
        temperature: The divisor of the logit (Guo et al., "On Calibration of Modern Neural
            Networks", 2017); 1 leaves it as it is.
        validation: Its figures on the validation split: `sensitivity`, `specificity`,
            `positives`, `negatives`.
    """

    rule: str
    threshold: float
    temperature: float
    validation: dict[str, float]

    def calibrate(self, scores: np.ndarray) -> np.ndarray:
        """Turns raw scores into those that the served model gives."""
        return _clip(_sigmoid(_logits(scores) / self.temperature))


def fit_operating_point(
    scores: np.ndarray, labels: np.ndarray, serving: Mapping[str, Any]
) -> OperatingPoint:
    """Fits temperature and threshold.

    Args:
        scores: Of the validation split, 0..1, [n].
        labels: 0 or 1, [n].
        serving: The config's `serving`: `calibrate` and `threshold`.

    Returns:
        The operating point. Where validation holds fewer than 5 of a class, nothing is fitted: the
        threshold is 0.5, and `rule` says so.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    few = np.bincount(labels, minlength=2).min() < _LEAST
    temperature = 1.0 if few or not serving["calibrate"] else _temperature(scores, labels)
    point = OperatingPoint("", 0.5, temperature, {})
    calibrated_scores = point.calibrate(scores)
    rule, threshold = _threshold(calibrated_scores, labels, serving["threshold"], few)
    return dataclasses.replace(
        point,
        rule=rule,
        threshold=threshold,
        validation=_figures(calibrated_scores >= threshold, labels == 1),
    )


def _threshold(
    scores: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any], few: bool
) -> tuple[str, float]:
    rule = settings["rule"]
    if rule == "fixed":
        return f"fixed at {settings['value']:g}", float(settings["value"])
    if few:
        return f"0.5, since validation holds fewer than {_LEAST} images of a class", 0.5
    false, true, at = metrics.roc_curve(labels, scores, drop_intermediate=False)
    if rule == "youden":
        best, words = int(np.argmax(true - false)), "Youden's: most sensitivity + specificity"
    elif rule == "sensitivity":
        best = int(np.argmax(true >= settings["sensitivity"]))
        words = f"sensitivity of at least {settings['sensitivity']:g}"
    else:
        positives = labels.sum()
        cost = settings["cost_of_miss"] * (1 - true) * positives
        cost += false * (len(labels) - positives)
        best = int(np.argmin(cost))
        words = f"least cost, a miss at {settings['cost_of_miss']:g} false alarms"
    # Half way to the next score below, so that neither rounding nor a hair's breadth decides.
    above, below = min(at[best], 1.0), at[best + 1] if best + 1 < len(at) else 0.0
    return words, float((above + below) / 2)


def _temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    logits, positives = _logits(scores), labels.sum()
    # Platt's targets (1999): where validation holds no mistake, certainty would fit it best.
    sure, never = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    targets = np.where(labels == 1, sure, never)

    def loss(log_temperature: float) -> float:
        p = _clip(_sigmoid(logits / np.exp(log_temperature)))
        return float(-np.mean(targets * np.log(p) + (1 - targets) * np.log1p(-p)))

    bounds = tuple(np.log(_RANGE))
    return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _figures(predictions: np.ndarray, true: np.ndarray) -> dict[str, float]:
    positives, negatives = int(true.sum()), int((~true).sum())
    return {
        "sensitivity": float((predictions & true).sum() / positives) if positives else 0.0,
        "specificity": float((~predictions & ~true).sum() / negatives) if negatives else 0.0,
        "positives": positives,
        "negatives": negatives,
    }


def _logits(scores: np.ndarray) -> np.ndarray:
    clipped_scores = _clip(np.asarray(scores, float))
    return np.asarray(np.log(clipped_scores) - np.log1p(-clipped_scores))


def _clip(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(scores, EPSILON, 1 - EPSILON))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))
