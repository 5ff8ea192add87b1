"""The operating points: calibration and threshold of each output, fitted on the validation split.

The test split chooses nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special
from sklearn import metrics

from tfxray.components.metrics.split_metrics import FINDINGS

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
            Networks", 2017); 1 leaves it as it is. The classes of a softmax share one.
        validation: Its figures on the validation split: `sensitivity`, `specificity`,
            `positives`, `negatives`.
    """

    rule: str
    threshold: float
    temperature: float
    validation: dict[str, float]


@dataclasses.dataclass(frozen=True)
class OperatingPoints:
    """What the served model does with the scores of an image.

    Attributes:
        points: One for each output.
        softmax: Whether the scores sum to 1.
    """

    points: tuple[OperatingPoint, ...]
    softmax: bool

    @property
    def thresholds(self) -> np.ndarray:
        """Of the calibrated scores, [outputs]."""
        return np.array([point.threshold for point in self.points])

    @property
    def temperatures(self) -> np.ndarray:
        """See `OperatingPoint.temperature`, [outputs]."""
        return np.array([point.temperature for point in self.points])

    def describe(self, names: Sequence[str]) -> dict[str, Any]:
        """The fields of the only point; of several, `findings` has those of each by its name."""
        by_name = dict(zip(names, map(dataclasses.asdict, self.points), strict=True))
        return next(iter(by_name.values())) if len(by_name) == 1 else {FINDINGS: by_name}

    def calibrate(self, scores: np.ndarray) -> np.ndarray:
        """Turns raw scores into those that the served model gives, [n, outputs]."""
        return _calibrate(scores, self.temperatures, self.softmax)


def fit_operating_points(
    scores: np.ndarray, labels: np.ndarray, serving: Mapping[str, Any], softmax: bool
) -> OperatingPoints:
    """Fits temperatures and thresholds.

    Args:
        scores: Of the validation split, 0..1, [n, outputs].
        labels: See `examples.Examples.labels`, [n, outputs].
        serving: The config's `serving`: `calibrate` and `threshold`.
        softmax: Whether the scores sum to 1.

    Returns:
        The operating points. Where validation holds fewer than 5 positive or negative labels of an
        output, nothing is fitted: its threshold is 0.5, and `rule` says so.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    few = np.array([min((own == 0).sum(), (own == 1).sum()) < _LEAST for own in labels.T])
    temperatures = np.ones(len(few))
    if serving["calibrate"] and softmax and not few.any():
        temperatures[:] = _softmax_temperature(scores, labels)
    elif serving["calibrate"] and not softmax:
        for place in np.flatnonzero(~few):
            known = labels[:, place] >= 0
            temperatures[place] = _temperature(scores[known, place], labels[known, place])
    calibrated_scores = _calibrate(scores, temperatures, softmax)
    points = []
    for place, temperature in enumerate(temperatures):
        known = labels[:, place] >= 0
        own, truth = calibrated_scores[known, place], labels[known, place]
        rule, threshold = _threshold(own, truth, serving["threshold"], few[place])
        figures = _figures(own >= threshold, truth == 1)
        points.append(OperatingPoint(rule, threshold, float(temperature), figures))
    return OperatingPoints(tuple(points), softmax)


def _calibrate(scores: np.ndarray, temperatures: np.ndarray, softmax: bool) -> np.ndarray:
    if softmax:
        return _clip(special.softmax(np.log(_clip(scores)) / temperatures, axis=1))
    return _clip(_sigmoid(_logits(scores) / temperatures))


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

    return _least_loss(loss)


def _softmax_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    logits, (count, classes) = np.log(_clip(scores)), labels.shape
    targets = (count * labels + 1) / (count + classes)  # as above: nothing is certain

    def loss(log_temperature: float) -> float:
        return float(-np.mean(targets * special.log_softmax(logits / np.exp(log_temperature), 1)))

    return _least_loss(loss)


def _least_loss(loss: Callable[[float], float]) -> float:
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
