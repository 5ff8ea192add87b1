"""A run as a JobSet: its pods, as processes, train together, and once more when one is lost."""

import json
import re

import pytest

from tests import jobset as controller
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.kubeflow import whole_run

pytestmark = pytest.mark.slow

CHIEF, WORKER = "demo-run-chief-0-0.demo-run", "demo-run-worker-0-0.demo-run"


@pytest.fixture
def start(small_config, drawn, tmp_path):
    """Runs the JobSet of a config, whose volume is a folder of the test."""
    volume, etc = tmp_path / "volume", tmp_path / "etc"
    volume.mkdir()
    etc.mkdir()

    def call(*more, disturb=lambda *_: None):
        config = load_config(
            small_config,
            (
                "train.distribution=multi_worker", "kubeflow.workers=1", "kubeflow.secrets=[]",
                f"kubeflow.data={drawn}", *more,
            ),
        )  # fmt: skip
        resources = {d["kind"]: d for d in whole_run.manifest(config)}
        for name, text in resources["ConfigMap"]["data"].items():
            (etc / name).write_text(text)
        mounts = {"volume-0": volume, "config": etc}
        return controller.run(resources["JobSet"], mounts, tmp_path, disturb)

    return call


def test_a_lost_pod_starts_all_again_and_the_model_is_pushed(start, tmp_path):
    lost = []

    def lose(attempt, processes, logs):
        if not lost and "training 2/" in logs[WORKER].read_text():
            lost.append(attempt)
            processes[WORKER].kill()

    result = start(disturb=lose)
    assert result.succeeded, result.logs[-1][CHIEF]
    assert lost == [0]
    assert len(result.logs) == 2
    assert re.search(r"going on after round [1-9]", result.logs[1][WORKER])
    _, last = sorted((tmp_path / "volume" / "runs").iterdir())
    summary = json.loads((last / "summary.json").read_text())
    assert summary["status"] == "pushed"
    assert {"ExampleGen", "Transform"} <= set(summary["cached"])
    assert "Trainer" not in summary["cached"]


def test_what_no_other_try_mends_ends_at_once(start):
    result = start("kubeflow.data=/nowhere")
    assert not result.succeeded
    assert len(result.logs) == 1
    assert "/nowhere" in result.logs[0][CHIEF]
