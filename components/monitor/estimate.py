"""The AUC without labels: what calibrated scores say of themselves.

Confidence-based performance estimation, which NannyML calls CBPE (Kivimäki, Białek, Kuberski and
Nurminen, arXiv:2505.05295, 2025; for the AUC, NannyML's documentation). If a score is a
probability, the labels to expect follow from it, and so does the AUC. NannyML itself asks for the
rows of the held-out scores, which a pushed model must not hold. Here counts do, and the interval
says how sure the estimate is.

What it sees: images of the kinds that the held-out split has, in another mix (covariate shift).
What it cannot see: a disease that looks otherwise, or labels that are given otherwise (concept
shift), since no score tells of it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from tfxray.components.metrics.intervals import Estimate
from tfxray.components.watch.calibration_map import CalibrationMap
from tfxray.components.watch.reference import HeldOut
from tfxray.components.watch.score_histogram import ScoreHistogram

_Z = float(stats.norm.ppf(0.975))
LEAST = 5.0  # positive images to expect, and negative ones, below which there is no estimate
_STEP = 1e-4  # of the calibration's parameters, for the slope of the AUC along them


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is expected of the labels of some images.

    Attributes:
        positives: The share of positive images.
        auc: None where too few of a class are expected.
        deviation: Its standard deviation.
    """

    positives: float
    auc: float | None
    deviation: float


def expect_labels(scores: ScoreHistogram, heldout: HeldOut, clustering: float) -> Expected:
    """Estimates the AUC that labels of these images would show.

    Its variance has two parts: that of the labels, given the scores, and that of the calibration,
    which was fitted on held-out images. The first is wider by the clustering, since images of one
    patient have labels that are alike.

    Args:
        scores: Of the images.
        heldout: The held-out scores, of images like these: the meaning of a score is theirs.
        clustering: See `scale_clustering`.
    """
    logits, counts = scores.filled()
    if not len(logits):
        return Expected(math.nan, None, math.nan)
    chances = heldout.calibration.chances(logits)
    positives, negatives = counts * chances, counts * (1 - chances)
    share = float(positives.sum() / counts.sum())
    if min(positives.sum(), negatives.sum()) < LEAST:
        return Expected(share, None, math.nan)
    auc, influence = _auc(positives, negatives)
    of_labels = clustering * float((counts * chances * (1 - chances)) @ influence**2)
    slope = _slope(logits, counts, heldout.calibration)
    of_calibration = float(slope @ np.array(heldout.calibration.covariance) @ slope)
    return Expected(share, auc, math.sqrt(of_labels + of_calibration))


def _auc(positives: np.ndarray, negatives: np.ndarray) -> tuple[float, np.ndarray]:
    """The area of expected counts by ascending score; what one more positive label moves it by."""
    total_positives, total_negatives = positives.sum(), negatives.sum()
    # Of each score: the negatives below it and the positives above it, ties as halves.
    below = np.cumsum(negatives) - negatives / 2
    above = total_positives - np.cumsum(positives) + positives / 2
    pairs = total_positives * total_negatives
    area = float(positives @ below / pairs)
    moved = below - above - area * (total_negatives - total_positives)
    return area, moved / pairs


def _slope(logits: np.ndarray, counts: np.ndarray, calibration: CalibrationMap) -> np.ndarray:
    """How the area moves with the calibration's intercept and slope, [2]."""

    def area(step: np.ndarray) -> float:
        chances = calibration.moved(step).chances(logits)
        return _auc(counts * chances, counts * (1 - chances))[0]

    return np.array([(area(step) - area(-step)) / (2 * _STEP) for step in _STEP * np.eye(2)])


def scale_clustering(clustering: float, heldout_images: float, images: float | None) -> float:
    """The design effect for images that are more, or fewer, per patient than the held-out ones.

    By Kish (1965), it is 1 + (m - 1) * rho for m images of a patient.

    Args:
        clustering: The design effect of the held-out images.
        heldout_images: Per patient.
        images: Per patient; None where patients are not known. It is then taken to be the same.
    """
    if images is None or heldout_images <= 1:
        return clustering
    return 1 + (clustering - 1) * max(0.0, images - 1) / (heldout_images - 1)


def fit_prevalence(scores: ScoreHistogram, heldout: HeldOut) -> tuple[float, float] | None:
    """How many images would be positive if only that share had changed.

    The mixture of the held-out positives' and negatives' scores whose distribution is nearest
    (Forman, Data Mining and Knowledge Discovery 17:164, 2008, has such mixture models).

    Args:
        scores: Of the images.
        heldout: The held-out scores.

    Returns:
        The share, and the largest gap that then remains between the shares below a score. None
        where a class is missing.
    """
    positives, negatives = heldout.positives, heldout.negatives
    if not (scores.total and positives.total and negatives.total):
        return None
    now, one, zero = (np.cumsum(h.counts) / h.total for h in (scores, positives, negatives))
    weights = heldout.scores.counts
    square = float(weights @ (one - zero) ** 2)
    if not square:
        return None
    share = float(np.clip((weights * (now - zero)) @ (one - zero) / square, 0, 1))
    return share, float(np.abs(now - share * one - (1 - share) * zero).max())


def estimate_mean(expected: Sequence[Expected]) -> Estimate | None:
    """The mean AUC over those that have one, with its 95 % interval on the logit scale.

    Args:
        expected: Of each class or finding. An image moves all of them at once, by how much no
            count tells: the deviation is that of areas that move together, the widest there is.
    """
    known = [(each.auc, each.deviation) for each in expected if each.auc is not None]
    if not known:
        return None
    value, deviation = (float(np.mean(column)) for column in zip(*known, strict=True))
    if not 0 < value < 1:
        return Estimate(value, value, value)
    middle, width = math.log(value / (1 - value)), _Z * deviation / (value * (1 - value))
    ends = stats.logistic.cdf([middle - width, middle + width])
    return Estimate(value, float(ends[0]), float(ends[1]))


def expect_all(
    scores: Mapping[str, ScoreHistogram],
    heldout: Mapping[str, HeldOut],
    heldout_images: float,
    images: float | None,
) -> dict[str, Expected]:
    """What is expected of each class or finding; see `expect_labels` and `scale_clustering`."""
    return {
        name: expect_labels(
            scores[name], own, scale_clustering(own.clustering, heldout_images, images)
        )
        for name, own in heldout.items()
    }
