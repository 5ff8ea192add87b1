"""Several classes or findings at a glance: the table that the page begins with."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.evaluator.results import Figure
from tfxray.components.review.evidence import Evidence
from tfxray.components.review.slice_figures import Row


@dataclasses.dataclass(frozen=True)
class Finding:
    """One class or finding.

    Attributes:
        name: Its name.
        key: What the ids of its part of the page end in.
        images: Held-out images whose label is known.
        positives: Of these.
        unknown: The others.
        auc: With its interval; None where a class is missing.
        threshold: The operating point.
        sensitivity: There.
        specificity: Likewise.
        passed: Whether all of the gate's rules that look at it hold; None where none applies.
    """

    name: str
    key: str
    images: int
    positives: int
    unknown: int
    auc: Figure | None
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    passed: bool | None


@dataclasses.dataclass(frozen=True)
class Matrix:
    """How often two of them go together.

    Attributes:
        caption: What is counted.
        columns: Their names.
        rows: A name and the counts, per row.
    """

    caption: str
    columns: Sequence[str]
    rows: list[tuple[str, list[int]]]


@dataclasses.dataclass(frozen=True)
class Overview:
    """All of them.

    Attributes:
        rows: One each.
        auc: The mean, as the gate has it.
        images: Held out.
        patients: Theirs.
        matrix: Confusion of classes, or co-occurrence of findings.
    """

    rows: list[Finding]
    auc: Figure | None
    images: int
    patients: int
    matrix: Matrix

    def count_confusion(self, name: str) -> dict[str, int]:
        """Of exclusive classes: `tp`, `fn` and `fp` of one, by the most probable class."""
        counts = np.array([row for _, row in self.matrix.rows])
        place = [row.name for row in self.rows].index(name)
        found = int(counts[place, place])
        return {
            "tp": found,
            "fn": int(counts[place].sum()) - found,
            "fp": int(counts[:, place].sum()) - found,
        }


def make_overview(evidence: Evidence, parts: Sequence[dict[str, Any]]) -> Overview | None:
    """Puts the table together.

    Args:
        evidence: Of the run, of all findings together.
        parts: Of each, `name`, `key`, `evidence` and `rows`.

    Returns:
        None where there are no scores.
    """
    table = evidence.heldout_scores
    if table is None:
        return None
    rows = [_finding(part, len(table)) for part in parts]
    auc = evidence.results.auc if evidence.results else None
    patients = table[contract.PATIENT].nunique()
    matrix = _confusion(evidence) if evidence.task.exclusive else _together(evidence)
    return Overview(rows, auc, len(table), patients, matrix)


def _finding(part: dict[str, Any], images: int) -> Finding:
    of_one: Evidence = part["evidence"]
    row: Row | None = part["rows"][0] if part["rows"] else None
    figures = row.figures if row else {}
    verdicts = [rule["passed"] for rule in of_one.gate.get("rules", [])]
    applied = [passed for passed in verdicts if passed is not None]
    known = row.images if row else 0
    return Finding(
        part["name"],
        part["key"],
        known,
        row.positives if row else 0,
        images - known,
        figures.get(AUC),
        of_one.threshold,
        figures.get("sensitivity"),
        figures.get("specificity"),
        all(applied) if applied and figures.get(AUC) else None,
    )


def _confusion(evidence: Evidence) -> Matrix:
    assert evidence.heldout_scores is not None
    labels, scores = heldout_scores.matrices(evidence.heldout_scores, evidence.task)
    counts = np.zeros((len(evidence.task.names),) * 2, int)
    np.add.at(counts, (labels.argmax(1), scores.argmax(1)), 1)
    names = evidence.task.names
    rows = [(f"is {name}", row) for name, row in zip(names, counts.tolist(), strict=True)]
    columns = [f"called {name}" for name in names]
    return Matrix("Confusion matrix: the label, and the most probable class", columns, rows)


def _together(evidence: Evidence) -> Matrix:
    assert evidence.heldout_scores is not None
    labels, _ = heldout_scores.matrices(evidence.heldout_scores, evidence.task)
    present = (labels == 1).astype(int)
    names = evidence.task.names
    rows = list(zip(names, (present.T @ present).tolist(), strict=True))
    return Matrix("Co-occurrence: held-out images with both findings", names, rows)
