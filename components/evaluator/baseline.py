"""The gate's baseline: how the latest blessed model scores, and whether a model may lack one."""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
import pandas as pd
import pyarrow as pa
import tensorflow as tf
from apache_beam.utils.shared import Shared
from tfx.dsl.io import fileio

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.gate import Baseline
from tfxray.components.predict import pushed_model
from tfxray.components.pusher import versions

_BATCH = 32

log = logging.getLogger(__name__)


def score_baseline(
    model: str | None,
    evaluation: str | None,
    frame: pd.DataFrame,
    records: Sequence[str],
    scratch: str,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Baseline:
    """The latest blessed model's scores of the test split; an error is reported, and not fatal.

    If its own run scored the same images, its scores are those. Else it scores them again, in a
    Beam job.

    Args:
        model: Its exported model's folder; None where no model has been blessed.
        evaluation: What Evaluator wrote of it in its own run; None where that is not at hand.
        frame: The candidate's scores of the split; see `heldout_scores.read_scores`.
        records: The files of the split.
        scratch: A folder where Beam's workers can write; it is removed in the end.
        make_pipeline: Makes the job.
    """
    if model is None:
        return Baseline()
    heldout = heldout_scores.read_scores(evaluation) if evaluation else None
    try:
        task = pushed_model.read_task(model)
        scores = None if heldout is None else _scores_of_run(heldout, frame, task)
        if scores is None:
            scores = _score_records(model, task, records, scratch, make_pipeline)
            # Beam takes a file that is not there for an empty one.
            if not _has_all(scores, frame):
                raise LookupError("a part of the test split was not found again")
    except Exception as error:
        log.exception("the latest blessed model cannot score the test split")
        text = f"the latest blessed model cannot score this data: {type(error).__name__}"
        return Baseline("incompatible", text, heldout=heldout)
    finally:
        if fileio.exists(scratch):
            fileio.rmtree(scratch)
    text = "the latest blessed model scored the same images"
    return Baseline("compared", text, scores, task.names, heldout)


def _scores_of_run(heldout: pd.DataFrame, frame: pd.DataFrame, task: Task) -> pd.DataFrame | None:
    """What its own run scored, by digest; None if that lacks one of the images."""
    columns = [heldout_scores.score_column(task, name) for name in task.judged]
    if not set(columns) <= set(heldout):
        return None
    scores = _by_digest(heldout, columns)
    return scores if _has_all(scores, frame) else None


def _has_all(scores: pd.DataFrame, frame: pd.DataFrame) -> bool:
    return bool(frame[heldout_scores.DIGEST].isin(scores.index).all())


def _score_records(
    model: str,
    task: Task,
    records: Sequence[str],
    scratch: str,
    make_pipeline: Callable[[], beam.Pipeline],
) -> pd.DataFrame:
    columns = [heldout_scores.score_column(task, name) for name in task.judged]
    schema = pa.schema(
        [(heldout_scores.DIGEST, pa.string()), *((column, pa.float64()) for column in columns)]
    )
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create(records)
            | beam.io.ReadAllFromTFRecord()
            | beam.BatchElements(min_batch_size=_BATCH, max_batch_size=_BATCH)
            | beam.ParDo(_Score(model, task))
            | beam.io.WriteToParquet(
                os.path.join(scratch, "part"), schema, codec=heldout_scores.CODEC
            )
        )
    parts = [os.path.join(scratch, name) for name in artifacts.list_folder(scratch)]
    return _by_digest(heldout_scores.read_parts(parts, schema).to_pandas(), columns)


def _by_digest(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The scores of each image once: copies of it have the same."""
    images = frame.drop_duplicates(heldout_scores.DIGEST)
    return images.set_index(heldout_scores.DIGEST)[[*columns]]


class _Score(beam.DoFn):  # type: ignore[misc]
    """Batches of records to rows of digest and scores."""

    def __init__(self, model: str, task: Task):
        self._folder, self._task = model, task
        self._shared = Shared()  # one model for all threads of a process

    def setup(self) -> None:
        self._model = self._shared.acquire(lambda: tf.saved_model.load(self._folder))

    def process(self, batch: Sequence[bytes]) -> Iterator[dict[str, str | float]]:
        columns = [heldout_scores.score_column(self._task, name) for name in self._task.judged]
        examples = tf.constant(list(batch))
        outputs = self._model.signatures[contract.SIGNATURE_EXAMPLES](examples=examples)
        scores = outputs[contract.SCORE if self._task.binary else contract.SCORES].numpy()
        spec = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        images = tf.io.parse_example(examples, spec)[contract.IMAGE].numpy()
        for image, row in zip(images, scores.reshape(len(images), -1).tolist(), strict=True):
            digest = heldout_scores.digest_image(image)
            yield {heldout_scores.DIGEST: digest, **dict(zip(columns, row, strict=True))}


def require_baseline(
    baseline: Baseline,
    files: Mapping[str, versions.File],
    serving: str,
    accepted: int | None,
    model: str | None = None,
    made: float = 0,
) -> Baseline:
    """Refuses a model that would take a pushed version's place without a comparison.

    A metadata store that is lost, or a blessed model that was deleted, leaves no baseline. One that
    was restored from a copy, or a second pipeline that pushes under the same name, leaves a
    baseline that is not what is served. A worse model would then be pushed over a better one.

    Args:
        baseline: See `score_baseline`.
        files: The candidate's; see `versions.hash_files`.
        serving: The folder of the pushed versions.
        accepted: The config's `gate.accept_without_baseline`.
        model: The exported folder of the model that was compared.
        made: When that was made; see `versions.comes_after`.

    Returns:
        The baseline. Where there is none to compare with, or an earlier one, but a version that
        holds another model, it refuses, and its text says what that version is. So it does where
        a rollback took this very model out of service.
    """
    newest = versions.newest_version(serving)
    if newest is None or versions.holds_model(newest, files):
        return baseline
    number = int(os.path.basename(newest))
    withdrawn = versions.find_withdrawal(serving, files)
    if withdrawn and accepted != number:
        text = (
            f"this very model is version {withdrawn}, which a rollback took out of service. To "
            f"serve it again: tfxray serving --rollback {withdrawn}"
        )
        return dataclasses.replace(baseline, text=text, refuses=True)
    if baseline.state == "compared":
        if model is None or not versions.comes_after(newest, model, made):
            return baseline
        text = "the latest blessed model is not the one that is served"
        baseline = dataclasses.replace(baseline, text=text)
    if accepted == number:
        text = f"{baseline.text}; gate.accept_without_baseline accepts that version {number} is "
        return dataclasses.replace(baseline, text=f"{text}replaced without a comparison")
    text = (
        f"{baseline.text}, but version {number} was pushed ({_figures(newest)}). Without a "
        "comparison, a worse model could take its place. To accept that, set "
        f"gate.accept_without_baseline to {number}"
    )
    return dataclasses.replace(baseline, text=text, refuses=True)


def _figures(version: str) -> str:
    try:
        record = versions.read_record(os.path.join(version, filenames.VERSION_RECORD))
    except ValueError:
        record = None
    return str(record.heldout) if record and record.heldout else "its held-out figures are unknown"
