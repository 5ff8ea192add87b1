"""Commands and bad input: one clear message, exit code 2, no traceback, nothing trained."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import DEMO


def test_help_and_configs_need_neither_tensorflow_nor_keras(tmp_path):
    code = (
        "import sys; from click.testing import CliRunner\n"
        "from tfxray.pipeline.cli.main import main\n"
        f"r = CliRunner().invoke(main, ['config', '--config', {str(DEMO)!r}, '--set', 'a=1'])\n"
        "h = CliRunner().invoke(main, ['--help'])\n"
        "k = CliRunner().invoke(main, ['config', '--reference'])\n"
        "d = [CliRunner().invoke(main, ['datasets', *a]).exit_code for a in\n"
        "     ([], ['nih'], ['nih', '--config'], ['--json'], ['--reference'], ['nahi'])]\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'keras', 'kfp', 'kfp_server_api'}\n"
        "heavy &= set(sys.modules)\n"
        "print(r.exit_code, h.exit_code, k.exit_code, d, sorted(heavy))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert process.stdout.split("\n")[0] == "2 0 0 [0, 0, 0, 0, 0, 2] []", process.stderr


def test_config_prints_all_defaults(tfxray):
    result = tfxray("config", "--config", DEMO, "--set", "gate.auc.threshold=0.77")
    assert result.code == 0
    assert "threshold: 0.77" in result.out
    assert "image_size: 96" in result.out


def test_sample_and_ingest(tfxray, tmp_path):
    assert tfxray("sample", "--out", tmp_path / "s", "--images", 24, "--size", 64).code == 0
    result = tfxray("ingest", tmp_path / "s", "--out", tmp_path / "r")
    assert result.code == 0
    assert "24 examples (all)" in result.out
    assert "PNEUMONIA" in result.out
    odd = tfxray("ingest", tmp_path / "s", "--out", tmp_path / "q", "--pattern", "(")
    assert odd.code == 2
    assert "no regular expression" in odd.err
    refusal = tfxray("ingest", tmp_path / "nowhere", "--out", tmp_path / "q")
    assert refusal.code == 2
    assert "no such folder" in refusal.err


def test_ingest_tells_of_odd_images(tfxray, tmp_path):
    levels = np.random.default_rng(0).random((4, 40, 40), np.float32)
    levels[0, 0, 0] = np.nan
    for number, label in enumerate(["NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"]):
        (tmp_path / "s" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels[number]).save(tmp_path / "s" / label / f"{number}.tif")
    result = tfxray("ingest", tmp_path / "s", "--out", tmp_path / "r")
    assert result.code == 0
    assert "1 odd images, used all the same: some pixels are no finite number" in result.err


def only_normal(folder):
    (folder / "NORMAL").mkdir(parents=True)
    (folder / "NORMAL" / "a.png").write_bytes(b"x")


def strange_label(folder):
    only_normal(folder)
    (folder / "COVID").mkdir()
    (folder / "COVID" / "a.png").write_bytes(b"x")


def records(label, truncate=False):
    def make(folder):
        folder.mkdir()
        path = folder / "a.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(5):
                example = tf.train.Example()
                example.features.feature["image/encoded"].bytes_list.value.append(b"x" * 999)
                if label is not None:
                    example.features.feature["image/class/label"].int64_list.value.append(label)
                writer.write(example.SerializeToString())
        if truncate:
            path.write_bytes(path.read_bytes()[:-500])

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "holds no images"),
        (lambda folder: None, "no such folder (--data)"),
        (only_normal, "two classes or more"),
        (strange_label, "'COVID' (1 images, first COVID/a.png)"),
        (records(None), "has no 'image/class/label'"),
        (records(7), "allowed: 0 to 1"),
        (records(0, truncate=True), "damaged after record 4"),
    ],
    ids=["empty", "missing", "one class", "strange label", "no label", "label 7", "truncated"],
)
def test_bad_data_is_refused_before_any_training(tfxray, small_config, tmp_path, make, message):
    make(tmp_path / "data")
    out = tmp_path / "out"
    result = tfxray(
        "run", "--config", small_config, "--data", tmp_path / "data", "--out", out, "--json"
    )
    summary = json.loads(result.out.strip().splitlines()[-1])
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err + result.out
    assert (summary["status"], summary["pushed_model"]) == ("failed", None)
    assert message in summary["reason"]
    assert not (out / "artifacts").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=MobileNetV9", "no such network (did you mean MobileNetV2?); allowed:"),
        ("model.weights=/no/such.h5", "no such file"),
        ("model.arguments={alpha: 1.0}", "bundled"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(
    tfxray, drawn, small_config, tmp_path, override, message
):
    result = tfxray(
        "run",
        "--config",
        small_config,
        "--data",
        drawn,
        "--out",
        tmp_path / "out",
        "--set",
        override,
    )
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_weights_of_another_network_are_refused(tfxray, drawn, small_config, tmp_path):
    import keras

    other = tmp_path / "other.weights.h5"
    keras.applications.MobileNetV2(alpha=0.5, include_top=False, weights=None).save_weights(other)
    result = tfxray(
        "run", "--config", small_config, "--data", drawn, "--out", tmp_path / "out",
        "--set", f"model.weights={other}",
    )  # fmt: skip
    assert result.code == 2
    assert "these are not the weights of MobileNetV2" in result.err


def test_an_output_that_cannot_be_written_is_refused(tfxray, drawn, small_config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = tfxray(
        "run", "--config", small_config, "--data", drawn, "--out", tmp_path / "file" / "out"
    )
    assert result.code == 2
    assert "cannot be written" in result.err


def test_the_metadata_store_needs_a_folder_of_this_machine(tfxray, small_config):
    result = tfxray("run", "--config", small_config, "--out", "gs://bucket/runs")
    assert result.code == 2
    assert "gs://bucket/runs: must be a path of this machine" in result.err


def test_review_and_predict_without_a_run_are_refused(tfxray, tmp_path):
    assert tfxray("review", "--out", tmp_path).code == 2
    result = tfxray("predict", __file__, "--model", tmp_path)
    assert result.code == 2
    assert "holds no model" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.png", "--out", "map.png"], "no.png: No such file"),
        (["pipe.png", "--out", "map.png"], "pipe.png: unreadable: no regular file"),
        (["text.png", "--out", "map.png"], "text.png: not_an_image"),
        (["xray.png", "--out", "map.jpeg"], "ends in .png (--out)"),
        (["xray.png", "--out", "xray.png"], "tfxray explain did not write it"),
        (["xray.png", "--out", "folder.png"], "tfxray explain did not write it"),
        (["xray.png", "--out", "pipe.png"], "tfxray explain did not write it"),
        (["xray.png", "--out", "map.png"], "holds no assets.extra/explain.keras"),
        (["xray.png", "--out", "map.png", "--background", "."], "goes with --method shap"),
        (["xray.png", "--out", "map.png", "--method", "guess"], "'guess' is not one of"),
    ],
)
def test_what_cannot_be_explained_is_refused(tfxray, tmp_path, monkeypatch, arguments, message):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("L", (64, 64), 90).save("xray.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo("pipe.png")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"")
    before = (tmp_path / "xray.png").read_bytes()
    result = tfxray("explain", *arguments, "--model", "model")
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert (tmp_path / "xray.png").read_bytes() == before
    assert not (tmp_path / "map.png").exists()
