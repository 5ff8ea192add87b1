"""ROC, precision-recall and reliability curves, with intervals by patient."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfxray.components.evaluator.results import Figure
from tfxray.components.metrics import intervals

GRID = np.linspace(0, 1, 101)
_POINTS = 500  # of a curve, at most: what a screen can show
_CELLS = 4_000_000  # draws times images that are in memory at once
_BANDS, _FIGURES = 500, 200  # draws


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve and its band.

    Attributes:
        x: Of the curve's points.
        y: The same.
        low: The band's lower end over `GRID`.
        high: Its upper end.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def compute_roc_and_pr(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray
) -> tuple[Curve, Curve] | None:
    """Both curves, with 95 % bands from a bootstrap of patients.

    Args:
        labels: 0 or 1, [n].
        scores: Higher for 1, [n].
        patients: Whose image each is, [n].

    Returns:
        Sensitivity over the false positive rate, precision over sensitivity; None where a class
        is missing.
    """
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        return None
    order, last = _order(scores)
    hits, alarms = _counts(np.ones((1, len(labels))), labels[order], order, last)
    roc_draws, pr_draws = [], []
    for weights in _draws(patients, _BANDS):
        for h, a in zip(*_counts(weights, labels[order], order, last), strict=True):
            if h[-1] and a[-1]:
                roc_draws.append(_over_grid(a / a[-1], h / h[-1]))
                pr_draws.append(_precision_over_grid(h, a))
    sensitivity, false = hits[0] / hits[0, -1], alarms[0] / alarms[0, -1]
    precision = hits[0] / (hits[0] + alarms[0])
    roc = _curve(np.r_[0, false], np.r_[0, sensitivity], roc_draws)
    pr = _curve(np.r_[0, sensitivity], np.r_[precision[0], precision], pr_draws)
    return roc, pr


def average_precision(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Figure:
    """Area under the precision-recall curve, in steps, with a bootstrap interval by patient.

    Args:
        labels: Bool, of both classes, [n].
        scores: Higher for True, [n].
        patients: Whose image each is, [n].
    """
    order, last = _order(scores)
    labels = labels[order]
    value = _areas(*_counts(np.ones((1, len(labels))), labels, order, last))[0]
    areas = np.concatenate(
        [_areas(*_counts(w, labels, order, last)) for w in _draws(patients, _FIGURES)]
    )
    low, high = np.nanpercentile(areas, [2.5, 97.5])
    if low == high:
        return Figure(float(value))  # all in order, in every draw: that tells no spread
    return Figure(float(value), float(min(low, value)), float(max(high, value)))


def _areas(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    total = hits[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(hits / (hits + alarms))
        gains = np.diff(hits, axis=1, prepend=0)
        return np.where(total > 0, (gains * precision).sum(axis=1) / total, np.nan)


def _order(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores from high to low, and where each distinct one ends."""
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    sorted_scores = np.asarray(scores)[order]
    return order, np.flatnonzero(np.r_[sorted_scores[1:] != sorted_scores[:-1], True])


def _counts(
    weights: np.ndarray, labels: np.ndarray, order: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at every distinct score, by draw: [draws, distinct]."""
    sorted_weights = weights[:, order]
    return (
        np.cumsum(sorted_weights * labels, axis=1)[:, last],
        np.cumsum(sorted_weights * ~labels, axis=1)[:, last],
    )


def _draws(patients: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """How often each image is drawn where patients are, with replacement: [some, n] a time."""
    _, own = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    patient_count, random = own.max() + 1, np.random.default_rng(0)
    at_once = max(1, _CELLS // max(len(own), patient_count))
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        yield random.multinomial(patient_count, np.full(patient_count, 1 / patient_count), size)[
            :, own
        ].astype(float)


def _over_grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.interp(GRID, np.r_[0, x], np.r_[0, y])


def _precision_over_grid(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    defined = hits + alarms > 0  # the best images may not have been drawn
    precision = hits[defined] / (hits + alarms)[defined]
    return np.interp(GRID, hits[defined] / hits[-1], precision)


def _curve(x: np.ndarray, y: np.ndarray, draws: list[np.ndarray]) -> Curve:
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).round().astype(int))
    return Curve(x[places], y[places], low, high)


@dataclasses.dataclass(frozen=True)
class Bin:
    """Images of like scores.

    Attributes:
        score: Their mean score.
        positives: The share of positive ones among them, with its interval by patient.
        images: How many.
    """

    score: float
    positives: intervals.Estimate
    images: int


def bin_scores(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, bins: int = 10
) -> list[Bin]:
    """What became of the images of like scores: the bins of `calibration.expected_error`.

    Args:
        labels: 0 or 1, [n].
        scores: Probabilities, [n].
        patients: Whose image each is, [n].
        bins: How many, at most, of as many images each.
    """
    order = np.argsort(scores, kind="stable")
    groups = []
    for places in np.array_split(order, min(bins, len(order))):
        positives = intervals.share(np.asarray(labels)[places] == 1, np.asarray(patients)[places])
        if positives is not None:
            groups.append(Bin(float(np.mean(np.asarray(scores)[places])), positives, len(places)))
    return groups
