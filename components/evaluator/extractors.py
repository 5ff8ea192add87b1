"""What TFMA takes from each held-out image besides its own: the score, to be kept; ages, in bands.

A module of its own, since TFX loads it anew for each evaluation.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue
from tensorflow_model_analysis.constants import SLICE_KEY_TYPES_KEY
from tensorflow_model_analysis.proto import config_pb2

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores
from tfxray.components.metadata import ages

_FIGURES, _WEIGHTS = "figures", "example_weights"
_KEPT = 10_000  # images


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
        _ = (
            extracts
            | beam.Map(_make_row, self._task)
            | beam.io.WriteToParquet(
                self._path, heldout_scores.make_schema(self._task), codec=heldout_scores.CODEC
            )
        )
        return extracts


def _make_row(extracts: dict[str, Any], task: Task) -> dict[str, Any]:
    return heldout_scores.make_row(extracts["features"], extracts["predictions"], task)


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
            figures = figures | beam.ParDo(_Join())
        return figures | beam.Map(_take_apart, self._task)


class _Join(beam.DoFn):  # type: ignore[misc]
    """Makes one of the images in the same slices, so many at a time as one worker can keep."""

    def start_bundle(self) -> None:
        self._kept: dict[str, list[dict[str, Any]]] = {}
        self._count = 0

    def process(self, extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self._kept.setdefault(repr(extracts[SLICE_KEY_TYPES_KEY]), []).append(extracts)
        self._count += 1
        if self._count == _KEPT:
            yield from self._hand_on()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for joined in self._hand_on():
            yield GlobalWindows.windowed_value_at_end_of_window(joined)

    def _hand_on(self) -> Iterator[dict[str, Any]]:
        kept, self._kept, self._count = self._kept, {}, 0
        yield from map(_join, kept.values())


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
    years = np.ravel(features.get(contract.AGE, []))
    if not years.size:
        return extracts
    banded_features = {
        **features,
        contract.AGE: np.array([ages.name_band(float(years[0])).encode()], object),
    }
    return {**extracts, "features": banded_features}
