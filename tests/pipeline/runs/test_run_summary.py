"""A run's summary as a file: what earlier versions wrote is still read."""

import json
import math

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.review import page
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.runs import latest_run, run_summary

ISSUES = [{"kind": "drift", "action": "warn", "message": "m", "items": ["a"], "total": 1}]


@pytest.mark.parametrize("key", ["data_issues", "findings"])
def test_data_issues_are_read_under_their_present_and_their_former_key(tmp_path, key):
    content = {"run_id": "1", "threshold": 0.9, key: ISSUES}
    (tmp_path / run_summary.SUMMARY).write_text(json.dumps(content))
    summary = run_summary.read_summary(tmp_path)
    assert summary.data_issues == ISSUES
    content = json.loads(summary.to_json())
    assert content["data_issues"] == ISSUES
    assert content["findings"] == {}


def test_a_summary_is_read_as_it_was_written(tmp_path):
    summary = run_summary.Summary("1", 0.9, status="pushed", auc=0.95, data_issues=ISSUES)
    (tmp_path / run_summary.SUMMARY).write_text(summary.to_json())
    assert run_summary.read_summary(tmp_path) == summary


def test_figures_that_are_not_finite_are_written_as_json_has_them(tmp_path):
    summary = run_summary.Summary("1", 0.9, auc=math.nan)
    summary.metrics = {"train": {"cross_entropy": math.inf, "auc": 0.5}}
    (tmp_path / run_summary.SUMMARY).write_text(summary.to_json())
    text = (tmp_path / run_summary.SUMMARY).read_text()
    assert json.loads(text, parse_constant=pytest.fail)["auc"] is None
    read = run_summary.read_summary(tmp_path)
    assert read.metrics == {"train": {"cross_entropy": None, "auc": 0.5}}


@pytest.mark.parametrize("reason", [None, "no image is new"])
def test_a_monitor_that_asks_for_no_new_model_is_told_as_no_failure(tmp_path, reason):
    summary = run_summary.Summary("2", 0.9, status="all_right", reason=reason, review="m.html")
    told = []
    run_summary.tell_verdict(summary, lambda text, style=None: told.append((text, style)))
    text = "the monitor asks for no new model, nothing trained" + (f": {reason}" if reason else "")
    assert told == [(text, "bold green")]
    # Of runs, the latest is one that trained.
    for name, each in (("1", run_summary.Summary("1", 0.9, status="pushed")), ("2", summary)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / run_summary.SUMMARY).write_text(each.to_json())
    assert latest_run.find_latest(tmp_path).name == "1"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ValueError("Mr Smith\x1b"), "ValueError"),
        (UserError("config.yaml: gone"), "config.yaml: gone"),
    ],
)
def test_a_page_that_fails_is_told_and_costs_nothing(tmp_path, monkeypatch, error, why):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(page, "write_page", fail)
    summary = run_summary.Summary("1", 0.9, status="data_rejected", reason="an age is infinite")
    config = Config(name="x", classes=["NORMAL", "PNEUMONIA"])
    told = []
    run_summary.try_review(
        summary, config, {}, str(tmp_path), lambda text, style=None: told.append(text)
    )
    assert told == [f"no review page: {why}; the outcome of the run stays"]
    assert (summary.status, summary.reason) == ("data_rejected", "an age is infinite")
    assert summary.review is None
    monkeypatch.undo()
    run_summary.try_review(summary, config, {}, str(tmp_path), told.append)
    assert summary.review == str(tmp_path / run_summary.REVIEW)
    assert (tmp_path / run_summary.REVIEW).is_file()
