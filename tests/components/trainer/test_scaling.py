"""Temperatures and biases, fitted on validation."""

import numpy as np
import pytest
from scipy import special
from sklearn import linear_model

from tfxray.components.metrics import calibration
from tfxray.components.trainer.scaling import fit_scaling, undo_weights


def draw(n=4000, temperature=1.0, bias=0.0, seed=0):
    """Scores that a scaling by `temperature` and `bias` turns into the chances; and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 1)) * 1.5
    labels = (rng.random((n, 1)) < special.expit(logits)).astype(int)
    return special.expit((logits - bias) * temperature), labels


def draw_classes(n=4000, temperature=1.0, biases=(0.0, 0.0, 0.0), seed=0):
    """The same of three classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 1.5
    labels = np.eye(3, dtype=int)[(logits + rng.gumbel(size=(n, 3))).argmax(1)]
    return special.softmax((logits - np.array(biases)) * temperature, axis=1), labels


def fit(scores, labels, softmax=False, calibrate="platt"):
    return fit_scaling(scores, labels, np.ones(scores.shape[1], bool), softmax, calibrate)


@pytest.mark.parametrize("seed", range(3))
def test_scores_that_are_all_too_low_get_a_bias_as_by_logistic_regression(seed):
    scores, labels = draw(temperature=2.0, bias=1.0, seed=seed)
    scaling = fit(scores, labels)
    reference = linear_model.LogisticRegression(C=np.inf).fit(special.logit(scores), labels[:, 0])
    assert 1 / scaling.temperatures[0] == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert scaling.biases[0] == pytest.approx(reference.intercept_[0], abs=0.01)
    fresh_scores, fresh_labels = draw(temperature=2.0, bias=1.0, seed=seed + 10)
    before = calibration.expected_error(fresh_labels[:, 0], fresh_scores[:, 0])
    after = calibration.expected_error(fresh_labels[:, 0], scaling.apply(fresh_scores)[:, 0])
    assert before > 0.15 > 0.03 > after


def test_biases_of_classes_are_found_and_sum_to_nothing():
    scores, labels = draw_classes(temperature=2.0, biases=(1.0, 0.0, -1.0))
    scaling = fit(scores, labels, softmax=True)
    assert scaling.temperatures == pytest.approx([2.0] * 3, rel=0.1)
    assert scaling.biases == pytest.approx([1.0, 0.0, -1.0], abs=0.15)
    assert scaling.biases.sum() == pytest.approx(0, abs=1e-9)
    assert scaling.apply(scores).sum(1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("drawing", [draw, draw_classes])
def test_where_no_bias_is_needed_chance_makes_one_in_twenty(drawing):
    found = [
        fit(*drawing(300, temperature=2.0, seed=seed), softmax=drawing is draw_classes)
        for seed in range(60)
    ]
    assert sum(scaling.biases.any() for scaling in found) <= 8  # 99.5 % of 5 % of 60


@pytest.mark.parametrize("drawing", [draw, draw_classes])
def test_a_temperature_alone_has_no_bias(drawing):
    softmax = drawing is draw_classes
    shift = {"biases": (1.0, 0.0, -1.0)} if softmax else {"bias": 1.0}
    scores, labels = drawing(**shift)
    alone = fit(scores, labels, softmax, "temperature")
    assert not alone.biases.any()
    assert (alone.temperatures != 1).all()
    assert fit(scores, labels, softmax).biases.any()
    assert not fit(scores, labels, softmax, "none").changes


def test_what_is_not_fitted_stays_as_it_is():
    scores, labels = draw(bias=1.0)
    scaling = fit_scaling(scores, labels, np.array([False]), False, "platt")
    assert not scaling.changes
    assert scaling.apply(scores) == pytest.approx(scores, abs=1e-9)


def test_an_unknown_label_is_no_label():
    scores, labels = draw(bias=1.0)
    poisoned = np.where(np.arange(len(labels))[:, np.newaxis] % 3 == 0, -1, labels)
    known = poisoned[:, 0] >= 0
    expected, scaling = fit(scores[known], labels[known]), fit(scores, poisoned)
    assert scaling.temperatures == expected.temperatures
    assert scaling.biases == expected.biases


def test_class_weights_are_undone_where_nothing_can_be_fitted():
    """A regression with balanced weights, undone, tells the chances of the one without."""
    rng = np.random.default_rng(2)
    labels = (rng.random((20_000, 1)) < 0.1).astype(int)
    values = rng.normal(size=labels.shape) + 1.5 * labels
    weighted, plain = (
        linear_model.LogisticRegression(C=np.inf, class_weight=weights)
        .fit(values, labels[:, 0])
        .predict_proba(values)[:, 1:]
        for weights in ("balanced", None)
    )
    none = np.zeros(1, bool)
    scaling = fit_scaling(weighted, labels, none, False, "platt", undo_weights(labels, False))
    assert np.abs(weighted - plain).max() > 0.3
    assert scaling.apply(weighted) == pytest.approx(plain, abs=0.02)
    for way in ("temperature", "none"):
        assert not fit_scaling(weighted, labels, none, False, way, -2.0).changes


def test_the_weights_of_classes_are_undone_likewise():
    labels = np.eye(3, dtype=int)[np.repeat([0, 1, 2], [700, 200, 100])]
    scores = np.full((1000, 3), 1 / 3)  # as a network says that knows nothing
    scaling = fit_scaling(
        scores, labels, np.zeros(3, bool), True, "platt", undo_weights(labels, True)
    )
    assert scaling.apply(scores)[0] == pytest.approx([0.7, 0.2, 0.1])
