"""`tfxray runs`: all that ran, whatever state it was left in."""

import json
import shutil
import sqlite3

import pytest
import yaml

from tests.pipeline.runs.made import Out
from tfxray.pipeline.runs import listing, locks


@pytest.fixture
def out(tmp_path):
    return Out(tmp_path / "out")


@pytest.fixture
def listed(tfxray, out):
    def call():
        result = tfxray("runs", "--out", out.folder, "--json")
        assert result.code == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    return call


def test_what_ran_is_told_with_what_changed(out, listed, tfxray, monkeypatch):
    figures = {"auc": 0.95, "auc_interval": [0.9, 0.99], "seconds": {"total": 100.4}}
    first, model, place = out.pushed(
        summary={**figures, "status": "pushed", "pushed_model": "/moved/serving/demo/1"},
        config={"train": {"epochs": 8}},
    )
    listing.write_source(out.folder / "runs" / first, "/xrays/kermany")
    out.run(
        summary={"status": "not_blessed", "reason": "AUC 0.9500 is below 0.96"},
        config={"train": {"epochs": 9}},
    )
    first_row, second_row = listed()
    assert (first_row["config"], first_row["data"]) == ("demo", "/xrays/kermany")
    assert first_row["changed"] == {}
    assert (first_row["auc"], first_row["auc_interval"]) == (0.95, [0.9, 0.99])
    assert first_row["started"] == "2026-01-01 00:00:01"
    assert place.name == str(model) == "1"
    assert first_row["pushed_model"] == str(place)
    assert second_row["changed"] == {"train.epochs": 9}
    place.rmdir()
    assert listed()[0]["pushed_model"] is None
    monkeypatch.setenv("COLUMNS", "160")
    lines = tfxray("runs", "--out", out.folder).out.splitlines()
    assert lines[0].split() == ["run", "config", "data", "AUC", "verdict", "time", "changed"]
    cells = [first, "demo", "kermany", "0.9500", "[0.9000,", "0.9900]", "pushed,", "removed"]
    assert lines[1].split() == [*cells, "0:01:40"]
    assert "not blessed: AUC 0.9500 is below 0.96" in lines[2]
    assert lines[2].endswith("train.epochs=9")


def test_what_left_no_summary_is_told_by_how_far_it_came(out, listed):
    out.run()
    out.run(("Transform", "TransformGraph"))
    going, _ = out.run(("Transform", "TransformGraph"), ("Trainer", "Model"))
    with locks.mark_running(out.folder / "runs" / going):
        states = [(run["status"], run["reason"]) for run in listed()]
    assert states == [
        ("interrupted", "before its first node"),
        ("interrupted", "after Transform"),
        ("running", "after Trainer"),
    ]
    assert listed()[2]["status"] == "interrupted"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"auc": "high"}', "\udc80"])
def test_what_cannot_be_read_costs_one_line(out, listed, text):
    broken, _ = out.run()
    path = out.folder / "runs" / broken / "summary.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (path.parent / "config.yaml").write_text("a: [")
    (path.parent / "source.json").write_text("{")
    gone, _ = out.run()
    shutil.rmtree(out.folder / "runs" / gone)
    out.run(summary={"status": "failed", "reason": "interrupted"})
    (out.folder / "runs" / "99999999-notes").mkdir()
    states = [(run["config"], run["status"], run["reason"]) for run in listed()]
    assert states == [
        ("demo", "unknown", "summary.json cannot be read"),
        ("demo", "unknown", "its folder is gone"),
        ("demo", "failed", "interrupted"),
    ]


def test_a_run_that_was_cleaned_away_is_listed_no_more(out, listed, tfxray):
    out.run(("Trainer", "Model"))
    newest, _ = out.run(("Trainer", "Model"))
    assert tfxray("clean", "--out", out.folder, "--keep", 1).code == 0
    assert [run["run_id"] for run in listed()] == [newest]


def test_a_folder_without_runs_is_refused(tfxray, tmp_path):
    result = tfxray("runs", "--out", tmp_path)
    assert result.code == 2
    assert "holds no run of tfxray" in result.err
    assert not list(tmp_path.iterdir())
    (tmp_path / "metadata.db").write_text("no database, though it says so")
    result = tfxray("runs", "--out", tmp_path)
    assert result.code == 2
    assert "metadata.db: cannot be read" in result.err


@pytest.mark.parametrize("command", ["runs", "review", "clean", "run"])
def test_a_store_of_another_version_is_refused_with_what_to_do(
    out, tfxray, small_config, drawn, command
):
    out.run(summary={"status": "failed"}, config=yaml.safe_load(small_config.read_text()))
    out.store = None  # closes it
    with sqlite3.connect(out.folder / "metadata.db") as database:
        database.execute("UPDATE MLMDEnv SET schema_version = 99")
    more = {"clean": ["--keep", 1], "run": ["--config", small_config, "--data", drawn]}
    result = tfxray(command, "--out", out.folder, *more.get(command, []))
    assert result.code == 2, result.out
    assert "metadata.db: MLMD database version 99 is greater than library version" in result.err
    assert "make setup STACK=" in result.err
    assert "Traceback" not in result.err
    assert not (out.folder / "artifacts").exists()
