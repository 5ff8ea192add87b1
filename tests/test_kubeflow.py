"""The Kubeflow package, run container by container over a real MariaDB; see `tests/kfp.py`."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

from tests import kfp, mariadb

pytestmark = pytest.mark.cluster
SECRETS = {"tfxray-metadata": {"password": mariadb.PASSWORD}}


@pytest.fixture(scope="module")
def database():
    # Short: the path of a socket is limited.
    folder = Path(tempfile.mkdtemp(prefix="db-"))
    try:
        with mariadb.started(folder) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Place:
    """A cluster, and a folder that all of its pods share.

    Attributes:
        package: Of the pipeline.
        watched: The same, where the monitor decides whether it runs.
        new: The folder of images that the monitor looks at.
    """

    def __init__(self, folder: Path, database: str):
        self.root, self.new = folder / "volume", folder / "new"
        self.package, self.watched = folder / "package.yaml", folder / "watched.yaml"
        self.cluster = kfp.Cluster(folder / "kfp", SECRETS)
        self._arguments = {"root": str(self.root), "metadata": database, "image": kfp.IMAGE}

    def run(
        self, name: str, data: Path, fresh: Collection[str] = (), watched: bool = False
    ) -> kfp.Run:
        arguments = {**self._arguments, "data": str(data)}
        package = self.watched if watched else self.package
        run = self.cluster.run(package, name, arguments, fresh)
        print(kfp.table(run))
        return run

    def summary(self, name: str) -> dict:
        return json.loads((self.root / "runs" / name / "summary.json").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory, database, small_config):
    from tfxray.pipeline.config.loader import load_config
    from tfxray.pipeline.kubeflow import package

    folder = tmp_path_factory.mktemp("cluster")
    place = Place(folder, database)
    package.write_package(load_config(small_config), place.package)
    monitor = (f"kubeflow.monitor.images={place.new}", "kubeflow.nodes.Monitor={retries: 0}")
    package.write_package(load_config(small_config, monitor), place.watched)
    return place


def killed_once(place: Place, task: str, sign: Path) -> threading.Thread:
    """Kills a task's first container as soon as it has begun to write."""

    def kill() -> None:
        while not any(sign.glob("*/*/*")):
            time.sleep(0.05)
        place.cluster.processes[task].send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def second_pod(place: Place, task: str) -> threading.Thread:
    """Starts a task's container a second time, as soon as the first one runs."""
    ended: list[subprocess.CompletedProcess] = []

    def start() -> None:
        while task not in place.cluster.processes:
            time.sleep(0.05)
        first = place.cluster.processes[task]
        environment = dict(
            pair.split("=", 1)
            for pair in Path(f"/proc/{first.pid}/environ").read_text().split("\0")
            if "=" in pair
        )
        ended.append(subprocess.run(first.args, env=environment, capture_output=True, text=True))

    thread = threading.Thread(target=start, daemon=True)
    thread.ended = ended
    thread.start()
    return thread


@pytest.fixture(scope="module")
def pushed(place, drawn):
    """A run with a node killed and another one started twice, where no model is served yet.

    The processes of these two start as a container's does, and so do those that train and score.
    """
    killer = killed_once(place, "transform", place.root / "artifacts" / "Transform")
    twin = second_pod(place, "statistics-gen")
    fresh = ("transform", "statistics-gen", "trainer", "evaluator")
    run = place.run("first", drawn, fresh, watched=True)
    killer.join(1)
    twin.join(120)
    return run, twin.ended[0]


def test_it_goes_all_the_way_to_a_pushed_model(place, pushed):
    run, _ = pushed
    assert run.state == "SUCCEEDED"
    assert {container.image for container in run.containers} == {kfp.IMAGE}
    summary = place.summary("first")
    assert summary["status"] == "pushed"
    assert summary["ingest"]["found"] >= summary["ingest"]["images"] > 0
    assert Path(summary["pushed_model"]).is_relative_to(place.root / "serving" / "demo")
    signatures = tf.saved_model.load(summary["pushed_model"]).signatures
    assert "serving_bytes" in signatures


