"""`tfxray submit`: packages go up once, and runs are followed to their end."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from tests.conftest import DEMO
from tests.kfp_fake import Fault, compiled
from tfxray.pipeline.kubeflow import submit
from tfxray.pipeline.kubeflow.server import Server

TOKEN = "s3cret-t0ken"


def task(name: str, state: str, seconds: int | None = None, **more: object) -> dict:
    """A task as the server's version 2 tells of it."""
    end = f"2026-11-21T10:00:{seconds:02}.5Z" if seconds is not None else "0001-01-01T00:00:00Z"
    return {
        "task_id": f"id-{name}", "display_name": name, "state": state,
        "start_time": "2026-11-21T10:00:00Z", "end_time": end, **more,
    }  # fmt: skip


def look(state: str, *tasks: dict) -> dict:
    return {"state": state, "run_details": {"task_details": list(tasks)}}


def ended(status: str, state: str = "SUCCEEDED") -> dict:
    """A run as the server's version 3 tells of it, with the outputs of its tasks."""
    output = {"parameter_key": "status", "value": status, "type": "OUTPUT"}
    review = {"name": "review", "state": "SUCCEEDED", "outputs": {"parameters": [output]}}
    return {"state": state, "tasks": [review]}


def test_the_fake_speaks_what_kfp_speaks(server, package, tmp_path, monkeypatch, capsys):
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    client = kfp.Client(host=server.url)
    pipeline = client.upload_pipeline(str(package), pipeline_name="xrays").pipeline_id
    version = client.upload_pipeline_version(str(package), "v1", pipeline).pipeline_version_id
    experiment = client.create_experiment("xrays").experiment_id
    assert client.get_pipeline_id("xrays") == pipeline
    which = {"pipeline_id": pipeline, "version_id": version}
    run = client.run_pipeline(experiment, "mine", params={"data": "s3://xrays"}, **which)
    assert client.get_run(run.run_id).state == "SUCCEEDED"
    client.create_recurring_run(experiment, "mine", cron_expression="0 0 3 * * 1", **which)
    assert server.uploads == [package.read_bytes()] * 2
    # and as `tfxray submit` asks for the same
    own = Server(server.url)
    assert own.pipeline("xrays") == pipeline
    assert list(own.versions(pipeline, "v1")) == [version]
    assert own.experiment("xrays") == experiment
    assert own.recurring(experiment, "mine") == "recurringruns-1"
    assert own.run(run.run_id)["state"] == "SUCCEEDED"


def test_a_package_is_uploaded_and_run(submitted, server, package):
    result = submitted("--param", "steps=5", "--param", "fast=true", "--root", "s3://out")
    assert (result.code, result.out.strip()) == (0, f"{server.url}/#/runs/details/runs-1")
    (run,) = server.made("runs")
    assert run["runtime_config"]["parameters"] == {
        "data": "s3://xrays", "root": "s3://out", "steps": 5, "fast": True
    }  # fmt: skip
    assert run["experiment_id"] == "experiments-1"
    assert run["display_name"].startswith("xrays 20")
    (version,) = server.made("versions")
    assert run["pipeline_version_reference"] == {
        key: version[key] for key in ("pipeline_id", "pipeline_version_id")
    }
    assert server.made("pipelines")[0]["display_name"] == "xrays"
    assert server.made("experiments")[0]["display_name"] == "xrays"
    assert server.uploads == [package.read_bytes()]


def test_the_same_package_is_uploaded_once_another_as_a_version(submitted, server, tmp_path):
    other = compiled(tmp_path / "xrays.yaml", image="trainer:2")
    first, again = (json.loads(submitted("--json").out) for _ in range(2))
    edit = json.loads(submitted("--json", "--package", other).out)
    assert (first["pipeline_id"], first["version_id"]) == (
        again["pipeline_id"],
        again["version_id"],
    )
    assert edit["pipeline_id"] == first["pipeline_id"]
    assert edit["version_id"] != first["version_id"]
    assert len({first["run_id"], again["run_id"], edit["run_id"]}) == 3
    assert len(server.uploads) == 2


