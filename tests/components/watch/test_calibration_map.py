"""What the held-out labels say that scores mean."""

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from tfxray.components.watch.calibration_map import fit_calibration


def draw(rng, patients, images, slope=0.6, intercept=-0.5):
    """Labels that the scores exaggerate; those of a patient's images are one and the same."""
    logits = np.repeat(rng.normal(0, 2, patients), images)
    label = rng.random(patients) < special.expit(intercept + slope * logits[::images])
    return np.repeat(label, images).astype(int), special.expit(logits), np.arange(len(logits))


def test_it_is_logistic_regression():
    labels, scores, own = draw(np.random.default_rng(0), 20_000, 1)
    fit = fit_calibration(labels, scores, own)
    wanted = LogisticRegression(C=1e9).fit(special.logit(scores)[:, None], labels)
    assert fit.slope == pytest.approx(wanted.coef_[0, 0], abs=2e-3)
    assert fit.intercept == pytest.approx(wanted.intercept_[0], abs=2e-3)
    assert fit.chances(np.array([1.0])) == pytest.approx(
        wanted.predict_proba([[1.0]])[:, 1], abs=1e-3
    )


def test_its_covariance_is_by_patient():
    rng, fits, told = np.random.default_rng(1), [], []
    for _ in range(150):
        labels, scores, images = draw(rng, 200, 3)
        fit = fit_calibration(labels, scores, images // 3)
        fits.append((fit.intercept, fit.slope))
        told.append(fit.covariance)
    assert np.mean(told, axis=0) == pytest.approx(np.cov(np.transpose(fits)), rel=0.3, abs=0.004)


def test_classes_that_do_not_overlap_have_a_fit():
    labels = np.repeat([0, 1], 50)
    fit = fit_calibration(labels, np.where(labels == 1, 0.99, 0.01), np.arange(100))
    assert 1 < fit.slope < 5
    assert np.isfinite(fit.covariance).all()


@pytest.mark.parametrize("labels", [[], [1, 1, 1]])
def test_without_both_classes_scores_hardly_change_their_meaning(labels):
    fit = fit_calibration(np.array(labels), np.full(len(labels), 0.5), np.arange(len(labels)))
    assert abs(fit.intercept) < 1.5
    assert fit.slope == pytest.approx(1)
