"""A run's summary as a file: what earlier versions wrote is still read."""

import json

import pytest

from tfxray.pipeline.runs import run_summary

ISSUES = [{"kind": "drift", "action": "warn", "message": "m", "items": ["a"], "total": 1}]


@pytest.mark.parametrize("key", ["data_issues", "findings"])
def test_data_issues_are_read_under_their_present_and_their_former_key(tmp_path, key):
    content = {"run_id": "1", "threshold": 0.9, key: ISSUES}
    (tmp_path / run_summary.SUMMARY).write_text(json.dumps(content))
    summary = run_summary.read_summary(tmp_path)
    assert summary.data_issues == ISSUES
    content = json.loads(summary.to_json())
    assert content["data_issues"] == ISSUES
    assert "findings" not in content


def test_a_summary_is_read_as_it_was_written(tmp_path):
    summary = run_summary.Summary("1", 0.9, status="pushed", auc=0.95, data_issues=ISSUES)
    (tmp_path / run_summary.SUMMARY).write_text(summary.to_json())
    assert run_summary.read_summary(tmp_path) == summary
