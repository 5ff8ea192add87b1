"""The rules of the gate that look at the candidate alone: its figures, and how it is served."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores
from tfxray.components.metrics import calibration, intervals
from tfxray.components.metrics.intervals import Estimate

# What a view of one finding is as: see `heldout_scores.view`.
_ONE = Task(("absent", "present"))
_TOLERANCE = 1e-4  # between the exported model's scores and the trained one's


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule with its verdict.

    Attributes:
        rule: `auc`, `slice_auc`, `calibration`, `positives`, `negatives`, `servable`, `classes`,
            `relabelled`, `label_shift` or `baseline`; of external test sets, `external_patients`,
            `external_auc`, `external_drop` or `external_calibration`.
        slice: `all`, or the slice's name; of an external test set, `external: NAME`.
        figure: What was measured; None where it could not be.
        low: Lower end of its 95 % interval by patient, where there is one.
        high: The upper end.
        limit: What the config demands, where that is a number.
        passed: The verdict; None where the rule does not apply to this run, or only warns.
        text: All of it in words.
        finding: Of several classes or findings, the one that is looked at; empty for all together.
        warns: Whether it was not kept, and the config lets the model pass all the same.
        unjudged: Whether there are too few patients to judge, and the model may pass all the same.
    """

    rule: str
    slice: str
    figure: float | None
    low: float | None
    high: float | None
    limit: float | None
    passed: bool | None
    text: str
    finding: str = ""
    warns: bool = False
    unjudged: bool = False


@dataclasses.dataclass(frozen=True)
class ServingCheck:
    """How the export did in a process of TensorFlow alone.

    Attributes:
        checked: Images scored through both signatures.
        largest: Largest difference from the trained model's scores.
        error: Why it could not score them; empty where it could.
    """

    checked: int
    largest: float
    error: str = ""


def judge_candidate(
    frame: pd.DataFrame, settings: Mapping[str, Any], check: ServingCheck | None
) -> list[Rule]:
    """Applies the rules that need no other model.

    Args:
        frame: The held-out scores, see `heldout_scores.read_scores`.
        settings: See `gate.apply_rules`.
        check: None where the config does not ask.

    Returns:
        The rules. Of several classes or findings, each has its own, and those without a name hold
        for all of them together.
    """
    task, gate = Task.of(settings), settings["gate"]
    if task.binary:
        rules = [*count_patients(frame, gate, ""), _auc(frame, task, gate["auc"])]
        rules += [_slice(name, part, settings, "") for name, part in _slices(frame, settings, "")]
    else:
        rules = _judge_each(frame, task, settings)
    if gate["calibration_error"] is not None:
        rules += _calibration(frame, task, gate["calibration_error"])
    if check is not None:
        rules.append(_servable(check))
    return rules


def _judge_each(frame: pd.DataFrame, task: Task, settings: Mapping[str, Any]) -> list[Rule]:
    gate = settings["gate"]
    views = {name: heldout_scores.view(frame, task, name) for name in task.judged}
    rules = [_auc(frame, task, gate["auc"])]
    for name, part in views.items():
        rules += count_patients(part, gate, name)
    each = gate["auc"]["each"]
    for name, part in views.items() if each is not None else ():
        limit = each.get(name) if isinstance(each, Mapping) else each
        if limit is not None and len(part[contract.LABEL].unique()) == 2:
            rules.append(_auc(part, _ONE, {**gate["auc"], "threshold": limit}, name))
    for name in ("", *views):
        rules += [_slice(s, part, settings, name) for s, part in _slices(frame, settings, name)]
    return rules


