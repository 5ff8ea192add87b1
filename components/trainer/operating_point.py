"""The operating points: calibration and threshold of each output, fitted on the validation split.

The test split chooses nothing.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special
from sklearn import metrics

from tfxray.components.common.contract import Task
from tfxray.components.metrics.split_metrics import FINDINGS
from tfxray.components.trainer.scaling import Scaling, fit_scaling

_LEAST = 5  # validation examples of each class, below which nothing is fitted


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What the served model does with a score.

    Attributes:
        rule: The rule that chose the threshold, in words.
        threshold: Of the calibrated score; an image that reaches it is called positive.
        temperature: The divisor of the logit; see `scaling.Scaling`.
        bias: What is then added.
        validation: Its figures on the validation split: `sensitivity`, `specificity`,
            `positives`, `negatives`.
    """

    rule: str
    threshold: float
    temperature: float
    bias: float
    validation: dict[str, float]


@dataclasses.dataclass(frozen=True)
class OperatingPoints:
    """What the served model does with the scores of an image.

    Attributes:
        points: One for each output.
        scaling: From raw scores to those that the points are of.
    """

    points: tuple[OperatingPoint, ...]
    scaling: Scaling

    @property
    def thresholds(self) -> np.ndarray:
        """Of the calibrated scores, [outputs]."""
        return np.array([point.threshold for point in self.points])

    def describe(self, task: Task) -> dict[str, Any]:
        """Of two classes, the point's fields; else `findings` has those of each by its name."""
        by_name = dict(zip(task.judged, map(dataclasses.asdict, self.points), strict=True))
        return by_name[task.judged[0]] if task.binary else {FINDINGS: by_name}


def fit_operating_points(
    scores: np.ndarray,
    labels: np.ndarray,
    serving: Mapping[str, Any],
    softmax: bool,
    prior: np.ndarray | float = 0.0,
) -> OperatingPoints:
    """Fits scaling and thresholds.

    Args:
        scores: Of the validation split, 0..1, [n, outputs].
        labels: See `examples.Examples.labels`, [n, outputs].
        serving: `calibrate`, see `scaling.fit_scaling`, and the config's `serving.threshold`.
        softmax: Whether the scores sum to 1.
        prior: See `scaling.fit_scaling`.

    Returns:
        The operating points. Where validation holds fewer than 5 positive or negative labels of an
        output, nothing is fitted: its threshold is 0.5 of the raw score, and `rule` says so.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    few = np.array([min((own == 0).sum(), (own == 1).sum()) < _LEAST for own in labels.T])
    scaling = fit_scaling(scores, labels, ~few, softmax, serving["calibrate"], prior)
    scaled_scores = scaling.apply(scores)
    points = []
    for place, few_of_one in enumerate(few):
        known = labels[:, place] >= 0
        own, truth = scaled_scores[known, place], labels[known, place]
        temperature, bias = float(scaling.temperatures[place]), float(scaling.biases[place])
        if few_of_one and serving["threshold"]["rule"] != "fixed":
            undone = " before class weights are undone" if bias else ""
            rule = f"0.5{undone}, since validation holds fewer than {_LEAST} images of a class"
            threshold = float(special.expit(bias))
        else:
            rule, threshold = _threshold(own, truth, serving["threshold"])
        figures = _figures(own >= threshold, truth == 1)
        points.append(OperatingPoint(rule, threshold, temperature, bias, figures))
    return OperatingPoints(tuple(points), scaling)


def _threshold(
    scores: np.ndarray, labels: np.ndarray, settings: Mapping[str, Any]
) -> tuple[str, float]:
    rule = settings["rule"]
    if rule == "fixed":
        return f"fixed at {settings['value']:g}", float(settings["value"])
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


def _figures(predictions: np.ndarray, true: np.ndarray) -> dict[str, float]:
    positives, negatives = int(true.sum()), int((~true).sum())
    return {
        "sensitivity": float((predictions & true).sum() / positives) if positives else 0.0,
        "specificity": float((~predictions & ~true).sum() / negatives) if negatives else 0.0,
        "positives": positives,
        "negatives": negatives,
    }
