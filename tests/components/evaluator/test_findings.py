"""The gate, the held-out scores and the comparison, of several classes or findings."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.components.evaluator import test_gate
from tests.components.evaluator.test_comparison import gathered
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import comparison, gate, heldout_scores, results
from tfxray.components.evaluator.gate import Baseline
from tfxray.components.metrics import intervals
from tfxray.components.predict.pushed_model import Served

NAMES = ["Effusion", "Mass", "Nodule"]
TASK = Task(tuple(NAMES), exclusive=False)


def frame(patients=150, seed=0, spread=(1.0, 1.0, 1.0)):
    """Calibrated scores of two images of each patient; the last of ten labels is unknown."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), 2)
    table = {
        contract.FILENAME: [f"{i}.png" for i in range(2 * patients)],
        contract.PATIENT: [f"p{i}" for i in owner],
        heldout_scores.DIGEST: [f"{seed}-{i}" for i in range(2 * patients)],
    }
    for name, scale in zip(NAMES, spread, strict=True):
        logits = scale * np.repeat(3 * rng.normal(size=patients), 2)
        scores = 1 / (1 + np.exp(-logits))
        labels = (rng.random(2 * patients) < scores).astype(int)
        labels[::10] = -1
        table[f"label/{name}"], table[f"score/{name}"] = labels, scores
    site = np.where(owner % 4 == 0, "south", "north")
    return pd.DataFrame({**table, contract.DISTANCE: 1.0, contract.UNLIKE: 0, contract.SITE: site})


def apply_gate(data, baseline=None, served=test_gate.NOTHING, auc=None, **changes):
    own = {**test_gate.GATE, "unjudged": "refuse", **changes}
    own["auc"] = {**own["auc"], "each": None, **(auc or {})}
    settings = {
        "gate": own, "findings": NAMES, "slices": [contract.SITE], "min_patients": 10,
    }  # fmt: skip
    return gate.apply_rules(data, settings, baseline or Baseline(), served, test_gate.CHECKED)


def failed(rules):
    return {(rule.rule, rule.finding) for rule in rules if rule.passed is False}


def blessed(data, names=tuple(NAMES), scored=None):
    scores = (data if scored is None else scored)[[f"score/{name}" for name in names]]
    scores = scores.set_index(data[heldout_scores.DIGEST])
    return Baseline("compared", "", scores, names, data)


def test_the_threshold_is_that_of_the_mean():
    data = frame(spread=(1.0, 1.0, 0.1))
    labels, scores = heldout_scores.matrices(data, TASK)
    mean = intervals.mean_auc(labels, scores, data[contract.PATIENT])
    rules = apply_gate(data, auc={"threshold": mean.value - 0.01}, slice_auc=None)
    (rule,) = [rule for rule in rules if rule.rule == "auc"]
    assert (rule.figure, rule.low, rule.high) == (mean.value, mean.low, mean.high)
    assert not failed(rules)
    strict = apply_gate(data, auc={"threshold": mean.value + 0.01}, slice_auc=None)
    assert failed(strict) == {("auc", "")}


def test_each_may_have_a_threshold_of_its_own():
    data = frame(spread=(1.0, 1.0, 0.1))
    options = {"threshold": 0.5, "bound": "value"}
    of_all = apply_gate(data, auc={**options, "each": 0.8}, slice_auc=None)
    assert failed(of_all) == {("auc", "Nodule")}
    of_one = apply_gate(data, auc={**options, "each": {"Effusion": 0.8}}, slice_auc=None)
    assert not failed(of_one)
    assert [rule.finding for rule in of_one if rule.rule == "auc"] == ["", "Effusion"]


