"""One step of a run in a process of its own; whole runs of them are in `tests/test_kubeflow.py`."""

import json
import signal

import pytest
from click.testing import CliRunner

from tfxray.pipeline.kubeflow.outputs import mount_path, publish_review
from tfxray.pipeline.kubeflow.step import Terminated, _terminate, main
from tfxray.pipeline.runs import run_summary

CONFIG = "{name: demo, classes: [NORMAL, PNEUMONIA]}"


@pytest.fixture
def step(tmp_path, small_config, monkeypatch):
    """Runs a step of a run in this process."""
    monkeypatch.setattr(signal, "signal", lambda *args: None)

    def call(name: str, run_id: str = "r1", metadata: str | None = None, **options: str):
        arguments = [name, "--run-id", run_id, "--root", str(tmp_path / "root")]
        (tmp_path / "root").mkdir(exist_ok=True)
        arguments += ["--metadata", metadata or f"sqlite://{tmp_path}/metadata.db"]
        for key, value in options.items():
            arguments += [f"--{key.replace('_', '-')}", value]
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, result.stderr.strip()

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "../Trainer"}, "is no step (did you mean Trainer?); allowed: Monitor, Start"),
        ({"name": "Trainer", "run_id": "../r1"}, "is no run id"),
        ({"name": "Trainer", "metadata": "mysql://u:p@h/d"}, "holds a password"),
        ({"name": "Trainer"}, "holds no graph.json; run the step Start first"),
        ({"name": "Start"}, "Start needs --config"),
        ({"name": "Monitor"}, "Monitor needs --config"),
        (
            {"name": "Monitor", "config": CONFIG},
            "kubeflow.monitor: is missing; it names the images",
        ),
        ({"name": "Start", "config": "name: [x"}, "--config: is not YAML"),
        ({"name": "Start", "config": "nme: x"}, "nme: no such key"),
    ],
)
def test_what_cannot_be_done_ends_with_code_2_and_a_line(step, arguments, message):
    code, log = step(**arguments)
    assert code == 2
    assert message in log
    assert "Traceback" not in log


def test_a_run_that_never_started_has_a_page_that_says_why(step, tmp_path, small_config):
    (tmp_path / "empty").mkdir()
    code, log = step("Start", config=small_config.read_text(), data=str(tmp_path / "empty"))
    assert code == 2
    last = log.splitlines()[-1]
    assert last.startswith("Start: FAILED: ")
    assert "holds no images" in last

    executor_input = {
        "outputs": {
            "parameters": {"status": {"outputFile": str(tmp_path / "kfp" / "status")}},
            "artifacts": {
                "page": {"artifacts": [{"name": "page", "uri": str(tmp_path / "kfp" / "page")}]},
                "metrics": {"artifacts": [{"name": "m", "uri": str(tmp_path / "kfp" / "m")}]},
            },
            "outputFile": str(tmp_path / "kfp" / "told.json"),
        }
    }
    assert step("Review", executor_input=json.dumps(executor_input))[0] == 0
    summary = json.loads((tmp_path / "root" / "runs" / "r1" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "holds no images" in summary["reason"]
    assert (tmp_path / "kfp" / "status").read_text() == "failed"
    assert "holds no images" in (tmp_path / "kfp" / "page").read_text()
    output = json.loads((tmp_path / "kfp" / "told.json").read_text())
    assert output["artifacts"]["metrics"]["artifacts"][0]["metadata"]["pushed"] == 0.0


def test_who_is_asked_to_end_publishes_that_and_fails():
    with pytest.raises(Terminated, match="by SIGTERM"):
        _terminate(signal.SIGTERM, None)
    # TFX publishes an execution as failed for exceptions of this kind alone.
    assert issubclass(Terminated, Exception)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://bucket/a/page", "/gcs/bucket/a/page"),
        ("minio://bucket/a/page", "/minio/bucket/a/page"),
        ("s3://bucket/a/page", "/s3/bucket/a/page"),
        ("/tmp/page", "/tmp/page"),
    ],
)
def test_artifacts_lie_where_kfps_launcher_looks(uri, path):
    assert mount_path(uri) == path


def test_metrics_hold_the_auc_of_each_finding_and_of_each_external_set(tmp_path):
    uri, output = str(tmp_path / "page.html"), tmp_path / "output.json"
    executor_input = {
        "outputs": {
            "artifacts": {
                "page": {"artifacts": [{"uri": uri}]}, "metrics": {"artifacts": [{"name": "m"}]}
            },
            "parameters": {"status": {"outputFile": str(tmp_path / "status")}},
            "outputFile": str(output),
        }
    }  # fmt: skip
    summary = run_summary.Summary(
        run_id="r", status="pushed", auc=0.8, auc_interval=[0.7, 0.9], threshold=0.75,
        findings={"Effusion": {"auc": 0.9}, "Edema": {"auc": None}},
        external={"nih": {"auc": 0.6, "change_from_test": -0.2, "unlike": None}},
    )  # fmt: skip
    publish_review(json.dumps(executor_input), summary, b"page")
    metadata = json.loads(output.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metadata == {
        "auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "auc_threshold": 0.75, "pushed": 1.0,
        "auc_Effusion": 0.9, "external_nih_auc": 0.6, "external_nih_change_from_test": -0.2,
    }  # fmt: skip
    assert (tmp_path / "status").read_text() == "pushed"
