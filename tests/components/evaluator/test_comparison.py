"""Two runs on the same images."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.components.evaluator.test_gate import frame
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import comparison, heldout_scores
from tfxray.components.evaluator.comparison import ScoredRun
from tfxray.components.metadata.ages import name_band

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
    data.loc[1, contract.SITE] = None
    heldout_scores.write_scores(pa.Table.from_pandas(data), tmp_path)
    scores = heldout_scores.read_scores(tmp_path)
    pd.testing.assert_frame_equal(scores, data.fillna({contract.SITE: ""}))
    # An older tfxray's are a CSV alone.
    (tmp_path / heldout_scores.FILE).unlink()
    pd.testing.assert_frame_equal(heldout_scores.read_scores(tmp_path), scores)


def gathered(folder, task: Task, *parts: list[dict]) -> pd.DataFrame:
    """What is read after workers have left such rows."""
    folder.mkdir()
    paths = [folder / f"part-{number}" for number in range(len(parts))]
    for path, rows in zip(paths, parts, strict=True):
        pq.write_table(pa.Table.from_pylist(rows, heldout_scores.make_schema(task)), path)
    heldout_scores.gather_parts([str(path) for path in paths], folder, task)
    return heldout_scores.read_scores(folder)


def test_the_order_is_the_same_whatever_the_workers_order(tmp_path):
    rows = []
    for number in range(60):
        name = f"{number % 7}.png".encode()  # the same name in several folders, or of nobody
        features = {contract.LABEL: [number % 2], contract.IMAGE: [b"%d" % (number % 20)]}
        features |= {contract.FILENAME: [name]} if number % 7 else {}
        predictions = {contract.SCORE: [number / 60], contract.DISTANCE: [1], contract.UNLIKE: [0]}
        rows.append(heldout_scores.make_row(features, predictions, TASK))
    one = gathered(tmp_path / "one", TASK, rows)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(60)]
    two = gathered(tmp_path / "two", TASK, shuffled[:11], [], shuffled[11:])
    pd.testing.assert_frame_equal(one, two)
    assert one[contract.FILENAME].is_monotonic_increasing
    assert (one[contract.LABEL] == np.round(one[contract.SCORE] * 60) % 2).all()
    for name in (heldout_scores.FILE, heldout_scores.SPREADSHEET):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


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
    assert [name_band(age) for age in (17.9, 18, float("nan"))] == [
        "0-17",
        "18-39",
        "",
    ]


def test_records_that_name_no_patient_count_one_by_one(tmp_path):
    features = {contract.LABEL: [1], contract.IMAGE: [b"file"], contract.SITE: [b"north"]}
    predictions = {contract.SCORE: [0.7], contract.DISTANCE: [1.0], contract.UNLIKE: [0.0]}
    rows = [
        heldout_scores.make_row(features, predictions, TASK),
        heldout_scores.make_row({**features, contract.IMAGE: [b"other"]}, predictions, TASK),
    ]
    table = gathered(tmp_path / "two", TASK, rows)
    assert table[contract.PATIENT].nunique() == 2
    assert list(table[contract.FILENAME]) == ["", ""]
    assert list(table[contract.SITE]) == ["north", "north"]
    assert contract.AGE not in table
    assert len(gathered(tmp_path / "none", TASK)) == 0
