"""The distance to the training images."""

import numpy as np

from tfxray.components.trainer import unlikeness


def draw(n, d=40, seed=0):
    """Embeddings with correlated, unequal dimensions, one of them dead."""
    mix = np.random.default_rng(9).normal(size=(d, d)) * np.geomspace(1, 0.3, d)
    embeddings = np.random.default_rng(seed).normal(size=(n, d)) @ mix
    embeddings[:, 3] = 0
    return embeddings.astype(np.float32)


def test_of_the_same_source_the_stated_share_is_flagged():
    measure = unlikeness.fit_unlikeness(draw(2000), draw(1000, seed=1), share=0.05)
    fresh = measure.distances(draw(4000, seed=2))
    assert 0.03 < (fresh > measure.limit).mean() < 0.07
    assert 0.9 < np.median(fresh) < 1.1


def test_what_breaks_the_correlation_is_far_though_no_value_is_unusual():
    training = draw(2000)
    measure = unlikeness.fit_unlikeness(training, draw(500, seed=1), share=0.01)
    rng = np.random.default_rng(3)
    apart = np.stack([rng.permutation(column) for column in training[:200].T], axis=1)
    assert (measure.distances(apart) > measure.limit).mean() > 0.9


def test_fewer_examples_than_dimensions():
    measure = unlikeness.fit_unlikeness(draw(25, d=100), draw(200, d=100, seed=1), share=0.01)
    fresh = measure.distances(draw(500, d=100, seed=2))
    assert (fresh > measure.limit).mean() < 0.05


def test_wide_embeddings_are_reduced():
    wide = np.random.default_rng(0).normal(size=(60, 3000)).astype(np.float32)
    measure = unlikeness.fit_unlikeness(wide, wide[:10], share=0.1)
    assert measure.whitening.shape == (3000, 59)


def test_no_validation_no_limit():
    assert unlikeness.fit_unlikeness(draw(50), draw(0), share=0.01).limit == np.inf


def test_a_large_split_is_drawn_from():
    assert len(unlikeness.draw_examples(50, 0)) == 50
    places = unlikeness.draw_examples(1_000_000, 0)
    assert len(set(places)) == 5_000
    assert (np.diff(places) > 0).all()
