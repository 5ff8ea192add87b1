"""What a run found out about each external test set: for the page, `summary.json` and Kubeflow."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import pandas as pd
from tfx.utils import io_utils

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import external_rules, heldout_scores
from tfxray.components.external import component
from tfxray.components.metrics import intervals
from tfxray.components.metrics.intervals import Estimate

_SCORES, _EVALUATION = "ExternalTest.scores", "Evaluator.evaluation"


@dataclasses.dataclass(frozen=True)
class Finding:
    """How the model does on one finding of an external set, or on its two classes.

    Attributes:
        positives: Images that have it.
        negatives: Images that have it not.
        auc: None where one of them is missing.
        sensitivity: At the operating point; None without positive images.
        specificity: Likewise; None without negative images.
    """

    positives: int
    negatives: int
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclasses.dataclass(frozen=True)
class Site:
    """An external test set, and how the model does on it.

    Attributes:
        name: The config's.
        images: Those that were scored.
        patients: Whose they are.
        rejected: Images that could not be used.
        figures: Beside the split `test`.
        findings: Those of each of the task's `judged`, by its name.
        unlike: The share of the images that the model itself calls unlike the training images.
        drift: The features that lie further from the training images than they may, in words.
    """

    name: str
    images: int
    patients: int
    rejected: int
    figures: external_rules.OutsideFigures
    findings: Mapping[str, Finding]
    unlike: Estimate | None
    drift: list[str]

    def to_summary(self, binary: bool) -> dict[str, Any]:
        """What `summary.json` has of it.

        Args:
            binary: Whether there are two classes, and no further figures by finding.
        """
        own = self.figures
        told = {
            "images": self.images,
            "patients": self.patients,
            "rejected": self.rejected,
            **_with_interval("auc", own.auc),
            **_with_interval("change_from_test", own.change),
            "calibration_error": own.calibration,
            **_with_interval("unlike", self.unlike),
            "drift": self.drift,
        }
        of_each = {name: _finding_summary(finding) for name, finding in self.findings.items()}
        if binary:
            (only,) = of_each.values()
            return {**only, **told}
        return {**told, "findings": of_each}


def _finding_summary(finding: Finding) -> dict[str, Any]:
    return {
        "positives": finding.positives,
        "negatives": finding.negatives,
        **_with_interval("auc", finding.auc),
        **_with_interval("sensitivity", finding.sensitivity),
        **_with_interval("specificity", finding.specificity),
    }


def _with_interval(name: str, estimate: Estimate | None) -> dict[str, Any]:
    interval = [estimate.low, estimate.high] if estimate else None
    return {name: estimate.value if estimate else None, f"{name}_interval": interval}


def read_sites(
    uris: Mapping[str, str],
    task: Task,
    thresholds: Mapping[str, float],
    gate: Mapping[str, Any],
) -> list[Site]:
    """Reads what ExternalTest and Evaluator left of each external set.

    Args:
        uris: Folders of a run's artifacts, as `StatisticsGen.statistics`.
        task: What is asked.
        thresholds: The operating points, of the task's `judged`.
        gate: The config's `gate`.

    Returns:
        The sets, by name; none where none was scored.
    """
    folder, evaluation = uris.get(_SCORES), uris.get(_EVALUATION)
    test = heldout_scores.read_scores(evaluation) if evaluation else None
    if not folder or test is None:
        return []
    return [
        _site(name, os.path.join(folder, name), frame, test, task, thresholds, gate)
        for name, frame in heldout_scores.read_external(folder).items()
    ]


def _site(
    name: str,
    folder: str,
    frame: pd.DataFrame,
    test: pd.DataFrame,
    task: Task,
    thresholds: Mapping[str, float],
    gate: Mapping[str, Any],
) -> Site:
    note = json.loads(io_utils.read_string_file(os.path.join(folder, component.FILE)))
    patients = frame[contract.PATIENT]
    return Site(
        name=name,
        images=len(frame),
        patients=patients.nunique(),
        rejected=note["rejected"],
        figures=external_rules.measure_external(frame, test, task, gate),
        findings={n: _finding(frame, task, n, thresholds[n]) for n in task.judged},
        unlike=intervals.share(frame[contract.UNLIKE].to_numpy() == 1, patients.to_numpy()),
        drift=note["drift"],
    )


def _finding(frame: pd.DataFrame, task: Task, name: str, threshold: float) -> Finding:
    view = heldout_scores.view(frame, task, name)
    labels, scores, patients = (
        view[column].to_numpy() for column in (contract.LABEL, contract.SCORE, contract.PATIENT)
    )
    positive, called = labels == 1, scores >= threshold
    return Finding(
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        auc=intervals.auc(labels, scores, patients),
        sensitivity=intervals.share(called[positive], patients[positive]),
        specificity=intervals.share(~called[~positive], patients[~positive]),
    )
