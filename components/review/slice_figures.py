"""The figures of the test split and of its slices, each with its interval by patient."""

import dataclasses

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.results import OVERALL, Figure, Slice
from tfxray.components.metrics import calibration, intervals
from tfxray.components.review import curves
from tfxray.components.review.evidence import Evidence

# The columns of the slices' table: TFMA's metric, and its heading.
COLUMNS = {
    "auc": "AUC",
    "prauc": "PR-AUC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
}
# Those that depend on the threshold.
AT_THRESHOLD = ("accuracy", "sensitivity", "specificity", "precision", "npv")
# What one class alone does not have. Its predictive values would only repeat which class it is.
_BOTH_CLASSES = ("auc", "prauc", "precision", "npv")
_AGREE = 0.005  # an image on the threshold itself


@dataclasses.dataclass(frozen=True)
class Row:
    """One slice.

    Attributes:
        name: `all`, or `study/site: north`.
        images: How many.
        patients: How many; None where the scores are missing.
        positives: How many images of the positive class.
        figures: By metric; None where the slice is too small or lacks a class.
        rows: Which of the scores' rows it holds; None where they are missing.
    """

    name: str
    images: int
    patients: int | None
    positives: int
    figures: dict[str, Figure | None]
    rows: np.ndarray | None = None

    @property
    def features(self) -> str:
        """The features that make the slice: `study/site`."""
        return " & ".join(condition.split(": ", 1)[0] for condition in self.name.split(" & "))


def make_rows(evidence: Evidence) -> list[Row]:
    """Every slice, the whole test split first.

    Args:
        evidence: Of the run. The figures are those of the scores, with intervals by patient, as
            the gate has them: TFMA's areas are sums over bins of the score. TFMA's count where
            there are no scores, and for slices that only TFMA has.
    """
    slices = evidence.results.slices if evidence.results else []
    by_tfma = {item.name: item for item in slices}
    if evidence.heldout_scores is None:
        return [_of_tfma(item) for item in by_tfma.values()]
    rows = []
    everything = np.ones(len(evidence.heldout_scores), bool)
    masks = {
        OVERALL: everything,
        **heldout_scores.mask_slices(evidence.heldout_scores, evidence.slices),
    }
    for name, inside in masks.items():
        frame = evidence.heldout_scores[inside]
        own = _figures(frame, evidence.threshold)
        labels, patients = frame[contract.LABEL].to_numpy(), frame[contract.PATIENT].nunique()
        enough = patients >= evidence.min_patients
        if enough:
            own["prauc"] = _area(frame)
        figures = {metric: own[metric] if enough else None for metric in COLUMNS}
        rows.append(Row(name, len(frame), patients, int(labels.sum()), figures, inside))
    # TFMA's slices by a number are of single values; bands stand for them.
    missing = by_tfma.keys() - {row.name for row in rows}
    others_of_tfma = [
        _of_tfma(by_tfma[name]) for name in sorted(missing) if contract.AGE not in name
    ]
    return rows + others_of_tfma


def _of_tfma(item: Slice) -> Row:
    both = 0 < item.positives < item.images
    figures = {
        metric: item.figures.get(metric) if both or metric not in _BOTH_CLASSES else None
        for metric in COLUMNS
    }
    return Row(item.name, item.images, None, item.positives, figures)


def _figures(part: pd.DataFrame, threshold: float) -> dict[str, Figure | None]:
    """The figures of some rows of the scores, at a threshold; all but PR-AUC."""
    true = part[contract.LABEL].to_numpy() == 1
    score = part[contract.SCORE].to_numpy(float)
    patients = part[contract.PATIENT].to_numpy()
    calls, both = score >= threshold, bool(true.any() and not true.all())

    def share(hits: np.ndarray, of: np.ndarray) -> Figure | None:
        return _figure(intervals.share(hits[of], patients[of]))

    return {
        "auc": _figure(intervals.auc(true, score, patients)),
        "accuracy": share(calls == true, np.ones(len(true), bool)),
        "sensitivity": share(calls, true),
        "specificity": share(~calls, ~true),
        "precision": share(true, calls) if both else None,
        "npv": share(~true, ~calls) if both else None,
        "brier": _figure(intervals.mean((score - true) ** 2, patients)),
        "calibration_error": Figure(calibration.expected_error(true, score)),
    }


def _area(part: pd.DataFrame) -> Figure | None:
    """PR-AUC by itself: its bootstrap takes longer than all other figures do."""
    true = part[contract.LABEL].to_numpy() == 1
    if true.all() or not true.any():
        return None
    score = part[contract.SCORE].to_numpy(float)
    return curves.average_precision(true, score, part[contract.PATIENT].to_numpy())


def _figure(estimate: intervals.Estimate | None) -> Figure | None:
    if estimate is None:
        return None
    return Figure(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high))


def figures_agree(evidence: Evidence) -> bool:
    """Whether TFMA's figures are those of the scores at the operating point.

    They are not where TFMA applied another threshold; the page then shows those of the scores.
    """
    tfma_figures = evidence.results.slices[0].figures if evidence.results else {}
    if evidence.heldout_scores is None:
        return True
    own = _figures(evidence.heldout_scores, evidence.threshold)
    return all(
        abs(a.value - b.value) <= _AGREE
        for metric in AT_THRESHOLD
        if (a := tfma_figures.get(metric)) and (b := own[metric])
    )


def measure_widening(evidence: Evidence) -> float | None:
    """How much further the AUC's interval by patient reaches down than TFMA's, by image."""
    tfma = evidence.results.slices[0].figures.get("auc") if evidence.results else None
    if evidence.heldout_scores is None or tfma is None or tfma.low is None:
        return None
    own = _figures(evidence.heldout_scores, evidence.threshold)["auc"]
    if own is None or own.low is None or tfma.value <= tfma.low:
        return None
    return (own.value - own.low) / (tfma.value - tfma.low)