def test_without_a_model_the_monitor_asks_for_one(place, pushed):
    run, _ = pushed
    assert run.ran()[:2] == ["monitor", "start"]
    outputs = run.outputs["monitor"]
    assert (outputs["status"], outputs["train"]) == ("no_model", "yes")
    assert "holds no model yet" in outputs["page"].read_text()
    assert run.of("monitor")[0].last_line.startswith("Monitor: no_model: the pipeline runs (")
    assert place.summary("first")["monitor"]["next_step"] == "The pipeline trains one."


def test_kfps_page_gets_review_metrics_and_verdict(place, pushed):
    run, _ = pushed
    outputs = run.outputs["review"]
    assert outputs["status"] == "pushed"
    page = outputs["page"].read_text()
    assert page == (place.root / "runs" / "first" / "review.html").read_text()
    assert "<html" in page
    assert outputs["metrics"]["pushed"] == 1.0
    assert outputs["metrics"]["auc"] == place.summary("first")["auc"]


def test_a_node_that_was_killed_is_run_again(place, pushed, history):
    run, _ = pushed
    assert [container.code for container in run.of("transform")] == [-signal.SIGKILL, 0]
    assert history("first")["Transform"].state == "COMPLETE"


def test_a_second_pod_of_a_node_publishes_nothing(pushed, history):
    run, twin = pushed
    assert [container.code for container in run.of("statistics-gen")] == [0]
    assert twin.returncode == 0
    told = twin.stderr
    assert "another process is at it" in told or "another process is at it" in run_log(run)
    assert history.count("first", "StatisticsGen") == 1


def run_log(run: kfp.Run) -> str:
    return "\n".join(container.log for container in run.containers)


@pytest.fixture(scope="module")
def history(database):
    from ml_metadata import metadata_store as mlmd

    from tfxray.pipeline.config import metadata_address
    from tfxray.pipeline.runs import lineage, store

    os.environ[metadata_address.PASSWORD] = mariadb.PASSWORD
    connection = store.connection_config(database)
    del os.environ[metadata_address.PASSWORD]

    def node_runs(run_id: str):
        return lineage.node_runs(connection, "demo", run_id)

    def count(run_id: str, node: str) -> int:
        store = mlmd.MetadataStore(connection)
        context = store.get_context_by_type_and_name("pipeline_run", run_id)
        executions = store.get_executions_by_context(context.id)
        return sum(
            any(c.type == "node" and c.name == f"demo.{node}" for c in contexts)
            for contexts in (store.get_contexts_by_execution(e.id) for e in executions)
        )

    node_runs.count = count
    return node_runs


def test_no_password_is_written_anywhere(place, pushed):
    run, _ = pushed
    del run
    for path in place.package.parent.rglob("*"):
        if path.is_file():
            assert mariadb.PASSWORD.encode() not in path.read_bytes(), path


def test_the_same_run_again_comes_from_the_cache(place, pushed, drawn, history):
    del pushed
    run = place.run("second", drawn)
    assert run.state == "SUCCEEDED"
    nodes = history("second")
    assert {name for name, node in nodes.items() if not node.cached} == {
        "BaselineStatistics", "BaselineModel",  # resolvers look anew each time
    }  # fmt: skip
    assert "Trainer" in place.summary("second")["cached"]
    assert place.summary("second")["pushed_model"] == place.summary("first")["pushed_model"]


@pytest.fixture(scope="module")
def quiet(place, pushed, drawn):
    """A run after images have come that are like the training data."""
    del pushed
    for path in sorted(drawn.rglob("*.png"))[::2]:
        copy = place.new / path.relative_to(drawn)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return place.run("quiet", drawn, watched=True)


