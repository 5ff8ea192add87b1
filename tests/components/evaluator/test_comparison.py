"""Two runs on the same images."""

import numpy as np
import pandas as pd
import pytest

from tests.components.evaluator.test_gate import frame
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import comparison, heldout_scores
from tfxray.components.evaluator.comparison import ScoredRun

TASK = Task(("NORMAL", "PNEUMONIA"))


def scored(name: str, data: pd.DataFrame, threshold: float) -> ScoredRun:
    return ScoredRun(name, data, TASK, {"PNEUMONIA": threshold})


def noisier(data: pd.DataFrame) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, 0.2, len(data))
    return data.assign(**{contract.SCORE: np.clip(data[contract.SCORE] + noise, 0, 1)})


def test_a_run_does_not_differ_from_itself():
    result = comparison.compare_runs(scored("a", frame(), 0.5), scored("b", frame(), 0.5))
    assert (result.images, result.patients, result.left_out) == (240, 120, (0, 0))
    for line in result.lines:
        assert line.first == line.second
        assert (line.difference.value, line.difference.low, line.difference.high) == (0, 0, 0)


def test_a_worse_run_is_seen_although_the_intervals_overlap():
    result = comparison.compare_runs(scored("a", frame(), 0.5), scored("b", noisier(frame()), 0.5))
    (auc,) = [line for line in result.lines if line.figure == "AUC"]
    assert auc.difference.high < 0
    assert auc.difference.value == pytest.approx(auc.second.value - auc.first.value)
    assert auc.second.high > auc.first.low


def test_each_run_keeps_its_own_threshold():
    result = comparison.compare_runs(scored("a", frame(), 0.5), scored("b", frame(), 0.1))
    lines = {line.figure: line for line in result.lines}
    assert lines["AUC"].difference.value == 0
    assert lines["sensitivity"].difference.low > 0
    assert lines["specificity"].difference.high < 0


def test_only_what_both_judged_counts():
    data = frame()
    other = data.iloc[40:].copy()
    other.iloc[0, other.columns.get_loc(contract.LABEL)] ^= 1
    result = comparison.compare_runs(scored("a", data, 0.5), scored("b", other, 0.5))
    assert (result.images, result.left_out, result.relabelled) == (199, (40, 0), 1)


def test_nothing_in_common_is_told(tmp_path):
    apart = frame().assign(**{heldout_scores.DIGEST: "x"})
    with pytest.raises(UserError, match=r"0 held-out images .* in common"):
        comparison.compare_runs(scored("a", frame(), 0.5), scored("b", apart, 0.5))
    with pytest.raises(UserError, match="run c: scored no held-out image"):
        comparison.read_run("c", tmp_path, TASK, {})


def test_scores_survive_the_file(tmp_path):
    data = frame().assign(**{contract.AGE: 41.0, contract.SITE: "<b>NA</b>"})
    data.loc[0, contract.AGE] = np.nan
    data.loc[1, contract.SITE] = ""
    heldout_scores.write_scores(data, tmp_path)
    scores = heldout_scores.read_scores(tmp_path)
    pd.testing.assert_frame_equal(scores, data, check_dtype=False)


def test_slices_are_named_as_tfma_names_them():
    data = frame().assign(**{contract.AGE: np.arange(240) % 100, contract.SEX: "F"})
    masks = heldout_scores.mask_slices(
        data, [contract.AGE, [contract.SITE, contract.SEX], contract.VIEW]
    )
    assert sorted(masks) == [
        "patient/age: 0-17", "patient/age: 18-39", "patient/age: 40-59", "patient/age: 60-79",
        "patient/age: 80+",
        "study/site: north & patient/sex: F", "study/site: south & patient/sex: F",
    ]  # fmt: skip
    ages = data[contract.AGE][masks["patient/age: 18-39"]]
    assert (ages.min(), ages.max()) == (18, 39)
    assert sum(mask.sum() for name, mask in masks.items() if "age" in name) == 240
    assert [heldout_scores.age_band(age) for age in (17.9, 18, float("nan"))] == [
        "0-17",
        "18-39",
        "",
    ]


def test_records_that_name_no_patient_count_one_by_one():
    features = {contract.LABEL: [1], contract.IMAGE: [b"file"], contract.SITE: [b"north"]}
    predictions = {contract.SCORE: [0.7], contract.DISTANCE: [1.0], contract.UNLIKE: [0.0]}
    rows = [
        heldout_scores.make_row(features, predictions, TASK),
        heldout_scores.make_row({**features, contract.IMAGE: [b"other"]}, predictions, TASK),
    ]
    table = heldout_scores.make_table(rows, TASK)
    assert table[contract.PATIENT].nunique() == 2
    assert list(table[contract.FILENAME]) == ["", ""]
    assert list(table[contract.SITE]) == ["north", "north"]
    assert contract.AGE not in table
    assert len(heldout_scores.make_table([], TASK)) == 0
