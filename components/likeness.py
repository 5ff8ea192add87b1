"""Does an image look like those the model was trained on? A distance between embeddings."""

import dataclasses
import math

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

_EXAMPLES = 10_000  # of the training split, drawn where it holds more
_DEAD = 0.01  # of the mean standard deviation
_WIDTH = 1024  # wider embeddings are reduced to their first so many components


@dataclasses.dataclass(frozen=True)
class Likeness:
    """Mahalanobis distance to the training split, with shrinkage.

    The covariance is Ledoit and Wolf's (2004): with fewer examples than a few per dimension, the
    plain one cannot be inverted.

    Attributes:
        mean: Of the training split's embeddings, float32 [d].
        whitening: float32 [d, k]: (x - mean) @ whitening has unit covariance.
        limit: The distance above which an image is called unlike.
    """

    mean: np.ndarray
    whitening: np.ndarray
    limit: float = math.inf

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """Distances of embeddings [n, d], per square root of a dimension: 1 is usual."""
        white = (np.asarray(embeddings, np.float32) - self.mean) @ self.whitening
        return np.asarray(np.sqrt(np.mean(white**2, axis=1)))


def draw(count: int, seed: int) -> np.ndarray:
    """The places of the training examples that the distance is fitted on: 10,000 at most."""
    if count <= _EXAMPLES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _EXAMPLES, replace=False))


def fit(training: np.ndarray, validation: np.ndarray, share: float) -> Likeness:
    """Fits the distance on training, and its limit on validation.

    Args:
        training: Embeddings, float32 [n, d].
        validation: Likewise, of patients that training did not see.
        share: Of the validation images that may lie beyond the limit.
    """
    mean, scale = training.mean(axis=0), training.std(axis=0)
    # Standardised first: shrinkage is towards a sphere, in which small dimensions would drown. A
    # dimension that hardly moved (a dead unit) has no scale of its own.
    scale = np.maximum(scale, _DEAD * scale.mean() + 1e-12)
    standard = (training - mean) / scale
    basis = np.eye(training.shape[1])
    if training.shape[1] > _WIDTH:
        width = min(_WIDTH, len(training) - 1)
        reduced = PCA(width, svd_solver="randomized", random_state=0).fit(standard)
        basis = reduced.components_.T
    covariance = LedoitWolf(assume_centered=True).fit(standard @ basis).covariance_
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, values.max() * 1e-9 + 1e-12)
    whitening = (basis @ (vectors / np.sqrt(values))) / scale[:, np.newaxis]
    fitted = Likeness(mean.astype(np.float32), whitening.astype(np.float32))
    if not len(validation):
        return fitted
    limit = np.quantile(fitted.distances(validation), 1 - share, method="higher")
    return dataclasses.replace(fitted, limit=float(limit))