def test_images_like_the_training_data_ask_for_no_new_model(place, quiet):
    assert (quiet.state, quiet.ran()) == ("SUCCEEDED", ["monitor", "review"])
    assert quiet.skipped == ["condition-2"]
    outputs = quiet.outputs["monitor"]
    assert (outputs["status"], outputs["train"]) == ("all_right", "no")
    result = json.loads(outputs["result"].read_text())
    assert [month["images"] for month in result["months"]] == [150]
    assert result["next_step"] == "Nothing is to be done."
    page = outputs["page"].read_text()
    assert "All right" in page
    summary = place.summary("quiet")
    assert (summary["status"], summary["reason"]) == ("all_right", None)
    assert (
        Path(summary["review"]).read_text() == page == quiet.outputs["review"]["page"].read_text()
    )
    assert quiet.outputs["review"]["status"] == "all_right"
    assert "the monitor asks for no new model, nothing trained" in quiet.of("review")[0].log


def test_a_run_without_new_images_says_what_the_newest_ones_said(place, quiet, drawn):
    del quiet
    run = place.run("still", drawn, watched=True)
    assert (run.state, run.ran()) == ("SUCCEEDED", ["monitor", "review"])
    assert "holds no image that was not scored before" in run.of("monitor")[0].log
    assert run.outputs["monitor"]["status"] == "all_right"


def test_images_that_cannot_be_judged_fail_the_run_with_one_line(place, quiet, drawn):
    del quiet
    place.new.rename(place.new.with_name("elsewhere"))
    try:
        run = place.run("bad", drawn, watched=True)
    finally:
        place.new.with_name("elsewhere").rename(place.new)
    assert (run.state, run.ran()) == ("FAILED", ["monitor", "review"])
    (monitor,) = run.of("monitor")
    assert monitor.code == 2
    reason = f"{place.new}: no such folder (kubeflow.monitor.images)"
    assert f"Monitor: FAILED: {reason}" in monitor.last_line
    assert "Traceback" not in monitor.log
    summary = place.summary("bad")
    assert (summary["status"], summary["reason"]) == ("failed", f"Monitor: {reason}")


@pytest.fixture(scope="module")
def drifted(place, quiet, drawn, tmp_path_factory):
    """A run after brighter images have come, new ones and labelled ones."""
    del quiet
    labelled = tmp_path_factory.mktemp("labelled")
    for path in drawn.rglob("*.png"):
        copy = labelled / path.relative_to(drawn)
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).point(lambda grey: min(255, grey // 3 + 150)).save(copy)
    shutil.copytree(labelled, place.new / "november")
    shutil.copy(drawn / "manifest.csv", labelled)
    return place.run("drifted", labelled, watched=True)


def test_changed_images_make_the_pipeline_run(place, drifted):
    outputs = drifted.outputs["monitor"]
    assert (outputs["status"], outputs["train"]) == ("drifted", "yes")
    result = json.loads(outputs["result"].read_text())
    assert [month["images"] for month in result["months"]] == [150, 300]
    assert "drift from the training data: image/mean" in result["reason"]
    for told in (result["next_step"], outputs["page"].read_text(), drifted.of("monitor")[0].log):
        assert "train on data that hold such images" in told
    assert drifted.ran()[:2] == ["monitor", "start"]
    assert place.summary("drifted")["monitor"]["status"] == "drifted"


def test_the_monitor_names_no_image_and_no_patient(place, drifted, drawn):
    del drifted
    with (drawn / "manifest.csv").open() as file:
        patients = {row["patient"] for row in csv.DictReader(file)}
    pattern = r"P\d{5}"  # which begins the images' names, too
    assert all(re.fullmatch(pattern, patient) for patient in patients)
    for run in ("first", "quiet", "still", "bad", "drifted"):
        for path in (place.root.parent / "kfp" / run).glob("monitor-*/**/*"):
            if path.is_file():
                assert not patients & set(re.findall(pattern, path.read_text())), path


def test_drifted_data_fails_at_the_gate_and_nothing_runs_after_it(drifted, history):
    run = drifted
    assert run.state == "FAILED"
    assert [container.code for container in run.of("data-gate")] == [4]  # and not tried again
    assert "drift against the latest blessed run" in run.of("data-gate")[0].last_line
    assert not {"transform", "trainer", "evaluator", "pusher"} & set(run.ran())
    assert run.outputs["review"]["status"] == "data_rejected"
    assert "drift against the latest blessed run" in run.outputs["review"]["page"].read_text()
    assert history("drifted")["DataGate"].state == "FAILED"
