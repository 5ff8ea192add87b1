"""What a training concludes from its splits."""

import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.trainer import examples, training, unlikeness
from tfxray.components.trainer.distributed import strategy

SPEC = {
    contract.EMBEDDING: tf.io.FixedLenFeature([6], tf.float32),
    contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
    contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
}
SETTINGS = {
    "train": {
        "seed": 5, "batch_size": 7, "class_weights": True, "distortions": {}, "epochs": 2,
        "steps": None, "report_every": None, "warm_up": None, "precision": "float32",
        "learning_rate": 1e-2, "schedule": "constant", "optimizer": "adam", "weight_decay": 0,
        "label_smoothing": 0, "xla": False, "patience": None, "monitor": "auc",
        "plateau": None,
    },
    "head": {"hidden": [4], "dropout": 0, "batch_norm": False},
    "backbone": {"name": "MobileNetV2", "image_size": 32, "pooling": "avg"},
}  # fmt: skip
SERVING = {
    "unlike_share": 0.1,
    "calibrate": "temperature",
    "threshold": {"rule": "fixed", "value": 0.5},
}


def split(path, count):
    rng = np.random.default_rng(count)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for i in range(count):
            feature = tf.train.Example().features.feature
            feature[contract.EMBEDDING].float_list.value.extend(rng.normal(i % 2, 1, 6))
            feature[contract.TARGET].int64_list.value.append(i % 2)
            feature[contract.KEY].int64_list.value.append(i)
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return examples.Examples([str(path)], SPEC, 0)


@pytest.mark.parametrize("most", [1000, 25])
def test_all_are_scored_though_few_are_embedded(tmp_path, monkeypatch, most):
    splits = training.Splits(split(tmp_path / "t.gz", 60), split(tmp_path / "v.gz", 40))
    fit = training.Training(SETTINGS, splits, strategy.make_strategy("one_device"))
    model = fit.build()
    embedded = []

    def remember(*embeddings_and_share):
        embedded.extend(len(embeddings) for embeddings in embeddings_and_share[:2])
        return unlikeness.fit_unlikeness(*embeddings_and_share)

    monkeypatch.setattr(training, "fit_unlikeness", remember)
    monkeypatch.setattr(unlikeness, "_EXAMPLES", most)
    result = fit.conclude(model, SERVING)
    assert embedded == [min(60, most), min(40, most)]
    scale = result.operating_points.scaling.apply
    for part, scores in (
        (splits.training, result.training),
        (splits.validation, result.validation),
    ):
        assert np.allclose(scores, scale(fit.scores(model, part)), rtol=1e-6)
