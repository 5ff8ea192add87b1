"""What TFMA takes from each held-out image besides its own: the score, to be kept; ages, in bands.

A module of its own, since TFX loads it anew for each evaluation.
"""

import json
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores


def custom_extractors(
    eval_shared_model: tfma.EvalSharedModel,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[tfma.extractors.Extractor]:
    """TFMA's extractors, one that writes the scores down, and one that puts ages into bands."""
    stages = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    *before, slicing = stages
    assert slicing.stage_name == "ExtractSliceKeys", slicing
    path, task = heldout_scores.destination()
    keep = tfma.extractors.Extractor("KeepScores", _KeepScores(path, task))
    bands = tfma.extractors.Extractor("AgeBands", beam.Map(_band_age))
    apart = tfma.extractors.Extractor("Findings", beam.Map(_take_apart, task))
    return [*before, keep, bands, *([] if task.binary else [apart]), slicing]


class _KeepScores(beam.PTransform):  # type: ignore[misc]
    def __init__(self, path: str, task: Task):
        super().__init__()
        self._path, self._task = path, task

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        _ = extracts | beam.Map(_line, self._task) | beam.io.WriteToText(self._path)
        return extracts


def _line(extracts: dict[str, Any], task: Task) -> str:
    row = heldout_scores.make_row(extracts["features"], extracts["predictions"], task)
    return json.dumps(row)


def _take_apart(extracts: dict[str, Any], task: Task) -> dict[str, Any]:
    """Makes an output of each class or finding. A label that nobody knows has no weight."""
    labels, weights, outputs = {}, {}, dict(extracts["predictions"])
    for place, name in enumerate(task.judged):
        label = heldout_scores.read_label(extracts["features"], task, name)
        score, threshold = (
            np.ravel(extracts["predictions"][values])[place : place + 1]
            for values in (contract.SCORES, contract.THRESHOLD)
        )
        # Of exclusive classes, too, by each one's own point: the most probable is another matter.
        for output, values in (
            (heldout_scores.score_column(task, name), score),
            (heldout_scores.positive_output(task, name), (score >= threshold).astype(np.float32)),
        ):
            outputs[output] = values
            labels[output] = np.array([max(label, 0)])
            weights[output] = np.array([float(label >= 0)])
    return {**extracts, "predictions": outputs, "labels": labels, "example_weights": weights}


def _band_age(extracts: dict[str, Any]) -> dict[str, Any]:
    features = extracts["features"]
    ages = np.ravel(features.get(contract.AGE, []))
    if not ages.size:
        return extracts
    banded_features = {
        **features,
        contract.AGE: np.array([heldout_scores.age_band(float(ages[0])).encode()], object),
    }
    return {**extracts, "features": banded_features}
