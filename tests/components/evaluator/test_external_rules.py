"""The gate's rules for external test sets, on made scores."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.components.evaluator.test_gate import CLASSES, GATE, frame
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import external_rules, gate, heldout_scores
from tfxray.components.evaluator.gate import Baseline
from tfxray.components.metrics import intervals
from tfxray.components.predict.pushed_model import Served

LIMITS = {"auc": 0.8, "max_drop_from_test": 0.1, "calibration_error": None, "action": "fail"}


def judge(external, test=None, own_gate=None, **limits):
    settings = {
        "gate": {**GATE, **(own_gate or {}), "external": {**LIMITS, **limits}},
        "classes": CLASSES,
        "slices": [],
        "min_patients": 10,
    }
    sets = {"nih": external}
    test = frame() if test is None else test
    rules = gate.apply_rules(test, settings, Baseline(), Served(), None, sets)
    return {rule.rule: rule for rule in rules if rule.slice == "external: nih"}


def turned(data: pd.DataFrame) -> pd.DataFrame:
    """Another hospital, where the score says the contrary."""
    return data.assign(**{contract.SCORE: 1 - data[contract.SCORE]})


def test_a_set_like_the_test_split_passes_and_without_sets_there_are_no_rules():
    rules = judge(frame(seed=1))
    assert list(rules) == ["external_patients", "external_auc", "external_drop"]
    assert all(rule.passed for rule in rules.values())
    assert not any(rule.warns for rule in rules.values())
    settings = {"gate": {**GATE, "external": LIMITS}, "classes": CLASSES}
    assert list(external_rules.judge_external({}, frame(), settings)) == []


def test_the_figures_are_those_of_the_set_and_of_two_independent_samples():
    test, external = frame(), turned(frame(80, seed=1))
    rules = judge(external, test)
    auc = rules["external_auc"].figure
    assert auc == pytest.approx(roc_auc_score(external[contract.LABEL], external[contract.SCORE]))
    of_test = roc_auc_score(test[contract.LABEL], test[contract.SCORE])
    drop = rules["external_drop"]
    assert drop.figure == pytest.approx(auc - of_test)
    # Zou and Donner, 2008: the limits of a difference from those of both figures.
    here, there = (
        intervals.auc(table[contract.LABEL], table[contract.SCORE], table[contract.PATIENT])
        for table in (external, test)
    )
    below = math.hypot(here.value - here.low, there.high - there.value)
    above = math.hypot(here.high - here.value, there.value - there.low)
    assert drop.low == pytest.approx(drop.figure - below)
    assert drop.high == pytest.approx(drop.figure + above)


def test_a_model_that_fails_elsewhere_is_refused_and_the_rule_is_named():
    rules = judge(turned(frame(seed=1)))
    failed = [rule for rule in rules.values() if rule.passed is False]
    assert [rule.rule for rule in failed] == ["external_auc", "external_drop"]
    texts = [rule.text for rule in failed]
    assert all(text.startswith("external test set nih: AUC ") for text in texts)
    assert texts[0].endswith("is below 0.8 (gate.external.auc)")
    assert texts[1].endswith("(gate.external.max_drop_from_test)")


def test_a_warning_refuses_nothing_and_says_the_same():
    refusing, warning = (judge(turned(frame(seed=1)), action=a) for a in ("fail", "warn"))
    for name in ("external_auc", "external_drop"):
        assert warning[name].passed is None
        assert warning[name].warns
        assert warning[name].text == refusing[name].text
    assert warning["external_patients"].passed
    assert not warning["external_patients"].warns


def test_limits_that_are_null_are_no_rules_and_calibration_is_one_where_it_has_a_limit():
    assert list(judge(frame(), auc=None, max_drop_from_test=None)) == ["external_patients"]
    sure = frame(seed=1).assign(**{contract.SCORE: lambda t: (t[contract.SCORE] > 0.5) * 0.98})
    rule = judge(sure, calibration_error=0.1)["external_calibration"]
    assert rule.passed is (rule.figure <= 0.1)
    assert not judge(turned(frame()), calibration_error=0.1)["external_calibration"].passed
    assert judge(frame(600, seed=1), calibration_error=0.1)["external_calibration"].passed


def test_too_few_patients_are_no_evidence_that_it_does_well():
    few = frame(12, seed=1)
    few = few[few[contract.PATIENT].isin([f"p{i}" for i in range(8)])]
    rules = judge(few)
    assert list(rules) == ["external_patients"]
    assert rules["external_patients"].passed is False
    assert "10 and 10 are needed to judge" in rules["external_patients"].text
    assert judge(few, action="warn")["external_patients"].warns


def test_the_bounds_of_the_gate_decide_here_too():
    external = frame(40, seed=3)
    auc = judge(external)["external_auc"]
    between = (auc.low + auc.figure) / 2
    assert judge(external, auc=between)["external_auc"].passed
    lower = {"auc": {**GATE["auc"], "bound": "lower"}}
    assert judge(external, own_gate=lower, auc=between)["external_auc"].passed is False
    drop = judge(external)["external_drop"]
    limit = -(drop.low + drop.figure) / 2
    assert judge(external, max_drop_from_test=limit)["external_drop"].passed
    strict = {"auc": {**GATE["auc"], "drop_bound": "lower"}}
    refused = judge(external, own_gate=strict, max_drop_from_test=limit)["external_drop"]
    assert refused.passed is False


def test_of_several_findings_those_that_the_set_tells_are_judged():
    task = Task(("Edema", "Effusion", "Mass"), exclusive=False)
    rng = np.random.default_rng(0)

    def table(known):
        base = frame(seed=5).drop(columns=[contract.LABEL, contract.SCORE])
        for name in task.names:
            label = rng.integers(0, 2, len(base))
            base[f"label/{name}"] = label if name in known else -1
            base[f"score/{name}"] = np.clip(0.3 * label + rng.random(len(base)) * 0.7, 0, 1)
        return base

    test, external = table(task.names), table(("Edema", "Effusion"))
    figures = external_rules.measure_external(external, test, task, GATE)
    assert figures.judged == ("Edema", "Effusion")
    for own, estimate in ((external, figures.auc), (test, figures.of_test)):
        areas = [roc_auc_score(own[f"label/{n}"], own[f"score/{n}"]) for n in figures.judged]
        assert estimate.value == pytest.approx(np.mean(areas))
    assert figures.change.value == pytest.approx(figures.auc.value - figures.of_test.value)
    settings = {"gate": {**GATE, "external": LIMITS}, "findings": list(task.names)}
    first, auc, *_ = external_rules.judge_external({"x": external}, test, settings)
    assert "2 of 3 can be judged" in first.text
    assert auc.text.startswith("external test set x: mean AUC")
    silent = external_rules.measure_external(table(()), test, task, GATE)
    assert silent == external_rules.OutsideFigures()


def test_scores_that_are_no_numbers_are_refused():
    broken = frame(seed=1).assign(**{contract.SCORE: np.nan})
    assert not judge(broken)["external_auc"].passed
    assert not judge(broken)["external_drop"].passed


def test_the_sets_are_read_by_their_names(tmp_path):
    import pyarrow as pa

    for name in ("b", "a"):
        heldout_scores.write_scores(pa.Table.from_pandas(frame(20)), tmp_path / name)
    assert list(heldout_scores.read_external(tmp_path)) == ["a", "b"]
    assert len(heldout_scores.read_external(tmp_path)["a"]) == 40
