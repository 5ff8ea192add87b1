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
        """What it is a slice of: `study/site`."""
        return " & ".join(part.split(": ", 1)[0] for part in self.name.split(" & "))


def make_rows(evidence: Evidence) -> list[Row]:
    """Every slice, the whole test split first.

    Args:
        evidence: Of the run. TFMA's figures count where there are some, those of the scores
            elsewhere; the intervals are by patient where there are scores, else TFMA's.
    """
    judged = evidence.judgement.slices if evidence.judgement else []
    by_tfma = {item.name: item for item in judged}
    if evidence.scores is None:
        return [_of_tfma(item) for item in by_tfma.values()]
    found, same = [], agree(evidence)
    everything = np.ones(len(evidence.scores), bool)
    parts = {OVERALL: everything, **heldout_scores.mask_slices(evidence.scores, evidence.slices)}
    for name, inside in parts.items():
        part = evidence.scores[inside]
        own = _figures(part, evidence.threshold)
        theirs = {
            metric: figure
            for metric, figure in (by_tfma[name].figures if name in by_tfma else {}).items()
            if same or metric not in AT_THRESHOLD
        }
        labels, patients = part[contract.LABEL].to_numpy(), part[contract.PATIENT].nunique()
        known = patients >= evidence.min_patients
        if known:
            own["prauc"] = _area(part)
        figures = {m: _merged(own[m], theirs.get(m)) if known else None for m in COLUMNS}
        found.append(Row(name, len(part), patients, int(labels.sum()), figures, inside))
    # TFMA's slices by a number are of single values; bands stand for them.
    left = by_tfma.keys() - {row.name for row in found}
    few = [_of_tfma(by_tfma[name]) for name in sorted(left) if contract.AGE not in name]
    return found + few


def _of_tfma(item: Slice) -> Row:
    both = 0 < item.positives < item.images
    figures = {
        metric: item.figures.get(metric) if both or metric not in _BOTH_CLASSES else None
        for metric in COLUMNS
    }
    return Row(item.name, item.images, None, item.positives, figures)


def _merged(own: Figure | None, theirs: Figure | None) -> Figure | None:
    if own is None or theirs is None:
        return own
    return Figure(theirs.value, own.low, own.high)


def _figures(part: pd.DataFrame, threshold: float) -> dict[str, Figure | None]:
    """The figures of some rows of the scores, at a threshold; all but PR-AUC."""
    true = part[contract.LABEL].to_numpy() == 1
    score = part[contract.SCORE].to_numpy(float)
    patients = part[contract.PATIENT].to_numpy()
    said, both = score >= threshold, bool(true.any() and not true.all())

    def share(hits: np.ndarray, of: np.ndarray) -> Figure | None:
        return _figure(intervals.share(hits[of], patients[of]))

    return {
        "auc": _figure(intervals.auc(true, score, patients)),
        "accuracy": share(said == true, np.ones(len(true), bool)),
        "sensitivity": share(said, true),
        "specificity": share(~said, ~true),
        "precision": share(true, said) if both else None,
        "npv": share(~true, ~said) if both else None,
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


def agree(evidence: Evidence) -> bool:
    """Whether TFMA's figures are those of the scores at the operating point.

    They are not where TFMA judged at another threshold; then the scores' are shown.
    """
    theirs = evidence.judgement.slices[0].figures if evidence.judgement else {}
    if evidence.scores is None:
        return True
    own = _figures(evidence.scores, evidence.threshold)
    return all(
        abs(a.value - b.value) <= _AGREE
        for metric in AT_THRESHOLD
        if (a := theirs.get(metric)) and (b := own[metric])
    )


def widening(evidence: Evidence) -> float | None:
    """How much further the AUC's interval by patient reaches down than TFMA's, by image."""
    theirs = evidence.judgement.slices[0].figures.get("auc") if evidence.judgement else None
    if evidence.scores is None or theirs is None or theirs.low is None:
        return None
    own = _figures(evidence.scores, evidence.threshold)["auc"]
    if own is None or own.low is None or theirs.value <= theirs.low:
        return None
    return (own.value - own.low) / (theirs.value - theirs.low)
