"""Does an image look like those the model was trained on? A distance between embeddings."""

import dataclasses
import math

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

TINY = 1e-6  # the least length that an embedding is divided by
_EXAMPLES = 5_000  # of a split, drawn where it holds more
_WIDTH = 1024  # wider embeddings are reduced to their first so many components


@dataclasses.dataclass(frozen=True)
class Unlikeness:
    """Mahalanobis distance to the training split, of embeddings of unit length, with shrinkage.

    Of unit length, since an embedding's length tells more of brightness and contrast than of
    content (Mueller and Hein, "Mahalanobis++", 2025; benchmarks/OUT_OF_DISTRIBUTION.md has it
    beside others). The covariance is Ledoit and Wolf's (2004): with fewer examples than a few per
    dimension, the plain one cannot be inverted.

    Attributes:
        mean: Of the training split's embeddings of unit length, float32 [d].
        whitening: float32 [d, k]: (x / |x| - mean) @ whitening has unit covariance.
        limit: The distance above which an image is called unlike.
    """

    mean: np.ndarray
    whitening: np.ndarray
    limit: float = math.inf

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """Distances of embeddings [n, d], per square root of a dimension."""
        white = (_unit(embeddings) - self.mean) @ self.whitening
        return np.asarray(np.sqrt(np.mean(white**2, axis=1)))


def draw_examples(count: int, seed: int) -> np.ndarray:
    """The places of the examples that the distance, or its limit, is fitted on: 5,000 at most.

    Args:
        count: How many the split holds.
        seed: Of the draw.
    """
    if count <= _EXAMPLES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _EXAMPLES, replace=False))


def fit_unlikeness(training: np.ndarray, validation: np.ndarray, share: float) -> Unlikeness:
    """Fits the distance on training, and its limit on validation.

    Args:
        training: Embeddings, float32 [n, d].
        validation: Likewise, of patients that training did not see.
        share: Of the validation images that may lie beyond the limit.
    """
    training = _unit(training)
    mean = training.mean(axis=0)
    basis = np.eye(training.shape[1])
    if training.shape[1] > _WIDTH:
        width = min(_WIDTH, len(training) - 1)
        pca = PCA(width, svd_solver="covariance_eigh").fit(training)
        basis = pca.components_.T
    covariance = LedoitWolf(assume_centered=True).fit((training - mean) @ basis).covariance_
    values, vectors = np.linalg.eigh(covariance)
    # A dimension that never moved (a dead unit) has no scale of its own.
    values = np.maximum(values, values.max() * 1e-9 + 1e-12)
    whitening = basis @ (vectors / np.sqrt(values))
    unlikeness = Unlikeness(mean.astype(np.float32), whitening.astype(np.float32))
    if not len(validation):
        return unlikeness
    limit = np.quantile(unlikeness.distances(validation), 1 - share, method="higher")
    return dataclasses.replace(unlikeness, limit=float(limit))


def _unit(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, TINY), np.float32)
