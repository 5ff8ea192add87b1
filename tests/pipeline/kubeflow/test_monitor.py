"""The task before the pipeline; whole runs with it are in `tests/test_kubeflow.py`."""

import json
import shutil

import pytest
from PIL import Image

from tests.scorer import export
from tfxray.components.common.errors import UserError
from tfxray.components.monitor import report
from tfxray.components.predict import batch_job
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.kubeflow import monitor, outputs


@pytest.fixture
def config(tmp_path):
    (tmp_path / "new").mkdir()
    kubeflow = {"monitor": {"images": str(tmp_path / "new")}}
    return Config(name="demo", classes=["NORMAL", "PNEUMONIA"], kubeflow=kubeflow)


@pytest.fixture
def watch(tmp_path, config):
    """Watches the images; the lines that it said are its attribute."""

    def call():
        call.lines = []
        out = monitor.scored_folder(config, str(tmp_path / "root"))
        page = str(tmp_path / "run" / "monitor.html")
        return monitor.watch_images(config, str(tmp_path / "root"), out, page, call.lines.append)

    return call


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return export(tmp_path_factory.mktemp("model") / "1")


def draw(folder, *names):
    for name in names:
        Image.new("L", (8, 8), 100).save(folder / name)


def test_without_a_model_the_pipeline_runs_and_looks_at_no_image(watch, config, tmp_path):
    result = watch()
    assert (result["status"], result["train"]) == ("no_model", True)
    serving = tmp_path / "root" / "serving" / "demo"
    assert watch.lines == [f"{serving}: holds no model yet"]
    assert f"{serving}: holds no model yet. The pipeline trains one." in (
        (tmp_path / "run" / "monitor.html").read_text()
    )
    wishes = {
        "artifacts": {
            name: {"artifacts": [{"uri": str(tmp_path / "kfp" / name)}]}
            for name in ("page", "result")
        },
        "parameters": {
            name: {"outputFile": str(tmp_path / "kfp" / name)} for name in ("status", "train")
        },
    }
    outputs.publish_monitor(json.dumps({"outputs": wishes}), result, b"the page")
    told = {path.name: path.read_text() for path in (tmp_path / "kfp").iterdir()}
    assert json.loads(told.pop("result")) == result
    assert told == {"page": "the page", "status": "no_model", "train": "yes"}


def test_after_a_push_only_images_that_are_new_ask_for_another_model(
    watch, config, tmp_path, version
):
    shutil.copytree(version, tmp_path / "root" / "serving" / "demo" / "2")
    images = tmp_path / "new"
    draw(images, "a.png", "b.png")
    # These had been scored by the model before.
    old = export(tmp_path / "old", threshold=0.1)
    batch_job.Job(images, tmp_path / "root" / "scored" / "demo" / "2026-10", old).run()
    result = watch()
    assert (result["status"], result["train"]) == ("no_new_images", False)
    assert watch.lines[0] == f"{images}: holds no image that was not scored before"
    assert "no image is new since" in (tmp_path / "run" / "monitor.html").read_text()


@pytest.mark.parametrize("folder", ["new", "gone"])
def test_what_is_wrong_is_told_by_the_config_s_keys(watch, config, tmp_path, version, folder):
    shutil.copytree(version, tmp_path / "root" / "serving" / "demo" / "2")
    if folder == "gone":
        (tmp_path / "new").rmdir()
    with pytest.raises(UserError) as error:
        watch()
    text = {"new": "holds neither images nor TFRecords with any (kubeflow.monitor.images)",
            "gone": "no such folder (kubeflow.monitor.images)"}  # fmt: skip
    assert str(error.value) == f"{tmp_path / 'new'}: {text[folder]}"


def test_too_few_images_ask_for_no_new_model():
    asked = {status: monitor.asks_for_training(status) for status in report.TITLES}
    assert asked == {"all_right": False, "too_few": False, "drifted": True, "below_gate": True}
