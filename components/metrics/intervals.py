"""Figures of held-out scores with intervals by patient: images of one patient are no new evidence.

Each figure's variance is that of its influence values, summed per patient (the sandwich estimator
for clustered data). For the AUC this is Obuchowski's (Biometrics 53:567, 1997), which is DeLong's
where every patient has one image.
"""

import dataclasses
import math

import numpy as np
from scipy import stats

_Z = float(stats.norm.ppf(0.975))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Estimate | None:
    """Area under the ROC curve.

    Args:
        labels: 0 or 1, [n].
        scores: Higher for 1, [n].
        patients: Whose image each is, [n].

    Returns:
        The area, its interval on the logit scale; None where one class is missing.
    """
    return mean_auc(np.asarray(labels)[:, np.newaxis], np.asarray(scores)[:, np.newaxis], patients)


def mean_auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Estimate | None:
    """The mean area under the ROC curves of several findings.

    An image moves the areas of all findings at once. So the variance is that of the sum of its
    influence values: neither the findings' intervals nor their independence enters.

    Args:
        labels: 0, 1 or, where it is not known, -1, [n, k].
        scores: Higher for 1, [n, k].
        patients: Whose image each is, [n].

    Returns:
        The mean over the findings of which both classes are there, its interval on the logit scale;
        None where there is no such finding.
    """
    labels = np.asarray(labels)
    judged = can_judge(labels)
    if not judged.any():
        return None
    value, influence = _mean_auc(labels[:, judged], np.asarray(scores, float)[:, judged], patients)
    deviation = _deviation(influence, patients)
    if deviation and 0 < value < 1:
        middle, width = math.log(value / (1 - value)), _Z * deviation / (value * (1 - value))
        return Estimate(value, _expit(middle - width), _expit(middle + width))
    # All pairs in order (or none): as a proportion of so many patients as the rarest class has.
    patients = np.asarray(patients)
    few = min(
        len(np.unique(patients[own == c])) for own in labels[:, judged].T for c in (False, True)
    )
    return Estimate(value, *_wilson(value, few))


def can_judge(labels: np.ndarray) -> np.ndarray:
    """Of which findings both a positive and a negative image are known, bool [k].

    Args:
        labels: See `mean_auc`.
    """
    return np.asarray((labels == 1).any(0) & (labels == 0).any(0))


def auc_difference(
    labels: np.ndarray, scores: np.ndarray, baseline_scores: np.ndarray, patients: np.ndarray
) -> Estimate | None:
    """AUC of `scores` less that of `baseline_scores`, on the same examples, paired.

    Args:
        labels: 0 or 1, [n].
        scores: One model's, [n].
        baseline_scores: The other's, [n].
        patients: Whose image each is, [n].

    Returns:
        The difference; None where one class is missing.
    """
    one, two, three = (np.asarray(v)[:, np.newaxis] for v in (labels, scores, baseline_scores))
    return mean_auc_difference(one, two, three, patients)


def mean_auc_difference(
    labels: np.ndarray,
    scores: np.ndarray,
    baseline_scores: np.ndarray,
    patients: np.ndarray,
    comparisons: int = 1,
) -> Estimate | None:
    """Mean AUC of `scores` less that of `baseline_scores`, on the same examples, paired.

    Args:
        labels: See `mean_auc`, [n, k].
        scores: One model's, [n, k].
        baseline_scores: The other's, [n, k].
        patients: Whose image each is, [n].
        comparisons: How many differences are looked at. The interval holds for all of them at once
            (Bonferroni).

    Returns:
        The difference; None where no finding has both classes.
    """
    labels = np.asarray(labels)
    judged = can_judge(labels)
    if not judged.any():
        return None
    value, influence = _mean_auc(labels[:, judged], np.asarray(scores, float)[:, judged], patients)
    baseline_value, baseline_influence = _mean_auc(
        labels[:, judged], np.asarray(baseline_scores, float)[:, judged], patients
    )
    z = float(stats.norm.ppf(1 - 0.025 / comparisons))
    width = z * _deviation(influence - baseline_influence, patients)
    return Estimate(
        value - baseline_value, value - baseline_value - width, value - baseline_value + width
    )


def difference(first: Estimate, second: Estimate) -> Estimate:
    """One figure less another that was measured on other patients.

    The interval follows from those of both, whatever their scale (Zou and Donner, Statistics in
    Medicine 27:1693, 2008; of shares, it is Newcombe's, 17:873, 1998). Where patients are in both,
    it is too wide.

    Args:
        first: A figure.
        second: What is taken from it.
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


def share(hits: np.ndarray, patients: np.ndarray) -> Estimate | None:
    """A proportion of images, such as the sensitivity: that of the positive ones that were found.

    Args:
        hits: bool, [n].
        patients: Whose image each is, [n].

    Returns:
        Wilson's interval for as many independent images as the patients' images are worth, at
        least one per patient; None where there is none.
    """
    hits = np.asarray(hits, float)
    if not hits.size:
        return None
    value = float(hits.mean())
    variance = _deviation((hits - value) / hits.size, patients) ** 2
    patient_count = len(np.unique(patients))
    worth = value * (1 - value) / variance if variance else 0.0
    return Estimate(value, *_wilson(value, min(max(worth, patient_count), hits.size)))


def mean(values: np.ndarray, patients: np.ndarray) -> Estimate | None:
    """A mean over images, such as Brier's score or a paired difference.

    Args:
        values: [n].
        patients: Whose image each is, [n].

    Returns:
        The mean; None where there is none.
    """
    values = np.asarray(values, float)
    if not values.size:
        return None
    value = float(values.mean())
    width = _Z * _deviation((values - value) / values.size, patients)
    return Estimate(value, value - width, value + width)


def _mean_auc(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray
) -> tuple[float, np.ndarray]:
    """The mean of the areas, and how much each image moves it."""
    values, influence = [], np.zeros(labels.shape)
    several, patients = labels.shape[1] > 1, np.asarray(patients)
    for place, own in enumerate(labels.T):
        known = own >= 0
        value, influence[known, place] = _auc(own[known] == 1, scores[known, place])
        values.append(value)
        # Of many findings, some are rare, and the spread of a few patients is more than it seems:
        # as in any variance, by n / (n - 1), of the patients that have the class.
        for label in (0, 1) if several else ():
            of_class = own == label
            few = max(2, len(np.unique(patients[of_class])))
            influence[of_class, place] *= math.sqrt(few / (few - 1))
    return float(np.mean(values)), influence.mean(1)


def _auc(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, and how much each image moves it."""
    ranks, positives = stats.rankdata(scores), int(labels.sum())
    negatives = len(labels) - positives
    own = np.empty(len(labels))
    own[labels] = stats.rankdata(scores[labels])
    own[~labels] = stats.rankdata(scores[~labels])
    # The share of the other class that lies on the right side of each image.
    placements = np.where(labels, (ranks - own) / negatives, 1 - (ranks - own) / positives)
    value = float(placements[labels].mean())
    return value, (placements - value) / np.where(labels, positives, negatives)


def _deviation(influence: np.ndarray, patients: np.ndarray) -> float:
    _, own = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    sums = np.bincount(own, weights=influence)
    return math.sqrt(float(sums @ sums) * len(sums) / max(1, len(sums) - 1))


def _wilson(value: float, count: float) -> tuple[float, float]:
    middle = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    width = (
        _Z / (1 + _Z**2 / count) * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    )
    return max(0.0, middle - width), min(1.0, middle + width)


def _expit(x: float) -> float:
    return float(stats.logistic.cdf(x))
