"""The gate's baseline: how the latest blessed model scores, and whether a model may lack one."""

import dataclasses
import logging
import os
from collections.abc import Mapping

import tensorflow as tf

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.gate import Baseline
from tfxray.components.pusher import versions

_BATCH = 32

log = logging.getLogger(__name__)


def score_baseline(model: str | None, evaluation: str | None, records: list[str]) -> Baseline:
    """Scores the test split with the latest blessed model; an error is reported, and not fatal.

    Args:
        model: Its exported model's folder; None where no model has been blessed.
        evaluation: What Evaluator wrote of it in its own run; None where that is not at hand.
        records: The files of the split.
    """
    if model is None:
        return Baseline()
    heldout = heldout_scores.read_scores(evaluation) if evaluation else None
    try:
        signature = tf.saved_model.load(model).signatures[contract.SIGNATURE_EXAMPLES]
        spec = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        scores: dict[str, float | list[float]] = {}
        classes: list[str] = []
        for batch in artifacts.record_dataset(records).batch(_BATCH):
            outputs = signature(examples=batch)
            classes = [name.decode() for name in outputs[contract.CLASSES].numpy()[0]]
            of_two = outputs[contract.POSITIVE].shape.rank == 1
            values = outputs[contract.SCORE if of_two else contract.SCORES].numpy().tolist()
            files = tf.io.parse_example(batch, spec)[contract.IMAGE].numpy()
            scores |= {
                heldout_scores.digest_image(f): v for f, v in zip(files, values, strict=True)
            }
    except Exception as error:
        log.exception("the latest blessed model cannot score the test split")
        text = f"the latest blessed model cannot score this data: {type(error).__name__}"
        return Baseline("incompatible", text, heldout=heldout)
    text = "the latest blessed model scored the same images"
    return Baseline("compared", text, scores, classes, heldout)


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
        holds another model, it refuses, and its text says what that version is.
    """
    newest = versions.newest_version(serving)
    if newest is None or versions.holds_model(newest, files):
        return baseline
    if baseline.state == "compared":
        if model is None or not versions.comes_after(newest, model, made):
            return baseline
        text = "the latest blessed model is not the one that is served"
        baseline = dataclasses.replace(baseline, text=text)
    number = int(os.path.basename(newest))
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
    return str(record.heldout) if record else "its held-out figures are unknown"