def test_what_cannot_be_judged_refuses_or_is_named():
    data = frame()
    data["label/Mass"] = np.where(data.index < 4, 1, np.minimum(data["label/Mass"], 0))
    options = {"auc": {"threshold": 0.5}, "slice_auc": None, "calibration_error": None}
    assert failed(apply_gate(data, **options)) == {("positives", "Mass")}
    rules = apply_gate(data, unjudged="name", **options)
    assert not failed(rules)
    (named,) = [r for r in rules if r.rule == "positives" and r.finding == "Mass"]
    assert named.passed is None
    assert named.unjudged
    assert "not judged" in named.text
    assert results.tell_unjudged([dataclasses.asdict(rule) for rule in rules]) == "Mass"
    # Each slice of it is a row, too; of all together, the others can be judged.
    rules = apply_gate(data, unjudged="name", **{**options, "slice_auc": 0.5})
    unjudged = [(r.finding, r.slice) for r in rules if r.unjudged and r.rule == "slice_auc"]
    assert unjudged == [("Mass", "study/site: north"), ("Mass", "study/site: south")]
    assert all("patients with it and" in r.text for r in rules if r.unjudged and r.slice != "all")
    assert results.tell_unjudged([dataclasses.asdict(rule) for rule in rules]) == "Mass"
    data[contract.SITE] = [f"s{place // 12}" for place in range(len(data))]  # six patients each
    rules = apply_gate(data, unjudged="name", **{**options, "slice_auc": 0.5})
    assert len([r for r in rules if r.unjudged and r.rule == "slice_auc"]) == 4 * 25
    (row,) = [r for r in rules if (r.finding, r.slice) == ("", "study/site: s3")]
    assert "6 patients, of none of the findings enough; 10 of each are needed" in row.text
    told = results.tell_unjudged([dataclasses.asdict(rule) for rule in rules])
    assert told == "Mass, study/site: s0, study/site: s1, study/site: s10, study/site: s11, 21 more"


def test_a_slice_of_one_finding_is_refused_only_beyond_chance():
    data = frame()
    south = data[contract.SITE] == "south"
    data.loc[south, "score/Mass"] = 1 - data.loc[south, "score/Mass"]
    rules = apply_gate(data, auc={"threshold": 0.5}, calibration_error=None)
    assert ("slice_auc", "Mass") in failed(rules)
    assert ("slice_auc", "Effusion") not in failed(rules)
    few = frame(patients=40, spread=(0.35, 1.0, 1.0))
    rules = apply_gate(few, auc={"threshold": 0.5}, slice_auc=0.75, calibration_error=None)
    judged = [r for r in rules if r.rule == "slice_auc" and r.finding and not r.unjudged]
    low = [rule for rule in judged if rule.figure < 0.75]
    assert low
    assert all(rule.passed for rule in low if rule.high >= 0.75)


def test_calibration_is_that_of_each_and_of_the_mean():
    data = frame()
    data["score/Mass"] = data["score/Mass"] ** 6
    rules = apply_gate(data, slice_auc=None, auc={"threshold": 0.5})
    beyond = {r.finding: r.figure for r in rules if r.rule == "calibration"}
    assert list(beyond) == ["", *NAMES]
    assert beyond[""] == pytest.approx(np.mean([beyond[name] for name in NAMES]))
    assert ("calibration", "Mass") in failed(rules)


def test_one_finding_that_got_worse_is_refused_though_the_mean_is_as_good():
    data = frame(patients=400)
    better = {f"score/{n}": np.clip(data[f"score/{n}"] + 0.3 * data[f"label/{n}"], 0, 1)
              for n in ("Effusion", "Nodule")}  # fmt: skip
    noise = np.random.default_rng(1).normal(0, 0.5, len(data))
    candidate = data.assign(**better, **{"score/Mass": np.clip(data["score/Mass"] + noise, 0, 1)})
    options = {"auc": {"threshold": 0.5}, "slice_auc": None, "calibration_error": None}
    rules = apply_gate(candidate, baseline=blessed(data), **options)
    assert failed(rules) == {("baseline", "Mass")}
    assert not failed(apply_gate(data, baseline=blessed(data), **options))


def test_findings_in_another_order_are_compared_by_name_and_others_are_not():
    data = frame()
    options = {"auc": {"threshold": 0.5}, "slice_auc": None}
    turned = blessed(data, names=tuple(reversed(NAMES)))
    rules = {r.finding: r for r in apply_gate(data, turned, **options) if r.rule == "baseline"}
    assert {rule.figure for rule in rules.values()} == {0.0}
    of_two = Baseline("compared", "", {"a": 0.5}, ["NORMAL", "PNEUMONIA"], test_gate.frame())
    (rule,) = [r for r in apply_gate(data, of_two, **options) if r.rule == "baseline"]
    assert rule.passed is None
    assert "[NORMAL, PNEUMONIA] and cannot be compared" in rule.text


