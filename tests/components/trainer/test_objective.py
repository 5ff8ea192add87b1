"""What is not known neither teaches nor counts."""

import keras
import numpy as np
import pytest
from sklearn import metrics

from tfxray.components.networks import head
from tfxray.components.trainer import objective


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (300, 3))
    scores = np.clip(0.5 + 0.25 * (labels - 0.5) + 0.2 * rng.normal(size=labels.shape), 0.01, 0.99)
    unknown = rng.random(labels.shape) < 0.3
    return np.where(unknown, -1, labels).astype(np.int8), scores.astype(np.float32)


def watch(labels, scores, softmax=False):
    figures = {}
    for metric in objective.make_metrics(softmax, scores.shape[1]):
        for start in range(0, len(labels), 64):
            part = slice(start, start + 64)
            metric.update_state(labels[part].astype(np.float32), scores[part])
        figures[metric.name] = float(metric.result())
    return figures


def test_figures_are_scikit_learns_over_the_labels_that_are_known(drawn):
    labels, scores = drawn
    known = labels >= 0
    figures = watch(labels, scores)
    areas = [
        metrics.roc_auc_score(y[k], s[k])
        for y, s, k in zip(labels.T, scores.T, known.T, strict=True)
    ]
    assert figures["auc"] == pytest.approx(np.mean(areas), abs=1e-3)
    right = (scores > 0.5) == (labels == 1)
    assert figures["accuracy"] == pytest.approx(right[known].mean(), abs=1e-6)
    assert figures["cross_entropy"] == pytest.approx(
        metrics.log_loss(labels[known], scores[known]), abs=1e-5
    )


def test_an_output_of_one_class_has_no_part_in_the_mean(drawn):
    labels, scores = drawn
    labels[:, 1] = np.minimum(labels[:, 1], 0)
    expected = watch(labels[:, [0, 2]], scores[:, [0, 2]])["auc"]
    assert watch(labels, scores)["auc"] == pytest.approx(expected, abs=1e-6)


def test_softmax_is_watched_by_class():
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 2 * np.eye(3)[numbers]
    scores = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    figures = watch(np.eye(3, dtype=np.int8)[numbers], scores, softmax=True)
    expected = metrics.roc_auc_score(numbers, scores, multi_class="ovr")
    assert figures["auc"] == pytest.approx(expected, abs=1e-3)
    assert figures["accuracy"] == pytest.approx((scores.argmax(1) == numbers).mean(), abs=1e-6)


def weigh(labels, balanced):
    return objective.weigh_labels(labels, objective.count_labels(labels), False, balanced)


def fit(labels, balanced=True):
    """A head's weights after some steps on these labels."""
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(len(labels), 5)).astype(np.float32)
    keras.utils.set_random_seed(3)
    model = head.build_head(head.HeadSpec(dropout=0, batch_norm=False, outputs=labels.shape[1]), 5)
    model.compile("sgd", objective.make_loss(softmax=False, smoothing=0.1))
    weights = weigh(labels, balanced) / len(labels)
    model.fit(inputs, labels.astype(np.float32), sample_weight=weights, epochs=4,
              batch_size=len(labels), verbose=0, shuffle=False)  # fmt: skip
    return model.get_weights()


@pytest.mark.parametrize("balanced", [False, True])
def test_unknown_labels_teach_nothing(drawn, balanced):
    """A label that is not known has no gradient: its column is as if it were not there."""
    labels, _ = drawn
    labels[:, 1] = -1
    kernel, bias = fit(labels, balanced)
    untrained, _ = fit(np.full_like(labels, -1), balanced)
    assert np.array_equal(kernel[:, 1], untrained[:, 1])
    assert bias[1] == 0
    assert not np.allclose(kernel[:, 0], untrained[:, 0])


def test_poison_where_a_label_is_unknown_changes_no_weight(drawn):
    """Images whose label of one finding is unknown may look like anything: it learns the same."""
    labels, _ = drawn
    labels = np.where(labels < 0, 0, labels)
    labels[200:, 0] = -1
    clean, poisoned = (np.random.default_rng(2).normal(size=(300, 5)) for _ in range(2))
    poisoned[200:] = 1e3 * (1 - 2 * labels[200:, [1]])
    kernels = []
    for inputs in (clean, poisoned):
        keras.utils.set_random_seed(3)
        spec = head.HeadSpec(dropout=0, batch_norm=False, outputs=3)
        model = head.build_head(spec, 5)
        model.compile("sgd", objective.make_loss(softmax=False, smoothing=0.0))
        model.fit(inputs, labels.astype(np.float32), verbose=0, batch_size=300, shuffle=False,
                  sample_weight=weigh(labels, True) / 300)  # fmt: skip
        kernels.append(model.get_weights()[0])
    assert np.array_equal(kernels[0][:, 0], kernels[1][:, 0])
    assert not np.allclose(kernels[0][:, 1], kernels[1][:, 1])


def test_balanced_weights_are_scikit_learns_of_each_finding(drawn):
    labels, _ = drawn
    weights = weigh(labels, True)
    for own, column in zip(weights.T, labels.T, strict=True):
        known = column >= 0
        counts = np.bincount(column[known])
        expected = known.sum() / (2 * counts[column[known]])
        assert own[known] * 3 == pytest.approx(expected, rel=1e-6)
        assert not own[~known].any()


def test_the_loss_of_one_output_is_keras_own(drawn):
    labels, scores = drawn
    own, scores = np.maximum(labels[:, :1], 0).astype(np.float32), scores[:, :1]
    ours = objective.make_loss(False, 0.1)(own, scores)
    theirs = keras.losses.BinaryCrossentropy(label_smoothing=0.1, reduction="sum")(own, scores)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
