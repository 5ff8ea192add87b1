"""Which version `--model` takes, and that a damaged one is never taken."""

import json
import os
import shutil

import pytest
from PIL import Image

from tests.components.pusher.made import make_model, push_model
from tests.scorer import export
from tfxray.components.common.errors import UserError
from tfxray.components.predict import pushed_model
from tfxray.components.pusher import versions


@pytest.fixture
def out(tmp_path):
    """The `--out` of a run that pushed two versions."""
    for name in (b"old", b"new"):
        push_model(make_model(tmp_path / name.decode(), name), tmp_path / "out/serving/demo")
    return tmp_path / "out"


def both(out):
    return list(versions.list_versions(str(out / "serving" / "demo")).values())


def test_the_newest_version_is_taken(out):
    old, new = both(out)
    for folder in (out, out / "serving" / "demo", new):
        assert pushed_model.find_model(folder) == new
    assert pushed_model.find_model(old) == old


def test_of_several_models_none_is_guessed(out, tmp_path):
    """Neither the newest, nor the only sound one: they may answer different questions."""
    old, new = both(out)
    push_model(make_model(tmp_path / "another", b"x"), out / "serving/lung")
    named = f"{out}: holds several models: demo, lung; .* such as {out}/serving/demo "
    with pytest.raises(UserError, match=named):
        pushed_model.find_model(out)
    assert pushed_model.find_model(out / "serving" / "demo") == new
    assert pushed_model.find_model(old) == old
    os.unlink(f"{new}/saved_model.pb")
    with pytest.raises(UserError, match=named):
        pushed_model.find_model(out)
    shutil.rmtree(out / "serving" / "lung")
    (out / "serving" / "lung" / "7").mkdir(parents=True)  # no model was ever there
    with pytest.raises(UserError, match="the newest version is damaged"):
        pushed_model.find_model(out)


@pytest.mark.parametrize(
    ("words", "damage"),
    [
        ("saved_model.pb is missing", lambda v: os.unlink(f"{v}/saved_model.pb")),
        ("variables/variables.index is missing", lambda v: shutil.rmtree(f"{v}/variables")),
        ("saved_model.pb has 7 bytes", lambda v: os.truncate(f"{v}/saved_model.pb", 7)),
        ("saved_model.cpb was added", lambda v: open(f"{v}/saved_model.cpb", "x").close()),
        ("saved_model.pb is missing", lambda v: [shutil.rmtree(v), os.mkdir(v)]),
    ],
)
def test_a_damaged_newest_version_is_named_and_no_other_is_taken(out, words, damage):
    old, new = both(out)
    damage(new)
    for folder in (out, out / "serving" / "demo"):
        with pytest.raises(UserError, match=f"{new}: .*{words}.*last good version is {old}"):
            pushed_model.find_model(folder)
    assert pushed_model.find_model(old) == old
    with pytest.raises(UserError, match=words if os.listdir(new) else "holds no model"):
        pushed_model.find_model(new)


def test_where_no_version_is_good_this_is_told(out):
    for version in both(out):
        os.unlink(f"{version}/variables/variables.index")
    with pytest.raises(UserError, match="no other is good"):
        pushed_model.find_model(out)


def test_folders_with_numbers_for_names_that_hold_no_model_are_none(tmp_path):
    (tmp_path / "7" / "Format-Serving").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no model"):
        pushed_model.find_model(tmp_path)


def test_a_path_that_tensorflow_takes_for_a_pattern_is_named(tmp_path):
    (tmp_path / "a[1]" / "7").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot work below a path with '\['.*--model"):
        pushed_model.find_model(tmp_path / "a[1]")


def test_a_version_without_checksums_is_taken_and_told(tfxray, tmp_path):
    model = export(tmp_path / "serving" / "7")
    result = tfxray("predict", tmp_path / "none.png", "--model", model.parent)
    assert f"{model}: has no checksums" in result.err
    assert result.err.count("no checksums") == 1


def test_the_version_that_answers_is_named(tfxray, tmp_path):
    export(tmp_path / "serving" / "demo" / "7")
    model = export(tmp_path / "serving" / "demo" / "8")
    image = tmp_path / "x.png"
    Image.new("L", (8, 8), 90).save(image)
    command = ("predict", image, "--model", tmp_path, "--force")
    assert f"model: {model}" in tfxray(*command).err.splitlines()
    assert json.loads(tfxray(*command, "--json").out)["model"] == str(model)


def test_predict_ends_with_2_and_no_traceback(tfxray, out):
    os.truncate(f"{both(out)[1]}/saved_model.pb", 7)
    result = tfxray("predict", "xray.png", "--model", out)
    assert result.code == 2
    assert "the newest version is damaged: saved_model.pb has 7 bytes" in result.err
    assert "Traceback" not in result.err
