"""The rules of the gate for external test sets: how the model does at other hospitals."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores, rules
from tfxray.components.evaluator.rules import Rule
from tfxray.components.metrics import intervals
from tfxray.components.metrics.intervals import Estimate


@dataclasses.dataclass(frozen=True)
class OutsideFigures:
    """How a model does on an external test set, beside the split `test`.

    Attributes:
        judged: Those of the task's `judged` of which the set has enough patients.
        auc: The AUC on the set; of several, the mean of those that are judged.
        of_test: The same on the split `test`.
        change: The former less the latter; see `intervals.difference`.
        calibration: The expected calibration error on the set; the mean of those that are judged.
        beyond: What of that is beyond chance.
    """

    judged: tuple[str, ...] = ()
    auc: Estimate | None = None
    of_test: Estimate | None = None
    change: Estimate | None = None
    calibration: float | None = None
    beyond: float | None = None


def measure_external(
    frame: pd.DataFrame, test: pd.DataFrame, task: Task, gate: Mapping[str, Any]
) -> OutsideFigures:
    """Measures how a model does on an external test set; the page shows what the gate judges.

    Args:
        frame: The set's scores, see `heldout_scores.read_scores`.
        test: Those of the split `test`.
        task: What is asked.
        gate: The config's `gate`, with `min_positives` and `min_negatives`.

    Returns:
        The figures; none where the set has too few patients.
    """
    judged = tuple(n for n in task.judged if _can_judge(frame, task, n, gate))
    if not judged:
        return OutsideFigures()
    places = [task.index(name) for name in judged]
    (labels, scores), (test_labels, test_scores) = (
        (part[:, places] for part in heldout_scores.matrices(table, task))
        for table in (frame, test)
    )
    auc = intervals.mean_auc(labels, scores, frame[contract.PATIENT])
    of_test = change = None
    # The same findings on both sides: a mean of others is no figure to compare with.
    both = intervals.can_judge(test_labels)
    if both.any():
        of_test = intervals.mean_auc(
            test_labels[:, both], test_scores[:, both], test[contract.PATIENT]
        )
        here = intervals.mean_auc(labels[:, both], scores[:, both], frame[contract.PATIENT])
        if here and of_test:  # they are: both classes are there
            change = intervals.difference(here, of_test)
    error, beyond = np.mean(rules.calibration_errors(frame, task, judged), axis=0).tolist()
    return OutsideFigures(judged, auc, of_test, change, error, beyond)


def _can_judge(frame: pd.DataFrame, task: Task, name: str, gate: Mapping[str, Any]) -> bool:
    view = heldout_scores.view(frame, task, name)
    return all(rule.passed for rule in rules.count_patients(view, gate, ""))


def judge_external(
    external: Mapping[str, pd.DataFrame], test: pd.DataFrame, settings: Mapping[str, Any]
) -> Iterator[Rule]:
    """Applies the rules for external test sets to each of them.

    Args:
        external: The scores of each set by its name; see `heldout_scores.read_scores`.
        test: Those of the split `test`.
        settings: See `gate.apply_rules`.
    """
    task, gate = Task.of(settings), settings["gate"]
    for name, frame in external.items():
        for rule in _judge_set(frame, test, task, gate):
            text, broken = f"external test set {name}: {rule.text}", rule.passed is False
            warns = broken and gate["external"]["action"] == "warn"
            yield dataclasses.replace(
                rule,
                slice=f"external: {name}",
                text=text,
                passed=None if warns else rule.passed,
                warns=warns,
            )


def _judge_set(
    frame: pd.DataFrame, test: pd.DataFrame, task: Task, gate: Mapping[str, Any]
) -> Iterator[Rule]:
    limits, figures = gate["external"], measure_external(frame, test, task, gate)
    needed = f"{gate['min_positives']} patients with and {gate['min_negatives']} without it"
    if task.binary:
        counts = [int(rule.figure or 0) for rule in rules.count_patients(frame, gate, "")]
        text = f"{counts[0]} patients with a positive and {counts[1]} with a negative image; "
        text += f"{gate['min_positives']} and {gate['min_negatives']} are needed to judge"
    else:
        count, total = len(figures.judged), len(task.judged)
        text = f"{count} of {total} can be judged: {needed} are needed"
    text += " (gate.min_positives, gate.min_negatives)"
    yield Rule("external_patients", "", None, None, None, None, bool(figures.judged), text)
    if not figures.auc:
        return
    name, limit = "AUC" if task.binary else "mean AUC", limits["auc"]
    if limit is not None:
        lower = gate["auc"]["bound"] == "lower"
        figure = figures.auc.low if lower else figures.auc.value
        passed = bool(figure >= limit)
        text = f"{'lower bound of the ' if lower else ''}{name} {figure:.4f} "
        text += f"{'reaches' if passed else 'is below'} {limit:g} (gate.external.auc)"
        value, low, high = dataclasses.astuple(figures.auc)
        yield Rule("external_auc", "", value, low, high, limit, passed, text)
    if limits["max_drop_from_test"] is not None:
        yield _drop(figures, name, limits["max_drop_from_test"], gate["auc"]["drop_bound"])
    limit, beyond = limits["calibration_error"], figures.beyond
    if limit is not None and beyond is not None:
        passed = bool(beyond <= limit)
        text = f"expected calibration error {figures.calibration:.4f}, {beyond:+.4f} beyond chance"
        text += f"; at most {limit:g} beyond it is allowed (gate.external.calibration_error)"
        yield Rule("external_calibration", "", beyond, None, None, limit, passed, text)


def _drop(figures: OutsideFigures, name: str, limit: float, bound: str) -> Rule:
    key, change = "gate.external.max_drop_from_test", figures.change
    if not change or not figures.of_test:
        text = f"{name} cannot be compared: the split test holds one class of it ({key})"
        return Rule("external_drop", "", None, None, None, -limit, None, text)
    passed, allowed = rules.judge_drop(change, limit, bound)
    text = (
        f"{name} differs by {change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}] from that "
        f"on the split test, {figures.of_test.value:.4f}; {allowed} ({key})"
    )
    value, low, high = dataclasses.astuple(change)
    return Rule("external_drop", "", value, low, high, -limit, passed, text)
