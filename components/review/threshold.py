"""What the threshold's slider moves: the scores, in few bytes and without patients."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxray.components.common import contract
from tfxray.components.review.evidence import Evidence
from tfxray.components.review.slice_figures import Row

_DIGITS = 5
# Steps of half a hundredth; finer ones where calibrated scores crowd.
_FINE = (0.00001, 0.0001, 0.0002, 0.0005, 0.001, 0.002)


def make_slider_data(evidence: Evidence, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The slider's data, for JSON.

    Args:
        evidence: Of the run.
        rows: The slices.

    Returns:
        `scores`, from high to low; `labels`, a digit per score; `slices`: `name`, whether there is
        `enough`, and `members`, indices, None for all; `threshold`, the operating point; `steps`,
        what the slider can be set to, the operating point among them. None where there are no
        scores.
    """
    if evidence.heldout_scores is None or not math.isfinite(evidence.threshold):
        return None
    score = evidence.heldout_scores[contract.SCORE].to_numpy(float)
    order = np.argsort(-score, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    labels = evidence.heldout_scores[contract.LABEL].to_numpy(int)[order]
    at = evidence.threshold
    steps = {*np.arange(0, 1.0025, 0.005).round(3).tolist(), *_FINE, *(1 - x for x in _FINE), at}
    return {
        "threshold": at,
        "steps": sorted(round(step, 6) if step != at else at for step in steps),
        "scores": [_short(value, at) for value in score[order].tolist()],
        "labels": "".join(map(str, labels)),
        "slices": [
            {
                "name": row.name,
                "enough": (row.patients or 0) >= evidence.min_patients,
                "members": None if row.rows.all() else sorted(place[row.rows].tolist()),
            }
            for row in rows
            if row.rows is not None
        ],
    }


def _short(score: float, threshold: float) -> float:
    """A score with few digits, unless those would put it across the operating point."""
    short = round(score, _DIGITS)
    return short if (short >= threshold) == (score >= threshold) else score


def count_confusion(evidence: Evidence) -> dict[str, int] | None:
    """True and false positives and negatives at the operating point, None without scores."""
    if evidence.heldout_scores is None:
        return None
    true = evidence.heldout_scores[contract.LABEL].to_numpy() == 1
    calls = evidence.heldout_scores[contract.SCORE].to_numpy(float) >= evidence.threshold
    return {
        "tp": int((calls & true).sum()), "fn": int((~calls & true).sum()),
        "fp": int((calls & ~true).sum()), "tn": int((~calls & ~true).sum()),
    }  # fmt: skip
