"""The search itself, on a few drawn embeddings."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.trainer import examples, training
from tfxray.components.tuner import search
from tfxray.components.tuner.search import Plan
from tfxray.components.tuner.spaces import Space
from tfxray.pipeline import node_settings
from tfxray.pipeline.config import loader

WIDTH = 8
RATE = Space("train.learning_rate", 1e-3, (), 1e-3, 0.08, log=True)
HIDDEN = Space("model.head.hidden", [], ("[4]", "[2]"))


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    rng = np.random.default_rng(3)
    for split, count in (("train", 60), ("eval", 40)):
        with tf.io.TFRecordWriter(str(folder / f"{split}.gz"), "GZIP") as writer:
            for i in range(count):
                values = rng.normal(0.7 * (i % 2), 1, WIDTH)
                writer.write(tf.train.Example(features=tf.train.Features(feature={
                    contract.EMBEDDING: tf.train.Feature(
                        float_list=tf.train.FloatList(value=values)),
                    contract.TARGET: tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[i % 2])),
                    contract.KEY: tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[i])),
                })).SerializeToString())  # fmt: skip
    spec = {
        contract.EMBEDDING: tf.io.FixedLenFeature([WIDTH], tf.float32),
        contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
    }
    read = [examples.Examples([str(folder / f"{s}.gz")], spec, 32) for s in ("train", "eval")]
    return training.Splits(*read)


@pytest.fixture
def run_search(splits, tmp_path):
    config = loader.validate_keys({"name": "a", "classes": ["A", "B"]}, "test")
    base = node_settings.trainer_settings(config, None)
    base["train"] = base["train"] | {"epochs": 2}

    def resolve(values):
        train = dict(base["train"])
        rate = train["learning_rate"] = values.get(RATE.key, 1e-3)
        hidden = values.get(HIDDEN.key, [])
        if rate > 0.09:
            raise UserError("too fast")
        return base | {"train": train, "head": base["head"] | {"hidden": hidden}}

    def call(spaces, trials=3, method="random", monitor="auc", splits=splits):
        reports = []
        bench = search.Bench(resolve, splits, Task(("no", "yes")), reports.append)
        return search.search_settings(
            spaces, Plan(trials, method, monitor, 0), bench, tmp_path
        ), reports

    return call


def test_a_config_outside_of_its_ranges_is_tried_as_it_stands(run_search):
    trials, reports = run_search([RATE, HIDDEN], monitor="cross_entropy")
    assert trials == reports
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert trials[0].settings == {RATE.key: 1e-3, HIDDEN.key: []}
    assert trials[1].settings == {RATE.key: 1e-3, HIDDEN.key: [4]}
    best = search.rank_trials(trials, "cross_entropy")
    assert best[0].figure == min(trial.figure for trial in trials)
    assert run_search([RATE, HIDDEN], monitor="cross_entropy") == (trials, [])


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_a_search_that_is_stopped_goes_on(run_search, monkeypatch, method):
    fit, calls = training.Training.fit, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("no memory")
        return fit(*arguments)

    monkeypatch.setattr(training.Training, "fit", stopped)
    with pytest.raises(Exception, match="MemoryError: no memory"):
        run_search([RATE], 4, method)
    trials, reports = run_search([RATE], 4, method)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert [trial.number for trial in reports] == [2, 3]
    assert len(calls) == 5
    assert trials[0].settings == {RATE.key: 1e-3}
    assert all(RATE.least <= trial.settings[RATE.key] <= RATE.most for trial in trials)


def test_settings_that_lead_nowhere_are_a_trial_that_failed(run_search):
    rates = Space(RATE.key, 1e-3, ("0.001", "0.095"))
    trials, _ = run_search([rates], 4)  # of which there are but two
    assert [trial.reason for trial in trials] == [None, "too fast"]
    assert search.rank_trials(trials, "auc") == trials[:1]


def test_a_validation_split_that_cannot_judge_is_refused(run_search, splits):
    class OneClass:
        labels = np.zeros((3, 1), np.int8)

    with pytest.raises(UserError, match="one class alone"):
        run_search([RATE], splits=dataclasses.replace(splits, validation=OneClass()))
