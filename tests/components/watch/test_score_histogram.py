"""Counts of scores stand for the scores themselves."""

import numpy as np
import pytest
from scipy import special, stats

from tfxray.components.watch.score_histogram import ScoreHistogram, largest_gap


def draw(seed, size, shift=0.0):
    return special.expit(np.random.default_rng(seed).normal(shift, 2, size))


def test_the_largest_gap_is_kolmogorovs_and_smirnovs():
    first, second = draw(0, 3000), draw(1, 700, shift=0.4)
    gap = largest_gap(ScoreHistogram.of(first), ScoreHistogram.of(second))
    assert gap == pytest.approx(stats.ks_2samp(first, second).statistic, abs=0.005)
    assert largest_gap(ScoreHistogram.of(first), ScoreHistogram.of(first)) == 0


def test_counts_add_up_and_come_back_from_json():
    scores = np.array([0.0, 1e-7, 0.2, 0.2, 1 - 1e-7, 1.0, np.nan])
    histogram = ScoreHistogram.of(scores)
    assert histogram.total == 6
    assert ScoreHistogram.from_json(histogram.to_json()).counts.tolist() == (
        histogram.counts.tolist()
    )
    both = histogram.add(ScoreHistogram.of(draw(0, 10)))
    assert both.total == 16
    logits, counts = ScoreHistogram.of(np.array([0.2, 0.2, 0.9])).filled()
    assert counts.tolist() == [2, 1]
    assert special.expit(logits) == pytest.approx([0.2, 0.9], abs=0.001)


def test_shares_are_those_of_the_scores():
    scores, edges = draw(0, 5000), np.linspace(0, 1, 21)
    wanted = np.histogram(scores, edges)[0] / len(scores)
    assert ScoreHistogram.of(scores).shares(edges) == pytest.approx(wanted, abs=0.002)
    assert ScoreHistogram().shares(edges).sum() == 0


@pytest.mark.parametrize("content", [{"4000": 1}, {"-1": 1}, {"1": -1}, {"x": 1}])
def test_what_is_no_histogram_is_refused(content):
    with pytest.raises(ValueError, match=r"no bin|invalid literal"):
        ScoreHistogram.from_json(content)
