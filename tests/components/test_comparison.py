"""Two runs on the same images."""

import numpy as np
import pandas as pd
import pytest

from tests.components.test_gate import frame
from tfxray.components import comparison, names, scores
from tfxray.components.comparison import Judged
from tfxray.components.errors import UserError


def noisier(data: pd.DataFrame) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, 0.2, len(data))
    return data.assign(**{names.SCORE: np.clip(data[names.SCORE] + noise, 0, 1)})


def test_a_run_does_not_differ_from_itself():
    found = comparison.compare(Judged("a", frame(), 0.5), Judged("b", frame(), 0.5))
    assert (found.images, found.patients, found.left_out) == (240, 120, (0, 0))
    for line in found.lines:
        assert line.first == line.second
        assert (line.difference.value, line.difference.low, line.difference.high) == (0, 0, 0)


def test_a_worse_run_is_seen_although_the_intervals_overlap():
    found = comparison.compare(Judged("a", frame(), 0.5), Judged("b", noisier(frame()), 0.5))
    (auc,) = [line for line in found.lines if line.figure == "AUC"]
    assert auc.difference.high < 0
    assert auc.difference.value == pytest.approx(auc.second.value - auc.first.value)
    assert auc.second.high > auc.first.low


def test_each_run_keeps_its_own_threshold():
    found = comparison.compare(Judged("a", frame(), 0.5), Judged("b", frame(), 0.1))
    lines = {line.figure: line for line in found.lines}
    assert lines["AUC"].difference.value == 0
    assert lines["sensitivity"].difference.low > 0
    assert lines["specificity"].difference.high < 0


def test_only_what_both_judged_counts():
    data = frame()
    other = data.iloc[40:].copy()
    other.iloc[0, other.columns.get_loc(names.LABEL)] ^= 1
    found = comparison.compare(Judged("a", data, 0.5), Judged("b", other, 0.5))
    assert (found.images, found.left_out, found.relabelled) == (199, (40, 0), 1)


def test_nothing_in_common_is_told(tmp_path):
    apart = frame().assign(**{scores.DIGEST: "x"})
    with pytest.raises(UserError, match=r"0 held-out images .* in common"):
        comparison.compare(Judged("a", frame(), 0.5), Judged("b", apart, 0.5))
    with pytest.raises(UserError, match="run c: judged no image"):
        comparison.judged("c", tmp_path, 0.5)


def test_scores_survive_the_file(tmp_path):
    data = frame().assign(**{names.AGE: 41.0, names.SITE: "<b>NA</b>"})
    data.loc[0, names.AGE] = np.nan
    data.loc[1, names.SITE] = ""
    scores.write(data, tmp_path)
    found = scores.read(tmp_path)
    pd.testing.assert_frame_equal(found, data, check_dtype=False)


def test_slices_are_named_as_tfma_names_them():
    data = frame().assign(**{names.AGE: np.arange(240) % 100, names.SEX: "F"})
    found = scores.slices(data, [names.AGE, [names.SITE, names.SEX], names.VIEW])
    assert sorted(found) == [
        "patient/age: 0-17", "patient/age: 18-39", "patient/age: 40-59", "patient/age: 60-79",
        "patient/age: 80+",
        "study/site: north & patient/sex: F", "study/site: south & patient/sex: F",
    ]  # fmt: skip
    ages = data[names.AGE][found["patient/age: 18-39"]]
    assert (ages.min(), ages.max()) == (18, 39)
    assert sum(mask.sum() for name, mask in found.items() if "age" in name) == 240
    assert [scores.band(age) for age in (17.9, 18, float("nan"))] == ["0-17", "18-39", ""]


def test_records_that_name_no_patient_count_one_by_one():
    given = {names.LABEL: [1], names.IMAGE: [b"file"], names.SITE: [b"north"]}
    found = {names.SCORE: [0.7], names.DISTANCE: [1.0], names.UNLIKE: [0.0]}
    rows = [scores.row(given, found), scores.row({**given, names.IMAGE: [b"other"]}, found)]
    frame = scores.table(rows)
    assert frame[names.PATIENT].nunique() == 2
    assert list(frame[names.FILENAME]) == ["", ""]
    assert list(frame[names.SITE]) == ["north", "north"]
    assert names.AGE not in frame
    assert len(scores.table([])) == 0
