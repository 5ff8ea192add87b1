"""What the held-out labels say that a served score means: a probability, and how sure that is."""

import dataclasses

import numpy as np
from scipy import optimize, special

# Scores are calibrated on validation already. So the map is the identity until held-out labels say
# otherwise: intercept 0 and slope 1, with these standard deviations. That also keeps the fit finite
# where the classes do not overlap.
_PRIOR = np.array([0.0, 1.0])
_PRECISION = np.diag([1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class CalibrationMap:
    """From the logit of a score to that of the probability: `intercept + slope * logit`.

    Attributes:
        intercept: In logits.
        slope: 1 where the scores say what they mean.
        covariance: Of the two, by patient: [[var, cov], [cov, var]].
    """

    intercept: float
    slope: float
    covariance: tuple[tuple[float, float], tuple[float, float]]

    def chances(self, logits: np.ndarray) -> np.ndarray:
        """The probability that an image is positive, [n]."""
        return np.asarray(special.expit(self.intercept + self.slope * np.asarray(logits)))

    def moved(self, step: np.ndarray) -> "CalibrationMap":
        """The map with other parameters: these and a step, [2]."""
        return dataclasses.replace(
            self, intercept=self.intercept + float(step[0]), slope=self.slope + float(step[1])
        )


def fit_calibration(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> CalibrationMap:
    """Fits the map by logistic regression (Platt, 1999; Cox, Biometrika 45:562, 1958).

    Args:
        labels: 0 or 1, [n].
        scores: Served, within 0..1, [n].
        patients: Whose image each is, [n]. The covariance is the sandwich estimator's for
            clustered data, as in `intervals`.
    """
    logits = special.logit(np.clip(np.asarray(scores, float), 1e-7, 1 - 1e-7))
    design = np.column_stack([np.ones(len(logits)), logits])
    labels = np.asarray(labels, float)

    def loss(x: np.ndarray) -> float:
        z, off = design @ x, x - _PRIOR
        return float(np.logaddexp(0, z).sum() - labels @ z + 0.5 * off @ _PRECISION @ off)

    def slope(x: np.ndarray) -> np.ndarray:
        residuals = special.expit(design @ x) - labels
        return np.asarray(design.T @ residuals + _PRECISION @ (x - _PRIOR))

    best = optimize.minimize(loss, _PRIOR, jac=slope, method="BFGS").x
    chances = special.expit(design @ best)
    information = (design * (chances * (1 - chances))[:, None]).T @ design + _PRECISION
    _, own = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    influence = design * (labels - chances)[:, None]
    sums = np.column_stack([np.bincount(own, weights=column) for column in influence.T])
    count = len(sums)
    meat = sums.T @ sums * count / max(1, count - 1) + _PRECISION
    inverse = np.linalg.inv(information)
    (a, b), (c, d) = (inverse @ meat @ inverse).tolist()
    return CalibrationMap(float(best[0]), float(best[1]), ((a, b), (c, d)))
