"""What goes with a pushed model so that its scores can be watched, wherever it is copied.

Statistics of its training split, and its held-out scores as counts: no image, no name, no patient.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.metrics import intervals
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.watch import feature_statistics, file_keys
from tfxray.components.watch.calibration_map import CalibrationMap, fit_calibration
from tfxray.components.watch.score_histogram import ScoreHistogram


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The held-out scores of one class or finding, of images like the training data.

    Attributes:
        positives: Scores of the images that have it.
        negatives: Of those that do not.
        calibration: What the labels say that the scores mean.
        auc: With its interval by patient; None where one of the two is missing.
        clustering: How many times the variance of the AUC is by patient what it were by image.
        score_clustering: Likewise, of the mean score.
    """

    positives: ScoreHistogram
    negatives: ScoreHistogram
    calibration: CalibrationMap
    auc: Estimate | None
    clustering: float
    score_clustering: float

    @property
    def scores(self) -> ScoreHistogram:
        """Of all images whose label is known."""
        return self.positives.add(self.negatives)


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a model's own run knew.

    Attributes:
        task: What is asked.
        statistics: TFDV's, of the training split's images.
        patients: Of the training split.
        heldout_images: Of the test split.
        heldout_patients: Likewise.
        heldout_unlike: How many of the test split are unlike the training data.
        heldout: By the task's `judged`.
        threshold: The least AUC that the gate asks for; of several, the least mean.
        drift: The greatest drift of each feature that is compared; see the config's
            `validation.drift`.
    """

    task: Task
    statistics: DatasetFeatureStatistics
    patients: int
    heldout_images: int
    heldout_patients: int
    heldout_unlike: int
    heldout: Mapping[str, HeldOut]
    threshold: float
    drift: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The held-out scores of one class or finding, where a label is known.

    Attributes:
        labels: 0 or 1, [n].
        scores: [n].
        patients: [n].
        unlike: Whether the image is unlike the training data, bool [n].
    """

    labels: np.ndarray
    scores: np.ndarray
    patients: np.ndarray
    unlike: np.ndarray


def summarise_scores(heldout: Scores) -> HeldOut:
    """Makes counts of held-out scores.

    Args:
        heldout: Of the test split. A score of an image unlike the training data is given to nobody,
            so it does not count.
    """
    like = ~heldout.unlike
    labels, scores, patients = heldout.labels[like], heldout.scores[like], heldout.patients[like]
    images = np.arange(len(labels))
    most = len(labels) / max(1, len(np.unique(patients)))
    by_patient = intervals.auc(labels, scores, patients)
    return HeldOut(
        positives=ScoreHistogram.of(scores[labels == 1]),
        negatives=ScoreHistogram.of(scores[labels == 0]),
        calibration=fit_calibration(labels, scores, patients),
        auc=by_patient,
        clustering=_compare_variances(by_patient, intervals.auc(labels, scores, images), most),
        score_clustering=_compare_variances(
            intervals.mean(scores, patients), intervals.mean(scores, images), most
        ),
    )


def _compare_variances(
    by_patient: Estimate | None, by_image: Estimate | None, most: float
) -> float:
    """The design effect: at least 1, and at most so many images as a patient has."""
    if not by_patient or not by_image or by_image.high <= by_image.low:
        return 1.0
    ratio = (by_patient.high - by_patient.low) / (by_image.high - by_image.low)
    return float(np.clip(ratio**2, 1.0, max(1.0, most)))


def read_training(statistics: str) -> tuple[DatasetFeatureStatistics, int]:
    """The training split's statistics, and how many patients it has.

    Args:
        statistics: StatisticsGen's artifact.
    """
    path = os.path.join(statistics, "Split-train", "FeatureStats.pb")
    with artifacts.local_copy(path) as copy:
        (training,) = tfdv.load_stats_binary(copy).datasets
    patients = [
        feature.string_stats.unique
        for feature in training.features
        if feature_statistics.feature_name(feature) == contract.PATIENT
    ]
    return feature_statistics.select_monitored(training), int(
        sum(patients) or training.num_examples
    )


def write_reference(path: str, reference: Reference) -> None:
    """Writes a reference as JSON.

    Args:
        path: The file, on any of TFX's file systems.
        reference: The reference.
    """
    content = {
        "format": file_keys.FORMAT,
        "task": {"names": reference.task.names, "exclusive": reference.task.exclusive},
        "patients": reference.patients,
        "heldout_images": reference.heldout_images,
        "heldout_patients": reference.heldout_patients,
        "heldout_unlike": reference.heldout_unlike,
        "threshold": reference.threshold,
        "drift": dict(reference.drift),
        "heldout": {name: _to_json(heldout) for name, heldout in reference.heldout.items()},
        "statistics": feature_statistics.to_json(reference.statistics),
    }
    io_utils.write_string_file(path, json.dumps(content))


def _to_json(heldout: HeldOut) -> dict[str, Any]:
    return {
        "positives": heldout.positives.to_json(),
        "negatives": heldout.negatives.to_json(),
        "calibration": dataclasses.asdict(heldout.calibration),
        "auc": heldout.auc and dataclasses.asdict(heldout.auc),
        "clustering": heldout.clustering,
        "score_clustering": heldout.score_clustering,
    }


def read_reference(version: str) -> Reference:
    """Reads what goes with a pushed version.

    Args:
        version: Its folder, on any of TFX's file systems.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    path = os.path.join(version, filenames.MONITORING)
    if not fileio.exists(path):
        raise UserError(
            f"{version}: holds no {filenames.MONITORING}, so that nobody knows what its run saw: "
            "an older tfxray or another tool pushed it. Run the pipeline once more, which adds it "
            "(tfxray run), or give a version that has one (--model)"
        )
    try:
        content = json.loads(io_utils.read_string_file(path))
        read = file_keys.ReferenceFile.model_validate(content)
    except Exception as error:  # cut, or altered by hand: any of many
        raise UserError(
            f"{path}: cannot be read: {file_keys.explain(error)}; give another version (--model)"
        ) from None
    return _of_file(read)


def _of_file(read: file_keys.ReferenceFile) -> Reference:
    heldout = {
        name: HeldOut(
            part.positives,
            part.negatives,
            CalibrationMap(**part.calibration.model_dump()),
            Estimate(**part.auc.model_dump()) if part.auc else None,
            part.clustering,
            part.score_clustering,
        )
        for name, part in read.heldout.items()
    }
    task = read.as_task()
    return Reference(
        task=task,
        statistics=read.statistics,
        patients=read.patients,
        heldout_images=read.heldout_images,
        heldout_patients=read.heldout_patients,
        heldout_unlike=read.heldout_unlike,
        heldout={name: heldout[name] for name in task.judged},
        threshold=read.threshold,
        drift=dict(read.drift),
    )