def count_patients(frame: pd.DataFrame, gate: Mapping[str, Any], finding: str) -> list[Rule]:
    """Whether there are enough patients to judge. What the config lets go does not apply.

    Args:
        frame: The scores of one finding; see `heldout_scores.view`.
        gate: The config's, with `min_positives` and `min_negatives`.
        finding: Its name, where there are several.
    """
    rules = []
    for label, rule in ((1, "positives"), (0, "negatives")):
        limit = gate[f"min_{rule}"]
        count = int(frame[contract.PATIENT][frame[contract.LABEL] == label].nunique())
        text = f"{count} held-out patients with a {rule[:-1]} image"
        text += f"; at least {limit} are needed to judge"
        passed: bool | None = count >= limit
        unjudged = not passed and bool(finding) and gate["unjudged"] == "name"
        if unjudged:
            passed, text = None, f"{text}; not judged, as the config allows (gate.unjudged)"
        rules.append(
            Rule(
                rule, "all", count, None, None, limit, passed, _named(finding, text), finding,
                unjudged=unjudged,
            )
        )  # fmt: skip
    return rules


def _named(finding: str, text: str) -> str:
    return f"{finding}: {text}" if finding else text


def _auc(frame: pd.DataFrame, task: Task, gate: Mapping[str, Any], finding: str = "") -> Rule:
    auc = intervals.mean_auc(*heldout_scores.matrices(frame, task), frame[contract.PATIENT])
    limit = gate["threshold"]
    if auc is None:
        text = "AUC cannot be had: the test split holds one class"
        return Rule("auc", "all", None, None, None, limit, False, _named(finding, text), finding)
    figure = auc.low if gate["bound"] == "lower" else auc.value
    passed = bool(figure >= limit)
    name = "AUC" if len(task.judged) == 1 else "mean AUC"
    what = f"lower bound of the {name}" if gate["bound"] == "lower" else name
    text = f"{what} {figure:.4f} {'reaches' if passed else 'is below'} the threshold {limit:g}"
    return Rule(
        "auc", "all", auc.value, auc.low, auc.high, limit, passed, _named(finding, text), finding
    )


