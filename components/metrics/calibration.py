"""How far scores are from what they say: the expected calibration error."""

import math

import numpy as np


def expected_error(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, over bins of as many images each.

    The mean distance between a bin's mean score and its share of positives (Naeini et al., 2015;
    equal counts as Nixon et al., 2019, have them: bins of equal width are mostly empty).

    Args:
        labels: 0 or 1, [n].
        scores: Probabilities, [n].
        bins: How many, at most.
    """
    labels, scores = np.asarray(labels, float), np.asarray(scores, float)
    gaps = [len(p) * abs(scores[p].mean() - labels[p].mean()) for p in _bins(scores, bins)]
    return float(sum(gaps) / len(scores))


def error_by_chance(scores: np.ndarray, bins: int = 10) -> float:
    """The calibration error that so many images are expected to show if nothing is wrong.

    In a bin, the share of positives varies around the mean score by its standard deviation, and is
    off by sqrt(2 / pi) of that on average.

    Args:
        scores: Probabilities, [n].
        bins: As of `expected_error`.
    """
    scores = np.asarray(scores, float)
    gaps = [math.sqrt(2 / math.pi * float((scores[p] * (1 - scores[p])).sum()))
            for p in _bins(scores, bins)]  # fmt: skip
    return float(sum(gaps) / len(scores))


def _bins(scores: np.ndarray, bins: int) -> list[np.ndarray]:
    """Places, in bins of as many images each, by score."""
    return np.array_split(np.argsort(scores, kind="stable"), min(bins, len(scores)))
