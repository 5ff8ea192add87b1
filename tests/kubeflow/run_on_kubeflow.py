"""The package on Kubeflow Pipelines itself: on a cluster that somebody has, no stand-in between.

`make test-kfp KFP_HOST=http://localhost:8080` runs it, and nothing else does: it needs a cluster,
such as `kubeflow/README.md` leads to. The runs are the demo's, or those of the config that
`KFP_CONFIG`
names; their pipeline has a name of its own.
"""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.conftest import DEMO, last_line
from tests.kubeflow import cluster as clusters
from tests.kubeflow import made
from tests.kubeflow.cluster import Cluster, wait_for
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.kubeflow import REVIEW, START, resource_name
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.kubeflow.package import list_upstream

PATIENCE = 3600  # seconds for a run
STARTS = 300  # and for one to begin

pytestmark = pytest.mark.timeout(4 * PATIENCE)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    found = clusters.find()
    print(f"\nKubeflow Pipelines {found.version} at {found.host}")
    return found


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    source = os.environ.get("KFP_CONFIG")
    config = yaml.safe_load(Path(source or DEMO).read_text())
    config["name"] = f"test-{int(time.time())}"
    if not source:
        # Minutes, with enough patients to be judged.
        config["ingest"]["sample"]["images"] = 600
        config["train"] = {"epochs": 8}
        config["gate"] = {"auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None}
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def config(config_file) -> Config:
    return load_config(config_file)


@pytest.fixture
def submit(tfxray, cluster):
    where = ("--namespace", cluster.namespace) if cluster.multi_user else ()

    def call(*options: object):
        return tfxray("submit", "--host", cluster.host, *where, "--json", *options)

    return call


@pytest.fixture(scope="module")
def memory() -> dict:
    """What an earlier test leaves for a later one."""
    return {}


def test_submit_uploads_and_starts(submit, cluster, config, config_file, memory):
    done = submit("--config", config_file)
    assert done.code == 0, done.err
    memory["first"] = told = last_line(done)
    assert told["status"] == "submitted"
    run = cluster.asked(f"runs/{told['run_id']}")
    assert run["pipeline_version_reference"]["pipeline_version_id"] == told["version_id"]
    pipeline = cluster.asked(f"pipelines/{told['pipeline_id']}")
    assert pipeline["display_name"] == config.name


def test_every_task_is_as_the_config_says(cluster, config, memory):
    workflow = wait_for(lambda: cluster.workflow(memory["first"]["run_id"]), STARTS)
    tasks = made.tasks(workflow)
    upstream = list_upstream(config)
    assert set(tasks) == {resource_name(node) for node in (START, *upstream, REVIEW)}
    assert {name for name, task in tasks.items() if task.at_the_end} == {resource_name(REVIEW)}
    assert not any(task.cached for task in tasks.values())
    for node, before in upstream.items():
        task = tasks[resource_name(node)]
        assert task.after == {resource_name(other) for other in before or [START]}
        assert task.retries == (0 if node == "DataGate" else config.kubeflow.of(node).retries)


def test_every_pod_is_as_the_config_says(cluster, config, memory):
    workflow = cluster.workflow(memory["first"]["run_id"])
    nodes = (START, *list_upstream(config), REVIEW)
    settings = config.kubeflow
    for node in nodes:
        pod = wait_for(lambda node=node: made.pod_of(cluster.pods(workflow), node), PATIENCE)
        expected, container = settings.of(node), made.main(pod)
        arguments = made.arguments(pod)
        assert "{{" not in " ".join(arguments[: arguments.index("--metadata") + 2])
        assert arguments[2:8] == [
            *("--run-id", memory["first"]["run_id"]),
            *("--root", settings.root, "--metadata", settings.metadata),
        ]
        assert container["image"] == (expected.image or settings.image)
        for kind in ("requests", "limits"):
            resources = container["resources"][kind]
            assert made.amount(resources["cpu"]) == made.amount(expected.cpu)
            assert made.amount(resources["memory"]) == made.amount(expected.memory)
        assert pod["spec"]["activeDeadlineSeconds"] == 12 * 3600
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        mounts = {
            mount["mountPath"]: claims[mount["name"]]
            for mount in container["volumeMounts"]
            if mount["name"] in claims
        }
        assert mounts == {volume.mount: volume.claim for volume in settings.volumes}
        secrets = {
            entry["name"]: entry["valueFrom"]["secretKeyRef"]
            for entry in container["env"]
            if "secretKeyRef" in entry.get("valueFrom", {})
        }
        for secret in settings.secrets:
            reference = secrets[secret.variable]
            assert (reference["name"], reference["key"]) == (secret.secret, secret.key)


def test_the_run_comes_to_its_end(cluster, memory):
    state = wait_for(lambda: _end(cluster, memory["first"]["run_id"]), PATIENCE)
    assert state == "SUCCEEDED"


def test_the_same_run_again_is_the_same_version_and_ends_sooner(
    submit, cluster, config, config_file, memory
):
    done = submit("--config", config_file, "--wait")
    assert done.code == 0, done.err
    told = last_line(done)
    assert told["status"] in ("pushed", "succeeded")
    assert told["version_id"] == memory["first"]["version_id"]
    for node in (START, *list_upstream(config), REVIEW):
        assert f"  {resource_name(node)} " in done.err
    first, second = (_seconds(cluster, run) for run in (memory["first"]["run_id"], told["run_id"]))
    assert second < first


def test_a_task_whose_pod_is_taken_away_runs_again(submit, cluster, config_file):
    done = submit("--config", config_file, "--set", "train.epochs=9")
    assert done.code == 0, done.err
    run = last_line(done)["run_id"]
    workflow = wait_for(lambda: cluster.workflow(run), STARTS)

    def running():
        pod = made.pod_of(cluster.pods(workflow), "Trainer")
        return pod if pod and pod["status"]["phase"] == "Running" else None

    first = wait_for(running, PATIENCE)
    cluster.delete(first)
    assert wait_for(lambda: _end(cluster, run), PATIENCE) == "SUCCEEDED"
    second = made.pod_of(cluster.pods(workflow), "Trainer")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


def test_data_that_are_not_there_fail_the_run_and_the_page_is_written(submit, cluster, config_file):
    done = submit("--config", config_file, "--data", "/no/such/folder", "--wait")
    assert done.code == 1
    told = last_line(done)
    assert told["status"] == "failed"
    workflow = cluster.workflow(told["run_id"])
    pods = cluster.pods(workflow)
    assert made.pod_of(pods, REVIEW)["status"]["phase"] == "Succeeded"
    assert made.pod_of(pods, "ExampleGen") is None


def test_runs_recur_and_none_does_twice(submit, cluster, config_file):
    weekly = ("--config", config_file, "--cron", "0 0 3 * * 1")
    done = submit(*weekly)
    assert done.code == 0, done.err
    run = last_line(done)["recurring_run_id"]
    try:
        told = cluster.asked(f"recurringruns/{run}")
        assert told["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
        assert (told["max_concurrency"], told["no_catchup"]) == ("1", True)
        again = submit(*weekly)
        assert (again.code, "there is a recurring run" in again.err) == (2, True)
    finally:
        cluster.forget(f"recurringruns/{run}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--param", "dta=/x"), "dta: no parameter of"),
        (("--cron", "0 3 * * 1"), "wants six fields"),
        (("--cron", "0 0 3 * * tomorrow"), "the server refuses (400)"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(submit, config_file, options, message):
    done = submit("--config", config_file, *options)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_version_keeps_its_package(submit, config_file):
    named = ("--config", config_file, "--version", "mine")
    done = submit(*named, "--data", "/no/such/folder")
    assert done.code == 0, done.err
    other = submit(*named, "--set", "train.epochs=7")
    assert (other.code, "of another package" in other.err) == (2, True)


def _end(cluster: Cluster, run: str) -> str | None:
    """The state of a run that has ended."""
    state = cluster.asked(f"runs/{run}").get("state", "")
    return state if state in ("SUCCEEDED", "FAILED", "CANCELED") else None


def _seconds(cluster: Cluster, run: str) -> float:
    told = cluster.asked(f"runs/{run}")
    start, end = (
        datetime.fromisoformat(told[key].replace("Z", "+00:00"))
        for key in ("created_at", "finished_at")
    )
    return (end - start).total_seconds()