def _slices(
    frame: pd.DataFrame, settings: Mapping[str, Any], finding: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """All slices, of all findings together or of one of them."""
    if settings["gate"]["slice_auc"] is None:
        return
    for name, mask in heldout_scores.mask_slices(frame, settings["slices"]).items():
        part = frame[mask].reset_index(drop=True)
        yield name, heldout_scores.view(part, Task.of(settings), finding) if finding else part


def patients_of_rarer_class(part: pd.DataFrame) -> int:
    """How many patients have an image of the class that fewer have."""
    return min(_patients_of(part, label) for label in (0, 1))


def _patients_of(part: pd.DataFrame, label: int) -> int:
    return int(part[part[contract.LABEL] == label][contract.PATIENT].nunique())


def _slice(name: str, part: pd.DataFrame, settings: Mapping[str, Any], finding: str) -> Rule:
    limit, task = settings["gate"]["slice_auc"], Task.of(settings)
    of_all = not finding and not task.binary
    own = task if of_all else _ONE
    labels, scores = heldout_scores.matrices(part, own)
    views = [heldout_scores.view(part, task, n) for n in task.judged] if of_all else [part]
    enough = [patients_of_rarer_class(view) >= settings["min_patients"] for view in views]
    if not any(enough):
        return _unjudged_slice(name, part, settings, finding)
    labels, scores = labels[:, enough], scores[:, enough]
    auc = intervals.mean_auc(labels, scores, part[contract.PATIENT])
    assert auc is not None  # both classes are there
    # There are many slices of many findings, and few patients in each: chance is no reason there.
    figure = auc.high if finding else auc.value
    passed = bool(figure >= limit)
    what = "mean AUC" if of_all else "AUC"
    text = f"{name}: {what} {auc.value:.4f} {'reaches' if passed else 'is below'} {limit:g}"
    if finding:
        text += f" by the upper end of its interval, {auc.high:.4f}"
    return Rule(
        "slice_auc", name, auc.value, auc.low, auc.high, limit, passed,
        _named(finding, text), finding,
    )  # fmt: skip


def _unjudged_slice(
    name: str, part: pd.DataFrame, settings: Mapping[str, Any], finding: str
) -> Rule:
    """What a signer must know of a slice that has too few patients: its counts, what is needed."""
    task, least = Task.of(settings), settings["min_patients"]
    needed = f"{least} of each are needed to judge (evaluate.min_patients)"
    auc = None
    if finding or task.binary:
        with_it, without = (_patients_of(part, label) for label in (1, 0))
        names = ("with it", "without it") if finding else task.names[::-1]
        text = f"not judged: {with_it} patients {names[0]} and {without} {names[1]}; {needed}"
        auc = intervals.mean_auc(*heldout_scores.matrices(part, _ONE), part[contract.PATIENT])
    else:
        count = part[contract.PATIENT].nunique()
        text = f"not judged: {count} patients, of none of the findings enough; {needed}"
        text += ", patients with it and without it"
    if auc:
        text += f". So few show AUC {auc.value:.4f}, between {auc.low:.4f} and {auc.high:.4f}"
    value, low, high = dataclasses.astuple(auc) if auc else (None, None, None)
    limit, text = settings["gate"]["slice_auc"], _named(finding, f"{name}: {text}")
    return Rule("slice_auc", name, value, low, high, limit, None, text, finding, unjudged=True)


def _calibration(frame: pd.DataFrame, task: Task, limit: float) -> Iterator[Rule]:
    errors = calibration_errors(frame, task, task.judged)
    if not task.binary:
        error, beyond = np.nanmean(errors, axis=0).tolist()
        yield _calibrated(error, beyond, limit, "", "mean ")
    for name, (error, beyond) in zip(task.judged, errors, strict=True):
        if task.binary or np.isfinite(error):
            yield _calibrated(error, beyond, limit, "" if task.binary else name)


def calibration_errors(
    frame: pd.DataFrame, task: Task, names: Sequence[str]
) -> list[tuple[float, float]]:
    """Of each of some findings: its expected calibration error, and what of it is beyond chance.

    Args:
        frame: The held-out scores.
        task: What is asked.
        names: Some of its `judged`.
    """
    errors = []
    for name in names:
        part = heldout_scores.view(frame, task, name)
        labels, values = part[contract.LABEL].to_numpy(), part[contract.SCORE].to_numpy(float)
        error, chance = float("nan"), 0.0
        if len(labels):
            error = calibration.expected_error(labels, values)
            chance = calibration.error_by_chance(values)
        errors.append((error, error - chance))
    return errors


def _calibrated(error: float, beyond: float, limit: float, finding: str, mean: str = "") -> Rule:
    passed = bool(beyond <= limit)
    text = (
        f"{mean}expected calibration error {error:.4f}, {beyond:+.4f} beyond what so few images "
        f"show by chance; at most {limit:g} beyond it is allowed"
    )
    return Rule(
        "calibration", "all", beyond, None, None, limit, passed, _named(finding, text), finding
    )


def _servable(check: ServingCheck) -> Rule:
    if check.error or not check.checked:
        text = f"the export cannot be served: {check.error or 'no image could be scored'}"
        return Rule("servable", "all", None, None, None, _TOLERANCE, False, text)
    passed = bool(check.largest <= _TOLERANCE)
    text = (
        f"TensorFlow alone scores {check.checked} images within {check.largest:.1e} of the "
        f"trained model, through both signatures; at most {_TOLERANCE:.0e} is allowed"
    )
    return Rule("servable", "all", check.largest, None, None, _TOLERANCE, passed, text)


def judge_drop(change: Estimate, limit: float, bound: str) -> tuple[bool, str]:
    """Whether an AUC lies no further below another one than it may.

    Args:
        change: The one less the other.
        limit: The most by which it may lie below.
        bound: What must lie beyond the limit; the config's `gate.auc.drop_bound`.

    Returns:
        The verdict, and in words what is allowed.
    """
    # A figure that is no number reaches nothing, and fails.
    if bound == "significant":
        passed = bool(change.value >= -limit or change.high >= 0)
        allowed = f"more than {limit:g} lower is refused if all of the interval lies below 0, too"
        return passed, allowed
    decides = {"value": change.value, "lower": change.low, "upper": change.high}
    words = {"value": "value", "lower": "lower end", "upper": "upper end"}
    return bool(
        decides[bound] >= -limit
    ), f"at most {limit:g} lower is allowed, by the {words[bound]}"
