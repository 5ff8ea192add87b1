"""Pusher as TFX calls it: blessed or not, and what it notes of the push."""

import os
from pathlib import Path

import pytest
from tfx.components.evaluator import constants
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from tests.components.pusher.made import files_of, make_model, make_record
from tfxray.components.common.errors import UserError
from tfxray.components.pusher import component, versions


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model" / "Format-Serving")


@pytest.fixture
def push(tmp_path, model):
    """Calls the executor; returns the properties of its artifact."""
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path / "blessing")
    os.makedirs(blessing.uri)
    versions.write_record(f"{blessing.uri}/evaluated.json", make_record(model))

    def call(blessed=1):
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, blessed)
        artifact, pushed = standard_artifacts.Model(), standard_artifacts.PushedModel()
        artifact.uri, pushed.uri = str(model.parent), str(tmp_path / "pushed")
        folder = pusher_pb2.PushDestination.Filesystem(base_directory=str(tmp_path / "serving"))
        destination = pusher_pb2.PushDestination(filesystem=folder)
        component.Executor().Do(
            {"model": [artifact], "model_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {"push_destination": proto_utils.proto_to_json(destination)},
        )
        return pushed

    return call


def test_a_blessed_model_is_pushed_and_the_artifact_says_where(push, model, tmp_path):
    pushed = push()
    version = Path(pushed.get_string_custom_property("pushed_destination"))
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == version.name
    assert version.parent == tmp_path / "serving"
    assert files_of(version).items() >= files_of(model).items()
    assert files_of(tmp_path / "pushed") == files_of(model)


def test_a_model_that_was_not_blessed_is_not_pushed(push, tmp_path):
    assert push(blessed=0).get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_without_word_of_what_was_evaluated_nothing_is_pushed(push, tmp_path):
    (tmp_path / "blessing" / "evaluated.json").unlink()
    with pytest.raises(UserError, match="tfxray run --from Evaluator"):
        push()
    assert not (tmp_path / "serving").exists()


def test_a_model_that_was_altered_after_its_blessing_is_not_pushed(push, model, tmp_path):
    (model / "saved_model.pb").write_bytes(b"another model")
    with pytest.raises(UserError, match=r"saved_model\.pb has 13 bytes instead of 5000"):
        push()
    assert not (tmp_path / "serving").exists()
