"""`tfxray runs`: all that ran, whatever state it was left in."""

import datetime
import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

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


def stop_clock(monkeypatch, *moments):
    """Each look at the clock shows the next moment, and then the last one."""
    shown = [datetime.datetime.fromisoformat(moment) for moment in moments]

    class Clock(datetime.datetime):
        @classmethod
        def now(cls):
            return shown.pop(0) if len(shown) > 1 else shown[0]

    monkeypatch.setattr(listing.datetime, "datetime", Clock)


def test_runs_of_one_millisecond_have_names_of_their_own(tmp_path, monkeypatch):
    stop_clock(monkeypatch, "2026-05-01T12:00:00.123")
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(listing.make_folder, [tmp_path] * 8))
    expected = [f"20260501-120000-{123 + n}" for n in range(8)]
    assert sorted(folder.name for folder in folders) == expected


@pytest.mark.parametrize(
    "back",
    [
        "2026-10-24T12:00:00",  # a day
        "2026-10-25T02:00:00",  # the end of summer time
        "1970-01-01T00:00:00",  # a machine without a clock
    ],
)
def test_a_later_run_is_listed_later_whatever_the_clock_says(tmp_path, monkeypatch, back):
    stop_clock(monkeypatch, "2026-10-25T02:59:59.999", back)
    first, second, third = (listing.make_folder(tmp_path) for _ in range(3))
    assert listing.list_folders(tmp_path) == [first, second, third]
    assert second.name == "20261025-030000-000"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(OSError):  # noqa: PT011  of any kind
        listing.make_folder(tmp_path)


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


def test_a_version_is_named_from_the_root_on(out, tfxray, monkeypatch):
    """As `serving --json` names it; a program may work elsewhere."""
    moved = {"status": "pushed", "pushed_model": "/moved/serving/demo/1"}
    place = out.pushed(summary=moved)[2]
    monkeypatch.chdir(out.folder.parent)
    (run,) = tfxray("runs", "--out", out.folder.name, "--json").out.splitlines()
    assert json.loads(run)["pushed_model"] == str(place)


@pytest.mark.parametrize(
    "command",
    [("runs",), ("serving",), ("review",), ("schema",), ("clean", "--keep", 1),
     ("clean", "--new-store"), ("serving", "--rollback", 1)],
)  # fmt: skip
def test_a_folder_that_does_not_exist_is_told_as_such(tfxray, tmp_path, command):
    result = tfxray(command[0], "--out", tmp_path / "nowhere", *command[1:])
    assert result.code == 2
    assert result.err.strip() == f"error: {tmp_path / 'nowhere'}: no such folder (--out)"
    assert not (tmp_path / "nowhere").exists()


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
    assert "metadata.db: is damaged (file is not a database)" in result.err


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
