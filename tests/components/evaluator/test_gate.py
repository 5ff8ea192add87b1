"""The gate: each rule refuses alone."""

import numpy as np
import pandas as pd
import pytest

from tfxray.components.common import contract
from tfxray.components.evaluator import gate, heldout_scores
from tfxray.components.evaluator.gate import Baseline, ServingCheck

GATE = {
    "auc": {"threshold": 0.8, "bound": "value", "max_drop": 0.02},
    "slice_auc": 0.7,
    "calibration_error": 0.1,
    "min_positives": 10,
    "min_negatives": 10,
    "servable": True,
}
SERVED = ServingCheck(64, 1e-7)


def frame(patients: int = 120, seed: int = 0) -> pd.DataFrame:
    """Calibrated scores of two images each of so many patients at two sites; AUC 0.96."""
    rng = np.random.default_rng(seed)
    logits = np.repeat(3 * rng.normal(size=patients), 2) + 0.1 * rng.normal(size=2 * patients)
    score = 1 / (1 + np.exp(-logits))
    owner = np.repeat(np.arange(patients), 2)
    return pd.DataFrame(
        {
            contract.FILENAME: [f"{i}.png" for i in range(2 * patients)],
            contract.PATIENT: [f"p{i}" for i in owner],
            heldout_scores.DIGEST: [f"{i:032x}" for i in range(2 * patients)],
            contract.LABEL: (rng.random(2 * patients) < score).astype(int),
            contract.SCORE: score,
            contract.DISTANCE: 1.0,
            contract.UNLIKE: 0,
            contract.SITE: np.where(owner % 4 == 0, "south", "north"),
        }
    )


def apply_gate(data=None, baseline=None, check=SERVED, **changes):
    settings = {"gate": {**GATE, **changes}, "slices": [contract.SITE], "min_patients": 10}
    data = frame() if data is None else data
    return gate.apply_rules(data, settings, baseline or Baseline(), check)


def failed_rules(rules):
    return [rule.rule for rule in rules if rule.passed is False]


def same(data):
    return Baseline(
        "compared", "", dict(zip(data[heldout_scores.DIGEST], data[contract.SCORE], strict=True))
    )


def better(data):
    """An old model that makes no mistake."""
    return Baseline(
        "compared", "", dict(zip(data[heldout_scores.DIGEST], data[contract.LABEL], strict=True))
    )


def inverted_at_south():
    data = frame()
    south = data[contract.SITE] == "south"
    data.loc[south, contract.SCORE] = 1 - data.loc[south, contract.SCORE]
    return data


def overconfident():
    data = frame()
    data[contract.SCORE] = data[contract.SCORE] ** 6
    return data


def only(label, keep):
    data = frame()
    return data[(data[contract.LABEL] != label) | (data[contract.PATIENT].isin(keep))]


def test_all_rules_hold():
    rules = apply_gate(baseline=same(frame()))
    assert failed_rules(rules) == []
    assert all(rule.passed for rule in rules)
    assert [r.slice for r in rules if r.rule == "slice_auc"] == [
        "study/site: north",
        "study/site: south",
    ]


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("auc", {"auc": {**GATE["auc"], "threshold": 0.97}}),
        ("auc", {"auc": {"threshold": 0.94, "bound": "lower", "max_drop": 0.02}}),
        ("slice_auc", {"data": inverted_at_south(), "auc": {**GATE["auc"], "threshold": 0.5},
                       "calibration_error": None}),
        ("calibration", {"data": overconfident()}),
        ("baseline", {"baseline": better(frame())}),
        ("positives", {"data": only(1, [f"p{i}" for i in range(8)]), "calibration_error": None,
                       "slice_auc": None}),
        ("negatives", {"data": only(0, [f"p{i}" for i in range(8)]), "calibration_error": None,
                       "slice_auc": None}),
        ("servable", {"check": ServingCheck(64, 0.01)}),
        ("servable", {"check": ServingCheck(64, float("inf"))}),
        ("servable", {"check": ServingCheck(0, 0.0)}),
        ("servable", {"check": ServingCheck(0, float("nan"), "OpError: it crashed")}),
    ],
)  # fmt: skip
def test_each_rule_refuses_alone(rule, arguments):
    assert set(failed_rules(apply_gate(**arguments))) == {rule}


def test_the_lower_bound_is_stricter_than_the_value():
    limit = {"threshold": 0.94, "max_drop": 0.02}
    assert failed_rules(apply_gate(auc={**limit, "bound": "value"})) == []
    assert failed_rules(apply_gate(auc={**limit, "bound": "lower"})) == ["auc"]


def test_a_slice_with_few_patients_is_not_judged():
    data = inverted_at_south()
    few = set(data[data[contract.SITE] == "south"][contract.PATIENT].unique()[:12])
    data = data[(data[contract.SITE] == "north") | data[contract.PATIENT].isin(few)]
    rules = apply_gate(data, auc={**GATE["auc"], "threshold": 0.5}, calibration_error=None)
    assert [rule.slice for rule in rules if rule.rule == "slice_auc"] == ["study/site: north"]


def test_an_incompatible_old_model_is_told_and_no_reason():
    rules = apply_gate(baseline=Baseline("incompatible", "cannot score this data: KeyError"))
    assert failed_rules(rules) == []
    (rule,) = [rule for rule in rules if rule.rule == "baseline"]
    assert rule.passed is None
    assert "KeyError" in rule.text


def test_one_class_is_refused():
    data = frame()
    rules = apply_gate(data[data[contract.LABEL] == 1])
    assert {"auc", "negatives"} <= set(failed_rules(rules))


def test_scores_that_are_no_numbers_are_refused():
    data = frame()
    data[contract.SCORE] = np.nan
    assert "auc" in failed_rules(apply_gate(data))