def test_a_served_model_of_classes_is_not_replaced_by_findings():
    served = Served("demo/1", NAMES, exclusive=True)
    rules = apply_gate(frame(), served=served, slice_auc=None)
    (rule,) = [rule for rule in rules if rule.rule == "classes"]
    assert rule.passed is False
    assert rule.text.startswith(
        'findings ["Effusion", "Mass", "Nodule"] would take the place of cl'
    )


def test_labels_that_nobody_knew_are_not_relabelled():
    data = frame()
    before = data.assign(**{"label/Mass": -1})
    options = {"auc": {"threshold": 0.5}, "slice_auc": None}
    rules = apply_gate(data, blessed(before, scored=data), **options)
    (rule,) = [rule for rule in rules if rule.rule == "relabelled"]
    assert rule.figure == 0
    flipped = data.assign(**{"label/Mass": np.abs(data["label/Mass"]) ^ 1})
    (rule,) = [r for r in apply_gate(data, blessed(flipped, scored=data), **options)
               if r.rule == "relabelled"]  # fmt: skip
    assert rule.passed is False


def test_scores_are_read_as_they_were_written(tmp_path):
    data = frame()
    heldout_scores.write_scores(pa.Table.from_pandas(data), tmp_path)
    pd.testing.assert_frame_equal(heldout_scores.read_scores(tmp_path), data)


def test_rows_of_tfma_become_a_table(tmp_path):
    features = {
        contract.FILENAME: [b"a.png"], contract.IMAGE: [b"png"], contract.PATIENT: [b"p"],
        "finding/Effusion": [1], "finding/Mass": [-1],
    }  # fmt: skip
    predictions = {
        contract.SCORES: [0.1, 0.2, 0.3], contract.SCORE: [0.3], contract.DISTANCE: [1.0],
        contract.UNLIKE: [0.0],
    }  # fmt: skip
    row = heldout_scores.make_row(features, predictions, TASK)
    table = gathered(tmp_path / "findings", TASK, [row])
    labels, scores = heldout_scores.matrices(table, TASK)
    assert labels.tolist() == [[1, -1, -1]]
    assert scores.tolist() == [[0.1, 0.2, 0.3]]
    assert len(heldout_scores.view(table, TASK, "Mass")) == 0
    of_classes = Task(tuple(NAMES))
    row = heldout_scores.make_row({**features, contract.LABEL: [1]}, predictions, of_classes)
    table = gathered(tmp_path / "classes", of_classes, [row])
    labels, _ = heldout_scores.matrices(table, of_classes)
    assert labels.tolist() == [[0, 1, 0]]


def run(name, data, task=TASK):
    return comparison.ScoredRun(name, data, task, dict.fromkeys(task.judged, 0.5))


def test_runs_are_compared_finding_by_finding():
    data = frame()
    worse = data.assign(**{"score/Mass": np.random.default_rng(0).random(len(data))})
    result = comparison.compare_runs(run("a", data), run("b", worse))
    lines = {line.figure: line for line in result.lines}
    assert list(lines)[:2] == ["mean AUC", "Effusion: AUC"]
    assert lines["Effusion: AUC"].difference.value == 0
    assert lines["Mass: AUC"].difference.high < 0
    assert lines["mean AUC"].difference.value == pytest.approx(
        lines["Mass: AUC"].difference.value / 3
    )
    fewer = Task(("Mass", "Edema"), exclusive=False)
    other = data.rename(columns={"label/Nodule": "label/Edema", "score/Nodule": "score/Edema"})
    result = comparison.compare_runs(run("a", data), run("c", other, fewer))
    figures = ("AUC", "sensitivity", "specificity", "accuracy", "Brier score")
    assert [line.figure for line in result.lines] == [f"Mass: {figure}" for figure in figures]
    apart = Task(("Edema",), exclusive=False)
    with pytest.raises(UserError, match=r"judge \[Effusion, Mass, Nodule\] and \[Edema\]"):
        comparison.compare_runs(run("a", data), run("d", other, apart))
