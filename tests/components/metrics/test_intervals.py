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


def several(rng, patients=80, gap=1.8, shared=1.0):
    """Labels and scores of three findings, whose scores hang together within a patient."""
    images = rng.integers(1, 4, patients)
    owners = np.repeat(np.arange(patients), images)
    labels = np.repeat(rng.random((patients, 3)) < 0.4, images, axis=0).astype(int)
    common = np.repeat(rng.normal(size=(patients, 1)), images, axis=0)
    own = np.repeat(rng.normal(size=(patients, 3)), images, axis=0)
    noise = 0.5 * rng.normal(size=labels.shape)
    scores = labels * gap + np.sqrt(shared) * common + np.sqrt(1 - shared) * own + noise
    unknown = rng.random(labels.shape) < 0.2
    return np.where(unknown, -1, labels), scores, owners


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_interval_of_a_mean_covers_what_it_should(shared):
    rng = np.random.default_rng(5)
    true = stats.norm.cdf(1.8 / np.sqrt(2 * 1.25))
    estimates = [intervals.mean_auc(*several(rng, shared=shared)) for _ in range(300)]
    coverage = np.mean([e.low <= true <= e.high for e in estimates])
    assert 0.92 <= coverage <= 0.98


def test_a_mean_of_findings_that_are_apart_is_surer_than_one_of_them():
    labels, scores, owners = several(np.random.default_rng(6), shared=0.0)
    mean = intervals.mean_auc(labels, scores, owners)
    known = labels[:, 0] >= 0
    one = intervals.auc(labels[known, 0] == 1, scores[known, 0], owners[known])
    assert mean.high - mean.low < 0.8 * (one.high - one.low)
    # Three copies of one finding tell no more than it does; a mean is a little more careful.
    copies = intervals.mean_auc(np.tile(labels[:, :1], 3), np.tile(scores[:, :1], 3), owners)
    assert 1 <= (copies.high - copies.low) / (one.high - one.low) <= 1.03


def test_what_cannot_be_judged_is_left_out_of_the_mean():
    labels, scores, owners = several(np.random.default_rng(7))
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    assert intervals.can_judge(labels).tolist() == [True, True, False]
    assert intervals.mean_auc(labels, scores, owners) == intervals.mean_auc(
        labels[:, :2], scores[:, :2], owners
    )
    assert intervals.mean_auc(labels[:, 2:], scores[:, 2:], owners) is None


def test_more_comparisons_widen_the_interval_of_each():
    labels, scores, owners = several(np.random.default_rng(8))
    noisy = scores + 0.1 * np.random.default_rng(9).normal(size=scores.shape)
    one, many = (
        intervals.mean_auc_difference(labels, scores, noisy, owners, comparisons)
        for comparisons in (1, 14)
    )
    assert one.value == many.value
    assert (many.high - many.low) / (one.high - one.low) == pytest.approx(
        stats.norm.ppf(1 - 0.025 / 14) / stats.norm.ppf(0.975)
    )


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
