"""What TFMA takes from each held-out image besides its own: the score, to be kept; ages, in bands.

A module of its own, since TFX loads it anew for each evaluation.
"""

import json
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.constants import SLICE_KEY_TYPES_KEY
from tensorflow_model_analysis.proto import config_pb2

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores

_FIGURES, _WEIGHTS = "figures", "example_weights"


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
    if task.binary:
        return [*before, keep, bands, slicing]
    # A jackknife deals out the elements, and needs single images.
    alone = eval_config.options.compute_confidence_intervals.value
    findings = _Findings(slicing.ptransform, task, together=not alone)
    # TFMA takes what the stage of this name gives, and nothing that comes after it.
    return [*before, keep, bands, tfma.extractors.Extractor(slicing.stage_name, findings)]


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


def _keep_figures(extracts: dict[str, Any], task: Task) -> dict[str, Any]:
    """Labels, scores and calls of an image, float32 [1, k] each, and its slices; nothing else."""
    labels = [heldout_scores.read_label(extracts["features"], task, n) for n in task.judged]
    scores, thresholds = (
        np.ravel(extracts["predictions"][name]) for name in (contract.SCORES, contract.THRESHOLD)
    )
    # Of exclusive classes, too, by each one's own point: the most probable is another matter.
    figures = (np.array(labels), scores, scores >= thresholds)
    return {
        _FIGURES: tuple(np.asarray(row, np.float32)[np.newaxis] for row in figures),
        SLICE_KEY_TYPES_KEY: extracts[SLICE_KEY_TYPES_KEY],
    }


class _Findings(beam.PTransform):  # type: ignore[misc]
    """Finds the slices of each image; then gives each class or finding outputs of its own."""

    def __init__(self, slicing: beam.PTransform, task: Task, together: bool):
        super().__init__()
        self._slicing, self._task, self._together = slicing, task, together

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        figures = extracts | self._slicing | beam.Map(_keep_figures, self._task)
        if self._together:
            # TFMA goes through all findings of each element, for each of its slices. Images in the
            # same slices are one element here, which makes that ten times faster.
            figures = (
                figures
                | beam.Map(lambda extract: (repr(extract[SLICE_KEY_TYPES_KEY]), extract))
                | beam.GroupByKey()
                | beam.Map(lambda item: _join(list(item[1])))
            )
        return figures | beam.Map(_take_apart, self._task)


def _join(extracts: list[dict[str, Any]]) -> dict[str, Any]:
    columns = zip(*(extract[_FIGURES] for extract in extracts), strict=True)
    return {**extracts[0], _FIGURES: tuple(np.concatenate(rows) for rows in columns)}


def _take_apart(extracts: dict[str, Any], task: Task) -> dict[str, Any]:
    """Makes two outputs of each class or finding. A label that nobody knows has no weight."""
    by_output: dict[str, dict[str, np.ndarray]] = {"predictions": {}, "labels": {}, _WEIGHTS: {}}
    for name, labels, scores, calls in zip(
        task.judged, *(rows.T for rows in extracts[_FIGURES]), strict=True
    ):
        known = labels >= 0
        for output, values in (
            (heldout_scores.score_column(task, name), scores),
            (heldout_scores.positive_output(task, name), calls),
        ):
            by_output["predictions"][output] = values
            by_output["labels"][output] = np.maximum(labels, 0)
            by_output[_WEIGHTS][output] = known.astype(np.float32)
    return {SLICE_KEY_TYPES_KEY: extracts[SLICE_KEY_TYPES_KEY], **by_output}


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
