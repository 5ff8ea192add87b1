"""Figures with intervals by patient."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tfxray.components.metrics import calibration, intervals


def drawn(rng, patients=80, gap=1.8):
    """Labels, scores and patients, with an effect that a patient's images share."""
    images = rng.integers(1, 4, patients)
    owners = np.repeat(np.arange(patients), images)
    labels = np.repeat(rng.random(patients) < 0.5, images)
    shared = np.repeat(rng.normal(size=patients), images)
    return labels, labels * gap + shared + 0.5 * rng.normal(size=len(owners)), owners


def test_auc_is_scikit_learns_ties_included():
    labels, scores, owners = drawn(np.random.default_rng(0))
    for values in (scores, scores.round(0)):
        estimate = intervals.auc(labels, values, owners)
        assert estimate.value == pytest.approx(metrics.roc_auc_score(labels, values), abs=1e-12)
        assert estimate.low < estimate.value < estimate.high


def test_the_interval_covers_what_it_should():
    rng = np.random.default_rng(1)
    true = stats.norm.cdf(1.8 / np.sqrt(2 * 1.25))
    estimates = [intervals.auc(*drawn(rng)) for _ in range(300)]
    coverage = np.mean([e.low <= true <= e.high for e in estimates])
    assert 0.92 <= coverage <= 0.98


def test_copies_of_a_patients_image_are_no_evidence():
    labels, scores, owners = drawn(np.random.default_rng(2))
    once = intervals.auc(labels, scores, owners)
    thrice = intervals.auc(np.tile(labels, 3), np.tile(scores, 3), np.tile(owners, 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-9)
    apart = intervals.auc(np.tile(labels, 3), np.tile(scores, 3), np.arange(3 * len(labels)))
    assert apart.high - apart.low < 0.7 * (once.high - once.low)


def test_all_in_order_is_not_certain():
    estimate = intervals.auc(np.array([0] * 9 + [1] * 9), np.arange(18), np.arange(18))
    assert estimate.value == estimate.high == 1
    assert 0.6 < estimate.low < 0.8


def test_one_class_has_no_auc():
    assert intervals.auc(np.ones(4), np.arange(4), np.arange(4)) is None
    assert intervals.auc_difference(np.ones(4), np.arange(4), np.arange(4), np.arange(4)) is None


def test_a_pair_is_closer_than_its_parts():
    labels, scores, owners = drawn(np.random.default_rng(3))
    noisy = scores + 0.1 * np.random.default_rng(4).normal(size=len(scores))
    one = intervals.auc(labels, scores, owners)
    both = intervals.auc_difference(labels, scores, noisy, owners)
    assert both.low <= one.value - intervals.auc(labels, noisy, owners).value <= both.high
    assert both.high - both.low < 0.5 * (one.high - one.low)


def test_a_share_counts_patients():
    hits = np.array([True] * 9 + [False])
    apart = intervals.share(hits, np.arange(10))
    assert (apart.low, apart.high) == pytest.approx(
        tuple(stats.binomtest(9, 10).proportion_ci(method="wilson")), abs=1e-9
    )
    one = intervals.share(np.ones(10, bool), np.zeros(10))
    assert one.value == 1
    assert one.low < 0.3
    assert intervals.share(np.array([], bool), np.array([])) is None


def test_calibration_error():
    rng = np.random.default_rng(5)
    scores = rng.random(20_000)
    labels = rng.random(20_000) < scores
    assert calibration.expected_error(labels, scores) < 0.02
    assert calibration.expected_error(labels, scores**3) > 0.2


def test_what_chance_alone_makes_of_the_calibration_error():
    rng = np.random.default_rng(6)
    scores = rng.random(150)
    drawn_errors = [
        calibration.expected_error(rng.random(150) < scores, scores) for _ in range(300)
    ]
    assert calibration.error_by_chance(scores) == pytest.approx(np.mean(drawn_errors), rel=0.1)


def test_a_difference_between_other_patients_is_newcombes():
    """The example of Newcombe (1998), table II a, method 10: 56 of 70 less 48 of 80."""
    first = intervals.share(np.arange(70) < 56, np.arange(70))
    second = intervals.share(np.arange(80) < 48, np.arange(80))
    change = intervals.difference(first, second)
    assert change.value == pytest.approx(0.2)
    assert (change.low, change.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
