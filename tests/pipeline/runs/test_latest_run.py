"""The latest run's page again: never over a good one where it could not tell the truth."""

import shutil

import pytest

from tests.pipeline.runs.made import Out
from tfxray.pipeline.runs import lineage, run_summary

NODES = (
    ("StatisticsGen", "ExampleStatistics"),
    ("Evaluator", "ModelEvaluation"),
    ("Pusher", "PushedModel"),
)
SUMMARY = {"status": "pushed", "auc": 0.95, "examples": {"test": 60}}


@pytest.fixture
def out(tmp_path):
    return Out(tmp_path / "out")


@pytest.fixture
def review(out, tfxray, monkeypatch):
    """Writes the page again; returns the outputs by which it was written, and what was told."""
    calls = []

    def write(summary, config, uris, folder):
        calls.append(sorted(uris))
        (out.folder / "runs" / summary.run_id / run_summary.REVIEW).write_text("new")

    def call():
        result = tfxray("review", "--out", out.folder)
        return result, (calls.pop() if calls else None)

    monkeypatch.setattr(run_summary, "write_review", write)
    return call


def made_run(out, *nodes, **summary):
    run_id, artifacts = out.run(
        *nodes, summary={**SUMMARY, **summary}, config={"classes": ["NORMAL", "PNEUMONIA"]}
    )
    page = out.folder / "runs" / run_id / run_summary.REVIEW
    page.write_text("good")
    return page, artifacts


def test_a_page_is_written_by_what_the_nodes_left(out, review):
    page, _ = made_run(out, *NODES)
    result, keys = review()
    assert result.code == 0, result.err
    assert keys == ["Evaluator.evaluation", "Pusher.pushed_model", "StatisticsGen.statistics"]
    assert (result.out.strip(), page.read_text()) == (str(page), "new")


@pytest.mark.parametrize("there", [0, 1, 2])
def test_a_store_that_forgot_what_the_summary_tells_costs_no_good_page(out, review, there):
    page, _ = made_run(out, *NODES[:there])
    result, keys = review()
    assert (result.code, keys, page.read_text()) == (2, None, "good")
    (line,) = result.err.strip().splitlines()
    assert f"{lineage.DATABASE}: does not know" in line
    assert "Pusher.pushed_model of run" in line


def test_artifacts_that_are_gone_cost_no_good_page(out, review):
    page, artifacts = made_run(out, *NODES)
    shutil.rmtree(out.uri(artifacts[1]))
    result, keys = review()
    assert (result.code, keys, page.read_text()) == (2, None, "good")
    assert f"{out.uri(artifacts[1])}: is gone, and with it Evaluator.evaluation" in result.err


@pytest.mark.parametrize("command", ["review", "schema"])
def test_a_log_that_cannot_be_written_is_told_in_a_line(out, tfxray, command):
    """As on a disk that is read-only; root may write whatever is not."""
    page, _ = made_run(out, *NODES)
    (page.parent / run_summary.LOG).mkdir()
    result = tfxray(command, "--out", out.folder)
    assert (result.code, page.read_text()) == (2, "good")
    (line,) = result.err.strip().splitlines()
    assert f"{page.parent / run_summary.LOG}: cannot be written: Is a directory" in line


def test_a_page_that_cannot_be_written_is_told_in_a_line(out, tfxray, monkeypatch):
    page, _ = made_run(out, *NODES)

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr(run_summary, "write_review", refuse)
    result = tfxray("review", "--out", out.folder)
    assert (result.code, page.read_text()) == (2, "good")
    assert f"{page.parent}: the page cannot be written: Permission denied (--out)" in result.err


def test_a_run_that_ended_before_its_first_node_has_a_page(out, review):
    page, _ = made_run(out, status="failed", auc=None, examples={})
    result, keys = review()
    assert (result.code, keys, page.read_text()) == (0, [], "new")