def test_a_version_s_name_that_is_taken_is_refused(submitted, server, tmp_path):
    other = compiled(tmp_path / "xrays.yaml", image="trainer:2")
    assert submitted("--version", "v1").code == 0
    assert submitted("--version", "v1").code == 0
    clash = submitted("--version", "v1", "--package", other)
    assert clash.code == 2
    assert "has a version 'v1' already, of another package" in clash.err
    assert (len(server.uploads), len(server.made("runs"))) == (1, 2)
    # the same where somebody else was quicker
    server.faults = [Fault("GET pipelines/.*/versions", 200, body={})]
    assert "has a version 'v1' already" in submitted("--version", "v1").err


def test_names_are_the_user_s(submitted, server):
    names = ("--pipeline", "lungs", "--experiment", "e", "--name", "n", "--namespace", "team")
    server.multi_user = True
    assert submitted(*names).code == 0
    assert server.made("runs")[0]["display_name"] == "n"
    entries = [server.made(kind)[0] for kind in ("pipelines", "experiments")]
    names = [(entry["display_name"], entry["namespace"]) for entry in entries]
    assert names == [("lungs", "team"), ("e", "team")]


def test_a_config_is_compiled_first(tfxray, server, package, monkeypatch):
    def write_package(config, output):
        os.write(1, b"TFX's chatter")
        output.write_text(package.read_text().replace("name: xrays", f"name: {config.name}"))

    module = types.SimpleNamespace(write_package=write_package)
    monkeypatch.setitem(sys.modules, "tfxray.pipeline.kubeflow.package", module)
    result = tfxray(
        "submit", "--host", server.url, "--config", DEMO, "--set", "name=mine", "--data", "s3://x"
    )
    assert result.code == 0
    assert result.out.strip() == f"{server.url}/#/runs/details/runs-1"
    assert server.made("pipelines")[0]["display_name"] == "mine"


def test_a_recurring_run_is_made_once(submitted, server):
    result = submitted("--cron", "0 0  3 * * 1", "--json")
    report = json.loads(result.out)
    assert result.code == 0
    assert report == {
        "run_id": None, "url": f"{server.url}/#/recurringrun/details/recurringruns-1",
        "status": "scheduled", "pipeline_id": "pipelines-1", "version_id": "versions-1",
        "recurring_run_id": "recurringruns-1",
    }  # fmt: skip
    (schedule,) = server.made("recurringruns")
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (schedule["mode"], schedule["no_catchup"]) == ("ENABLE", True)
    assert schedule["display_name"] == "xrays"
    again = submitted("--cron", "0 0 4 * * 1")
    assert again.code == 2
    assert "there is a recurring run 'xrays' in the experiment 'xrays' already" in again.err
    assert submitted("--cron", "0 0 4 * * 1", "--name", "later").code == 0
    assert not server.made("runs")


def test_waiting_tells_of_each_task_once(submitted, server):
    driver = task("train-driver", "SUCCEEDED", 1)
    server.looks = [
        look("PENDING"),
        look("RUNNING", driver, task("train", "RUNNING"), task("push", "PENDING")),
        look("RUNNING", driver, task("train", "RUNNING")),
        look("RUNNING", task("train", "SUCCEEDED", 42), task("push", "RUNNING")),
        look("SUCCEEDED", task("push", "SUCCEEDED", 3), task("exit-handler-1", "SUCCEEDED", 50)),
    ]
    result = submitted("--wait")
    assert result.code == 0
    assert result.out.strip() == f"{server.url}/#/runs/details/runs-1"
    lines = [" ".join(line.split()) for line in result.err.splitlines()]
    assert lines[:-1] == [
        "train running", "train 42.5 s succeeded", "push running", "push 3.5 s succeeded"
    ]  # fmt: skip
    assert "does not tell whether a model was pushed" in lines[-1]


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        (look("SUCCEEDED"), 0, "succeeded"),
        (look("FAILED"), 1, "failed"),
        (look("CANCELED"), 1, "canceled"),
        (ended("pushed"), 0, "pushed"),
        (ended("all_right"), 0, "all_right"),
        (ended("not_blessed"), 3, "not_blessed"),
        (ended("data_rejected", "FAILED"), 4, "data_rejected"),
        (ended("failed"), 1, "failed"),
        (ended("pushed", "FAILED"), 1, "failed"),
        (ended("all_right", "FAILED"), 1, "failed"),
        (ended("nonsense"), 0, "succeeded"),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(submitted, server, end, code, status):
    server.looks = [look("RUNNING"), end]
    result = submitted("--wait", "--json")
    report = json.loads(result.out.splitlines()[-1])
    assert (result.code, report["status"], report["run_id"]) == (code, status, "runs-1")
    assert result.err.splitlines()[0] == report["url"]
    assert status.replace("_", " ") in result.err


