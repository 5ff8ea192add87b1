"""What the other stack left: its model scores as it did there, and its runs go on here."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import DEMO

OTHER = os.environ.get("TFXRAY_OTHER_STACK")
pytestmark = pytest.mark.skipif(
    not OTHER, reason="nothing of the other stack's at hand: make test-stacks"
)


@pytest.fixture(scope="module")
def other() -> Path:
    """An `--out` of the other stack's, with what its model said there of some images."""
    return Path(OTHER or "").resolve()


def test_its_model_scores_as_it_did_there(other, tfxray):
    there = [json.loads(line) for line in (other / "predictions.jsonl").read_text().splitlines()]
    paths = [said["path"] for said in there]
    done = tfxray("predict", *paths, "--model", other, "--json", "--force")
    assert done.code == 0, done.err
    here = [json.loads(line) for line in done.out.splitlines()]
    assert len(here) == len(there) >= 20
    for ours, theirs in zip(here, there, strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
        assert ours["distance"] == pytest.approx(theirs["distance"], abs=1e-3)
        assert ours["label"] == theirs["label"]


def test_its_runs_are_told_and_go_on(other, tfxray):
    before = [
        json.loads(line) for line in tfxray("runs", "--out", other, "--json").out.splitlines()
    ]
    assert before[-1]["status"] == "pushed"
    assert tfxray("review", "--out", other).code == 0
    done = tfxray("run", "--config", DEMO, "--out", other, "--set", "train.seed=2", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out.splitlines()[-1])
    # Held against the model that was blessed there, on what was transformed there.
    (baseline,) = [rule for rule in summary["rules"] if rule["rule"] == "baseline"]
    assert baseline["passed"] is True
    assert abs(baseline["figure"]) < 0.02
    assert "Transform" in summary["cached"]
    assert "Trainer" not in summary["cached"]
    listed = tfxray("runs", "--out", other, "--json").out.splitlines()
    assert len(listed) == len(before) + 1
