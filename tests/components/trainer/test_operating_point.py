"""Temperature and threshold, fitted on validation."""

import numpy as np
import pytest

from tfxray.components.common.contract import Task
from tfxray.components.metrics import calibration
from tfxray.components.trainer import operating_point

SERVING = {
    "calibrate": "temperature",
    "threshold": {"rule": "youden", "sensitivity": 0.95, "cost_of_miss": 5.0, "value": 0.3},
}


def draw(n=4000, sharpness=3.0, seed=0):
    """Scores `sharpness` times too sure of themselves, and labels."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(int)
    return 1 / (1 + np.exp(-sharpness * logits)), labels


def fit(scores, labels, calibrate="temperature", **threshold):
    rules = {**SERVING["threshold"], **threshold}
    points = operating_point.fit_operating_points(
        scores[:, np.newaxis],
        labels[:, np.newaxis],
        {"calibrate": calibrate, "threshold": rules},
        softmax=False,
    )
    (point,) = points.points
    return Fitted(point, lambda scores: points.scaling.apply(scores[:, np.newaxis])[:, 0])


class Fitted:
    """An operating point of the only output."""

    def __init__(self, point, calibrate):
        self.__dict__ |= vars(point)
        self.calibrate = calibrate


def test_the_temperature_undoes_what_is_too_sure():
    scores, labels = draw()
    point = fit(scores, labels)
    assert point.temperature == pytest.approx(3.0, rel=0.1)
    before = calibration.expected_error(labels, scores)
    after = calibration.expected_error(labels, point.calibrate(scores))
    assert before > 0.1 > 0.03 > after
    assert fit(scores, labels, calibrate="none").temperature == 1


def test_calibration_keeps_the_order_and_no_score_is_certain():
    point = fit(*draw(sharpness=0.2))
    scores = point.calibrate(np.array([0.0, 0.2, 0.5, 0.9, 1.0]))
    assert (np.diff(scores) > 0).all()
    assert scores[2] == 0.5
    assert 0 < scores[0] < scores[-1] < 1


def test_the_sensitivity_asked_for_is_reached_with_the_most_specificity():
    scores, labels = draw()
    point = fit(scores, labels, rule="sensitivity", sensitivity=0.9)
    scores_after = point.calibrate(scores)
    sensitivity = (scores_after[labels == 1] >= point.threshold).mean()
    assert 0.9 <= sensitivity < 0.902
    assert point.validation["sensitivity"] == sensitivity


def test_youden_takes_the_best_sum():
    scores, labels = draw()
    point = fit(scores, labels)
    scores_after = point.calibrate(scores)

    def both(at):
        return (scores_after[labels == 1] >= at).mean() + (scores_after[labels == 0] < at).mean()

    assert both(point.threshold) == pytest.approx(max(both(at) for at in scores_after), abs=1e-12)


def test_the_dearer_a_miss_the_lower_the_threshold():
    scores, labels = draw()
    costs = [fit(scores, labels, rule="cost", cost_of_miss=c).threshold for c in (0.2, 1, 9)]
    assert costs == sorted(costs, reverse=True)
    # In theory: where the odds are those of the costs.
    assert costs == pytest.approx([1 / 1.2, 0.5, 0.1], abs=0.06)


def test_fixed_is_as_given():
    assert fit(*draw(), rule="fixed").threshold == 0.3


def test_too_few_to_fit():
    scores = np.array([0.1, 0.2, 0.9])
    point = fit(scores, np.array([0, 0, 1]))
    assert (point.temperature, point.threshold) == (1.0, 0.5)
    assert "fewer than 5" in point.rule
    assert fit(scores[:0], scores[:0]).validation["positives"] == 0


def test_a_single_finding_is_described_as_several_are():
    scores, labels = (column[:, np.newaxis] for column in draw())
    points = operating_point.fit_operating_points(scores, labels, SERVING, softmax=False)
    alone = points.describe(Task(("Edema",), exclusive=False))["findings"]["Edema"]
    assert alone == points.describe(Task(("NORMAL", "ILL")))