def test_why_a_run_failed_is_told(submitted, server):
    server.looks = [look("FAILED") | {"error": {"code": 13, "message": "no\nsuch \x1b[2Jimage"}}]
    result = submitted("--wait")
    assert result.code == 1
    assert "no such [2Jimage" in result.err


def test_waiting_bridges_what_the_connection_does(submitted, server):
    server.looks = [look("RUNNING"), look("RUNNING"), ended("pushed")]
    server.faults = [
        Fault("GET runs/.*", 200, 1, look("RUNNING")),
        Fault("GET runs/.*", "drop", 5),
        Fault("GET runs/.*", 502, 5),
        Fault("GET runs/.*", "page", 1),
    ]
    result = submitted("--wait")
    assert (result.code, result.err.count("no contact")) == (0, 1)
    assert result.err.count("contact again") == 1


def test_waiting_ends_when_nothing_is_heard_for_long(submitted, server, monkeypatch):
    monkeypatch.setattr(submit, "PATIENCE", 0.05)
    server.faults = [Fault("GET runs/.*", 503)]
    result = submitted("--wait", "--json")
    assert (result.code, json.loads(result.out)["status"]) == (2, "running")
    assert "the server fails (503)" in result.err
    assert f"the run goes on: {server.url}" in result.err


def test_waiting_ends_with_the_time_limit_and_with_the_run(submitted, server):
    server.looks = [look("RUNNING")]
    late = submitted("--wait", "--timeout", "0.1s", "--json")
    assert (late.code, json.loads(late.out)["status"]) == (1, "running")
    assert "not done within 0.1 s; the run goes on" in late.err
    server.faults = [Fault("GET runs/.*", "drop")]
    assert "not done within" in submitted("--wait", "--timeout", "0.1s").err
    server.faults = [Fault("GET runs/.*", 404, body={"message": "run not found"})]
    gone = submitted("--wait", "--json")
    assert (gone.code, json.loads(gone.out)["status"]) == (1, "deleted")
    assert "the run was deleted" in gone.err


def test_a_token_that_expires_meanwhile_is_told_and_a_renewed_file_is_read(
    submitted, server, tmp_path
):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    server.token = TOKEN

    def renewed():
        server.token = "another"
        file.write_text(server.token)
        return look("RUNNING")

    server.looks = [renewed, ended("pushed")]
    assert submitted("--wait", "--token-file", file).code == 0
    server.faults = [Fault("GET runs/.*", 401, body={"message": "expired"})]
    expired = submitted("--wait", "--token-file", file)
    assert expired.code == 2
    assert f"the token of the file {file} is wrong or has expired" in expired.err
    assert "the run goes on" in expired.err


def test_ctrl_c_ends_the_waiting_and_not_the_run(server, package):
    server.looks = [look("RUNNING")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tfxray.pipeline.cli.main", "submit", "--host", server.url,
         "--package",
         str(package), "--data", "s3://x", "--wait", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever started the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not server.counted("GET runs/runs-1"):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped waiting; the run goes on" in err
    assert json.loads(out)["status"] == "running"
    assert "Traceback" not in err
