"""The rules of the gate that look at the candidate alone: its figures, and how it is served."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.metrics import calibration, intervals

_TOLERANCE = 1e-4  # between the exported model's scores and the trained one's


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule with its verdict.

    Attributes:
        rule: `auc`, `slice_auc`, `calibration`, `positives`, `negatives`, `servable`, `classes`,
            `relabelled`, `label_shift` or `baseline`.
        slice: `all`, or the slice's name.
        figure: What was measured; None where it could not be.
        low: Lower end of its 95 % interval by patient, where there is one.
        high: The upper end.
        limit: What the config demands, where that is a number.
        passed: The verdict; None where the rule does not apply to this run.
        text: All of it in words.
    """

    rule: str
    slice: str
    figure: float | None
    low: float | None
    high: float | None
    limit: float | None
    passed: bool | None
    text: str


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
    """
    gate = settings["gate"]
    labels, values = frame[contract.LABEL].to_numpy(), frame[contract.SCORE].to_numpy(float)
    patients = frame[contract.PATIENT].to_numpy()
    auc = intervals.auc(labels, values, patients)
    rules = [
        _enough("positives", patients[labels == 1], gate["min_positives"]),
        _enough("negatives", patients[labels == 0], gate["min_negatives"]),
        _auc(auc, gate["auc"]),
        *_slices(frame, settings),
    ]
    if gate["calibration_error"] is not None:
        rules.append(_calibration(labels, values, gate["calibration_error"]))
    if check is not None:
        rules.append(_servable(check))
    return rules


def _enough(rule: str, patients: np.ndarray, limit: int) -> Rule:
    count = len(set(patients))
    text = f"{count} held-out patients with {'a positive' if rule == 'positives' else 'a negative'}"
    text += f" image; at least {limit} are needed to judge"
    return Rule(rule, "all", count, None, None, limit, count >= limit, text)


def _auc(auc: intervals.Estimate | None, gate: Mapping[str, Any]) -> Rule:
    limit = gate["threshold"]
    if auc is None:
        text = "AUC cannot be had: the test split holds one class"
        return Rule("auc", "all", None, None, None, limit, False, text)
    figure = auc.low if gate["bound"] == "lower" else auc.value
    passed = bool(figure >= limit)
    what = "lower bound of the AUC" if gate["bound"] == "lower" else "AUC"
    text = f"{what} {figure:.4f} {'reaches' if passed else 'is below'} the threshold {limit:g}"
    return Rule("auc", "all", auc.value, auc.low, auc.high, limit, passed, text)


def _slices(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Rule]:
    limit, least = settings["gate"]["slice_auc"], settings["min_patients"]
    if limit is None:
        return []
    rules = []
    for name, mask in heldout_scores.mask_slices(frame, settings["slices"]).items():
        part = frame[mask]
        classes = [part[part[contract.LABEL] == c][contract.PATIENT].nunique() for c in (0, 1)]
        if min(classes) < least:
            continue
        auc = intervals.auc(
            *(part[c].to_numpy() for c in (contract.LABEL, contract.SCORE, contract.PATIENT))
        )
        assert auc is not None  # both classes are there
        passed = bool(auc.value >= limit)
        text = f"{name}: AUC {auc.value:.4f} {'reaches' if passed else 'is below'} {limit:g}"
        rules.append(Rule("slice_auc", name, auc.value, auc.low, auc.high, limit, passed, text))
    return rules


def _calibration(labels: np.ndarray, values: np.ndarray, limit: float) -> Rule:
    error, chance = float("nan"), 0.0
    if len(labels):
        error = calibration.expected_error(labels, values)
        chance = calibration.error_by_chance(values)
    beyond = error - chance
    passed = bool(beyond <= limit)
    text = (
        f"expected calibration error {error:.4f}, {beyond:+.4f} beyond what so few images show by "
        f"chance; at most {limit:g} beyond it is allowed"
    )
    return Rule("calibration", "all", beyond, None, None, limit, passed, text)


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
