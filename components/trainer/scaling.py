"""From what a network says to probabilities: scores are scaled as the validation split has it."""

import dataclasses

import numpy as np
from scipy import optimize, special, stats

# No score is certain: 0 and 1 have no logit, and one wrong one makes a cross entropy infinite.
EPSILON = 1e-7
_TEMPERATURES, _MOST_BIAS = (0.05, 20.0), 20.0
# Chance alone makes biases look needed in one fit of twenty, and then they cost next to nothing
# (benchmarks/CALIBRATION.md).
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Scaling:
    """What is done with the logits of an image.

    Attributes:
        temperatures: Their divisors, [outputs]; 1 leaves a logit as it is. The classes of a softmax
            share one.
        biases: What is then added, [outputs]; 0 adds nothing.
        softmax: Whether the scores sum to 1. The logits of a softmax are the logarithms of its
            scores.
    """

    temperatures: np.ndarray
    biases: np.ndarray
    softmax: bool

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool((self.temperatures != 1).any() or self.biases.any())

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Turns raw scores into those that the served model gives, [n, outputs]."""
        scaled = _logits(scores, self.softmax) / self.temperatures + self.biases
        chances = special.softmax(scaled, axis=1) if self.softmax else special.expit(scaled)
        return _clip(chances)


def fit_scaling(
    scores: np.ndarray,
    labels: np.ndarray,
    fitted: np.ndarray,
    softmax: bool,
    calibrate: str,
    prior: np.ndarray | float = 0.0,
) -> Scaling:
    """Fits temperatures (Guo et al., 2017) and, where they are asked for and needed, biases.

    A temperature heals a network that is too sure, or not sure enough; a bias heals one whose
    scores are all too low or too high, as after class weights or distortions that are harder than
    the images to come. Temperature and bias are Platt's scaling (1999), and of a softmax Alexandari
    et al.'s (2020). A bias is fitted only if the validation split would hardly look like this
    without one, by the likelihood ratio's test: where it is not needed, it only adds noise. An
    output that cannot be fitted gets the bias that undoes its class weights.

    Args:
        scores: Of the validation split, 0..1, [n, outputs].
        labels: 1, 0 or, where it is not known, -1, [n, outputs].
        fitted: Of which outputs, bool [outputs]. A softmax is fitted if all are.
        softmax: Whether the scores of an image sum to 1.
        calibrate: `temperature`, `platt` (biases as well) or `none`.
        prior: The biases that undo the class weights, [outputs]; see `undo_weights`.
    """
    outputs, biased = len(fitted), calibrate == "platt"
    temperatures = np.ones(outputs)
    biases = np.zeros(outputs) + (prior if biased else 0.0)
    if calibrate == "none":
        fitted = np.zeros_like(fitted)
    if softmax and fitted.all():
        temperatures[:], biases = _fit(_Softmax(scores, labels), outputs, biased)
    elif not softmax:
        for place in np.flatnonzero(fitted):
            known = labels[:, place] >= 0
            own = _Sigmoid(scores[known, place], labels[known, place])
            temperatures[place], (biases[place],) = _fit(own, 1, biased)
    return Scaling(temperatures, biases, softmax)


def undo_weights(labels: np.ndarray, softmax: bool) -> np.ndarray:
    """The biases after which scores of a training with class weights are as without, [outputs].

    The weights of `objective.weigh_labels` make all classes as frequent; so the odds are off by how
    frequent they are.

    Args:
        labels: Of the training split, see `fit_scaling`.
        softmax: See there.
    """
    positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
    if softmax:
        logarithms = np.log(np.maximum(positives, 1))
        return np.asarray(logarithms - logarithms.mean())
    return np.asarray(np.log(np.maximum(positives, 1)) - np.log(np.maximum(negatives, 1)))


class _Sigmoid:
    """The mean loss of one output's labels."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray):
        self.count, positives = len(labels), labels.sum()
        self._logits = _logits(scores, False)
        # Platt's targets: where validation holds no mistake, certainty would fit it best.
        sure, never = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
        self._targets = np.where(labels == 1, sure, never)

    def loss(self, temperature: float, biases: np.ndarray) -> float:
        p = _clip(special.expit(self._logits / temperature + biases[0]))
        return float(-np.mean(self._targets * np.log(p) + (1 - self._targets) * np.log1p(-p)))


class _Softmax:
    """The mean loss of classes of which each image has one."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray):
        self.count, classes = labels.shape
        self._logits = _logits(scores, True)
        self._targets = (self.count * labels + 1) / (
            self.count + classes
        )  # as above: nothing is certain

    def loss(self, temperature: float, biases: np.ndarray) -> float:
        chances = special.log_softmax(self._logits / temperature + biases, axis=1)
        return float(-(self._targets * chances).sum(1).mean())


def _fit(examples: _Sigmoid | _Softmax, outputs: int, biased: bool) -> tuple[float, np.ndarray]:
    bounds, none = tuple(np.log(_TEMPERATURES)), np.zeros(outputs)
    alone = optimize.minimize_scalar(
        lambda x: examples.loss(float(np.exp(x)), none), bounds=bounds, method="bounded"
    )
    if not biased:
        return float(np.exp(alone.x)), none
    both = optimize.minimize(
        lambda x: examples.loss(float(np.exp(x[0])), x[1:]),
        [alone.x, *none],
        bounds=[bounds, *[(-_MOST_BIAS, _MOST_BIAS)] * outputs],
        method="L-BFGS-B",
    )
    # Of a softmax, one and the same bias for all of its classes changes nothing.
    free = max(1, outputs - 1)
    if 2 * examples.count * (alone.fun - both.fun) <= stats.chi2.ppf(_CONFIDENCE, free):
        return float(np.exp(alone.x)), none
    biases = both.x[1:] - both.x[1:].mean() if outputs > 1 else both.x[1:]
    return float(np.exp(both.x[0])), biases


def _logits(scores: np.ndarray, softmax: bool) -> np.ndarray:
    scores = _clip(np.asarray(scores, float))
    return np.asarray(np.log(scores) if softmax else np.log(scores) - np.log1p(-scores))


def _clip(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(scores, EPSILON, 1 - EPSILON))
