"""What scoring a folder leaves for monitoring, beside the predictions: counts and statistics."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics

from tfxray.components.common import contract, filenames, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.watch import feature_statistics, file_keys
from tfxray.components.watch.score_histogram import ScoreHistogram

_BATCH = 1000


@dataclasses.dataclass(frozen=True)
class Scored:
    """What was scored, without a row of it.

    Attributes:
        model: The model's fingerprint.
        images: Scored or withheld.
        patients: How many, where the images tell; an image that does not tell counts as one. None
            where none tells.
        unlike: How many are unlike the training data; None where the model does not check.
        scores: Of the images like the training data, by class or finding.
        statistics: TFDV's, of all images; see `feature_statistics.MONITORED`.
    """

    model: str
    images: int
    patients: int | None
    unlike: int | None
    scores: Mapping[str, ScoreHistogram]
    statistics: DatasetFeatureStatistics


class Collector:
    """Collects what is scored. Of each patient it holds eight bytes, and of an image nothing."""

    def __init__(self, names: Sequence[str]):
        """Begins.

        Args:
            names: The classes or findings whose scores are told.
        """
        self._names = names
        self._features = feature_statistics.Collector()
        self._scores = {name: ScoreHistogram() for name in names}
        self._rows: list[Mapping[str, Any]] = []
        self._told: list[tuple[float, ...]] = []
        self._images, self._unlike, self._strangers = 0, 0, 0
        self._checked = True
        self._patients = np.zeros(0, np.uint64)

    def add(
        self, known: Mapping[str, Any], scores: Sequence[float] | None, unlike: bool | None
    ) -> None:
        """Adds one image.

        Args:
            known: By the data contract's names; of the patient, what `hide_patient` gave.
            scores: In the order of the names; None where none is given.
            unlike: Whether it is unlike the training data; None where that is not checked.
        """
        self._images += 1
        self._checked &= unlike is not None
        self._unlike += bool(unlike)
        self._rows.append(known)
        if scores and not unlike:
            self._told.append(tuple(scores))
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._features.add(self._rows)
        told = np.array(self._told, float).reshape(-1, len(self._names))
        for name, column in zip(self._names, told.T, strict=True):
            self._scores[name] = self._scores[name].add(ScoreHistogram.of(column))
        hidden = [row[contract.PATIENT] for row in self._rows if row.get(contract.PATIENT)]
        self._strangers += len(self._rows) - len(hidden)
        numbers = np.array([int(text, 16) for text in hidden], np.uint64)
        self._patients = np.union1d(self._patients, numbers)
        self._rows, self._told = [], []

    def finish(self, model: str) -> Scored:
        """What was collected.

        Args:
            model: The model's fingerprint.
        """
        self._flush()
        patients = len(self._patients)
        return Scored(
            model,
            self._images,
            patients + self._strangers if patients else None,
            self._unlike if self._checked else None,
            self._scores,
            self._features.finish(),
        )


def hide_patient(patient: str) -> str:
    """A patient as a number of 64 bits, in hexadecimal, to count patients."""
    return hashlib.sha256(patient.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def to_json(scored: Scored) -> bytes:
    """The content of `filenames.SCORED_STATISTICS`."""
    content = {
        "format": file_keys.FORMAT,
        **{name: getattr(scored, name) for name in ("model", "images", "patients", "unlike")},
        "scores": {name: histogram.to_json() for name, histogram in scored.scores.items()},
        "statistics": feature_statistics.to_json(scored.statistics),
    }
    return json.dumps(content).encode()


def read_scored(folder: str) -> Scored:
    """Reads what scoring left in a folder.

    Args:
        folder: The `--output` of a `tfxray predict --input`, on any of Beam's file systems.

    Raises:
        UserError: There is nothing, or it cannot be read.
    """
    path = os.path.join(folder, filenames.SCORED_STATISTICS)
    if not filesystem.is_file(path):
        raise UserError(
            f"{folder}: holds no {filenames.SCORED_STATISTICS}; name the --output of a tfxray "
            "predict --input. One of an older tfxray has none: score the folder again (--scored)"
        )
    try:
        with filesystem.open_file(path) as file:
            content = json.loads(file.read())
        read = file_keys.ScoredFile.model_validate(content)
    except Exception as error:  # cut, or altered by hand: any of many
        reason = file_keys.explain(error)
        raise UserError(f"{path}: cannot be read: {reason}; score the folder again") from None
    return Scored(read.model, read.images, read.patients, read.unlike, read.scores, read.statistics)
