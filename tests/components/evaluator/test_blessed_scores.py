"""The latest blessed model's scores: those of its own run, or a Beam job's."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from tests import pages
from tfxray.components.common import contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import baseline, heldout_scores

FINDINGS = Task(("Effusion", "Mass", "Nodule"), exclusive=False)
TASKS = [Task(("NORMAL", "PNEUMONIA")), FINDINGS]
IMAGES = [b"%d" % (number % 40) for number in range(100)]  # some of them twice, or more often


class Served(tf.Module):
    """Scores an image by the number that it is."""

    def __init__(self, task: Task):
        super().__init__()
        self._task = task

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, examples):
        spec = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        images = tf.io.parse_example(examples, spec)[contract.IMAGE]
        score = tf.strings.to_number(images) / 40
        scores = tf.stack([score / (place + 1) for place in range(len(self._task.names))], 1)
        return {contract.SCORE: score, contract.SCORES: scores}


@pytest.fixture(params=TASKS, ids=["two classes", "findings"])
def task(request):
    return request.param


@pytest.fixture
def model(tmp_path, task):
    folder, module = tmp_path / "model", Served(task)
    signatures = {contract.SIGNATURE_EXAMPLES: module.serve}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    classes = folder / filenames.CLASSES
    classes.parent.mkdir(exist_ok=True)
    names = list(task.names)
    classes.write_text(json.dumps(names if task.exclusive else {"findings": names}))
    return str(folder)


@pytest.fixture
def records(tmp_path):
    paths = [str(tmp_path / f"records-{number}.gz") for number in range(2)]
    for number, path in enumerate(paths):
        with tf.io.TFRecordWriter(path, "GZIP") as out:
            for image in IMAGES[number::2]:
                value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
                features = tf.train.Features(feature={contract.IMAGE: value})
                out.write(tf.train.Example(features=features).SerializeToString())
    return paths


def scored(images) -> pd.DataFrame:
    return pd.DataFrame({heldout_scores.DIGEST: [*map(heldout_scores.digest_image, images)]})


def of_run(folder, images, task: Task) -> str:
    """What Evaluator wrote in a run on these images; the scores are none of the model's."""
    columns = {
        column: np.full(len(images), value)
        for name in task.judged
        for column, value in (
            (heldout_scores.label_column(task, name), 1),
            (heldout_scores.score_column(task, name), 0.125),
        )
    }
    folder.mkdir()
    heldout_scores.write_scores(pa.Table.from_pandas(scored(images).assign(**columns)), folder)
    return str(folder)


def score(model, evaluation, records, tmp_path, images=IMAGES, make_pipeline=pages.make_pipeline):
    return baseline.score_baseline(
        model, evaluation, scored(images), records, str(tmp_path / "scratch"), make_pipeline
    )


def no_job():
    raise AssertionError("a job was started")


def test_the_same_images_are_not_scored_again(model, records, task, tmp_path):
    evaluation = of_run(tmp_path / "evaluation", [*IMAGES, b"one more"], task)
    known = score(model, evaluation, records, tmp_path, make_pipeline=no_job)
    assert (known.state, tuple(known.classes)) == ("compared", task.names)
    assert (known.scores.to_numpy() == 0.125).all()
    assert known.scores.index.is_unique
    assert set(scored(IMAGES)[heldout_scores.DIGEST]) <= set(known.scores.index)


def test_other_images_are_scored_in_a_job(model, records, task, tmp_path):
    evaluation = of_run(tmp_path / "evaluation", IMAGES[1:40], task)  # the first one is new
    made = score(model, evaluation, records, tmp_path)
    assert (made.state, tuple(made.classes)) == ("compared", task.names)
    first = heldout_scores.score_column(task, task.judged[0])
    by_digest = {heldout_scores.digest_image(image): int(image) / 40 for image in IMAGES}
    assert made.scores[first].to_dict() == pytest.approx(by_digest, abs=1e-7)
    assert len(made.heldout) == 39
    assert not (tmp_path / "scratch").exists()


def test_without_its_own_run_at_hand_too(model, records, task, tmp_path):
    assert len(score(model, None, records, tmp_path).scores) == 40


@pytest.mark.parametrize("damage", ["records", "model"])
def test_a_model_that_cannot_score_is_reported(model, records, task, tmp_path, damage):
    if damage == "records":
        records = records[:1]
    else:
        (tmp_path / "model" / "saved_model.pb").write_bytes(b"?")
    found = score(model, None, records, tmp_path)
    assert found.state == "incompatible"
    assert found.scores is None
    assert "cannot score this data" in found.text
