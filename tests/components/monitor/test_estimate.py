"""The AUC without labels: right where scores are probabilities, and honest about its error."""

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import roc_auc_score

from tfxray.components.metrics import intervals
from tfxray.components.monitor import estimate
from tfxray.components.watch.reference import Scores, summarise_scores
from tfxray.components.watch.score_histogram import ScoreHistogram

TRUTH = (-0.4, 0.7)  # what a logit means: the model is too sure of itself


def draw(rng, patients, images=1, middle=0.0, spread=2.0):
    """Scores and labels of patients, each with so many images that have one label."""
    logits = np.repeat(rng.normal(middle, spread, patients), images)
    chances = special.expit(TRUTH[0] + TRUTH[1] * logits[::images])
    labels = np.repeat(rng.random(patients) < chances, images).astype(int)
    return labels, special.expit(logits), np.repeat(np.arange(patients), images)


def heldout(rng, patients=4000, images=1):
    labels, scores, own = draw(rng, patients, images)
    return summarise_scores(Scores(labels, scores, own, np.zeros(len(labels), bool)))


def test_the_estimate_is_the_auc_of_labels_by_their_chances():
    rng = np.random.default_rng(0)
    known = heldout(rng)
    _, scores, _ = draw(rng, 500, middle=0.5)
    told = estimate.expect_labels(ScoreHistogram.of(scores), known, 1.0)
    chances = known.calibration.chances(special.logit(scores))
    wanted = roc_auc_score(
        np.repeat([1, 0], len(scores)),
        np.tile(scores, 2),
        sample_weight=np.concatenate([chances, 1 - chances]),
    )
    assert told.auc == pytest.approx(wanted, abs=1e-4)
    assert told.positives == pytest.approx(chances.mean(), abs=1e-3)


@pytest.mark.parametrize(("middle", "spread"), [(0.0, 2.0), (1.5, 1.0), (-1.0, 3.0)])
def test_the_interval_holds_what_labels_then_show(middle, spread):
    """Of 100 months of 150 patients with 2 images each, in other mixes than the held-out ones."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(100):
        known = heldout(rng, 300, 2)
        labels, scores, patients = draw(rng, 150, 2, middle, spread)
        expected = estimate.expect_all(
            {"ill": ScoreHistogram.of(scores)}, {"ill": known}, 2.0, None
        )
        told = estimate.estimate_mean(list(expected.values()))
        held += told.low <= intervals.auc(labels, scores, patients).value <= told.high
    assert held >= 89  # of 95 to expect, three standard deviations less


def test_other_labels_for_the_same_images_go_unseen():
    rng = np.random.default_rng(2)
    known = heldout(rng)
    labels, scores, patients = draw(rng, 2000)
    told = estimate.estimate_mean([estimate.expect_labels(ScoreHistogram.of(scores), known, 1.0)])
    turned = np.where(rng.random(len(labels)) < 0.3, 1 - labels, labels)
    assert told.low > intervals.auc(turned, scores, patients).high


def test_images_per_patient_scale_the_clustering():
    known = heldout(np.random.default_rng(3), 400, 3)
    assert known.clustering == pytest.approx(3, abs=0.4)
    assert estimate.scale_clustering(known.clustering, 3.0, None) == known.clustering
    assert estimate.scale_clustering(known.clustering, 3.0, 1.0) == 1
    assert estimate.scale_clustering(known.clustering, 3.0, 2.0) == pytest.approx(
        (1 + known.clustering) / 2
    )


def test_too_few_expected_images_of_a_class_have_no_estimate():
    known = heldout(np.random.default_rng(4))
    for scores in ([], [0.9, 0.9, 0.9], np.full(40, 1e-6)):
        told = estimate.expect_labels(ScoreHistogram.of(np.array(scores)), known, 1.0)
        assert told.auc is None
    assert estimate.estimate_mean([told]) is None


def test_a_mean_errs_by_no_less_than_its_findings_would_together():
    one, two = estimate.Expected(0.5, 0.9, 0.02), estimate.Expected(0.5, 0.8, 0.04)
    told = estimate.estimate_mean([one, two, estimate.Expected(0.0, None, float("nan"))])
    assert told.value == pytest.approx(0.85)
    assert told.high - told.low == pytest.approx(2 * 1.96 * 0.03, rel=0.05)
