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
    keep = tfma.extractors.Extractor("KeepScores", _KeepScores(heldout_scores.destination()))
    bands = tfma.extractors.Extractor("AgeBands", beam.Map(_band_age))
    return [*before, keep, bands, slicing]


class _KeepScores(beam.PTransform):  # type: ignore[misc]
    def __init__(self, path: str):
        super().__init__()
        self._path = path

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        _ = extracts | beam.Map(_line) | beam.io.WriteToText(self._path)
        return extracts


def _line(extracts: dict[str, Any]) -> str:
    return json.dumps(heldout_scores.make_row(extracts["features"], extracts["predictions"]))


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
