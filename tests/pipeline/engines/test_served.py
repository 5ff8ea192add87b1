"""The serving folder and TFX's cache: no cached result outlives what it says."""

import os
import shutil

import pytest
from tfx.proto import pusher_pb2
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import proto_utils

from tests.components.pusher.made import make_model, push_model
from tfxray.components.evaluator import component
from tfxray.components.pusher import push, versions
from tfxray.pipeline.engines import served
from tfxray.pipeline.runs import lineage


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving" / "demo"


def model_artifact(folder, content=b"a", made=0):
    make_model(folder / "Format-Serving", content)
    return lineage.NodeRun("COMPLETE", {"model": lineage.Output(1, str(folder), {}, made)})


@pytest.fixture
def node_runs(tmp_path):
    return {
        "Trainer": model_artifact(tmp_path / "candidate"),
        "BaselineModel": lineage.NodeRun("COMPLETE", {}),
    }


def noted(serving, node_runs):
    node = pipeline_pb2.PipelineNode()
    node.parameters.parameters[component.SERVING].field_value.string_value = str(serving)
    served.note_versions(node, node_runs)
    return node.parameters.parameters[component.PUSHED].field_value.string_value


def test_evaluators_key_holds_the_version_that_has_no_baseline(tmp_path, serving, node_runs):
    assert noted(serving, node_runs) == ""
    version = push_model(make_model(tmp_path / "other", b"o"), serving)
    assert noted(serving, node_runs) == version.name
    foreign = make_model(serving / "9999999999", b"f")
    assert noted(serving, node_runs) == foreign.name
    push_model(tmp_path / "candidate" / "Format-Serving", serving)
    assert noted(serving, node_runs) == ""


def test_with_a_baseline_evaluators_key_is_the_same_after_each_push(tmp_path, serving, node_runs):
    node_runs["BaselineModel"] = model_artifact(tmp_path / "blessed", b"b", made=2**40)
    for content in (b"x", b"y"):
        version = push_model(make_model(tmp_path / content.decode(), content), serving)
        assert noted(serving, node_runs) == ""
    node_runs["BaselineModel"] = model_artifact(tmp_path / "blessed", b"b", made=1)
    assert noted(serving, node_runs) == version.name  # pushed since, and another model
    push_model(tmp_path / "blessed" / "Format-Serving", serving)
    assert noted(serving, node_runs) == ""
    version = push_model(make_model(tmp_path / "z", b"z"), serving)
    # Deleted by hand: the metadata store still names it.
    shutil.rmtree(tmp_path / "blessed")
    assert noted(serving, node_runs) == version.name


def test_a_cached_push_is_taken_only_if_it_is_what_is_served(
    tmp_path, serving, node_runs, monkeypatch
):
    pushes = []
    monkeypatch.setattr(lineage, "pushed_to", lambda connection, model: list(pushes))

    def is_served():
        return served.is_served(node_runs, None, versions.find_newest(str(serving)))

    assert not is_served()  # never pushed
    version = push_model(make_model(tmp_path / "m", b"m"), serving)
    pushes.append(str(version))
    assert is_served()
    newer = push_model(make_model(tmp_path / "n", b"n"), serving)
    assert not is_served()
    shutil.rmtree(newer)
    assert is_served()
    os.truncate(version / "variables" / "variables.index", 10)
    assert not is_served()
    shutil.rmtree(version)
    assert not is_served()


def test_a_rollback_makes_evaluators_key_another(tmp_path, serving, node_runs):
    """The verdict that blessed the model would come from the cache, and be pushed again."""
    node_runs["BaselineModel"] = model_artifact(tmp_path / "blessed", b"b", made=1)
    first = push_model(tmp_path / "blessed" / "Format-Serving", serving)
    push_model(tmp_path / "candidate" / "Format-Serving", serving)
    assert noted(serving, node_runs) == ""
    copy = push.copy_version(str(first))
    assert noted(serving, node_runs) == os.path.basename(copy)
    make_model(tmp_path / "candidate" / "Format-Serving", b"n")  # another candidate
    assert noted(serving, node_runs) == ""


def test_damage_is_told_with_what_became_of_it(tmp_path, serving):
    sound = push_model(make_model(tmp_path / "m", b"m"), serving)
    damaged = push_model(make_model(tmp_path / "n", b"n"), serving)
    (damaged / "saved_model.pb").unlink()
    newest = versions.find_newest(str(serving))
    (line,) = served.describe_damage(newest, None)
    assert f"version {damaged.name} is damaged: saved_model.pb is missing" in line
    assert f"the last good version is {sound.name}" in line
    (line,) = served.describe_damage(newest, f"{serving}/42")
    assert "version 42 takes its place" in line
    assert f"Remove {damaged}" in line
    (line,) = served.describe_damage(versions.Newest(None, newest.damaged), None)
    assert "there is no good version" in line


def test_the_serving_folder_is_pushers():
    node = pipeline_pb2.PipelineNode()
    folder = pusher_pb2.PushDestination.Filesystem(base_directory="/out/serving/demo")
    text = proto_utils.proto_to_json(pusher_pb2.PushDestination(filesystem=folder))
    node.parameters.parameters["push_destination"].field_value.string_value = text
    assert served.serving_folder(node) == "/out/serving/demo"
