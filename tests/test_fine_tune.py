"""Fine-tuning, from images to a pushed model: killed while it trains, and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.conftest import last_line
from tfxray.components.explain import heat_maps
from tfxray.components.sample import draw
from tfxray.components.transform import preprocessing


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xrays")
    draw.write_sample(folder, images=160, size=96, seed=7)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tune.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "tuned",
                "classes": ["NORMAL", "PNEUMONIA"],
                "model": {
                    "backbone": "MobileNetV2", "arguments": {"alpha": 0.35},
                    "weights": "bundled", "image_size": 64,
                },
                "train": {
                    "mode": "fine_tune", "epochs": 4, "batch_size": 16, "learning_rate": 1e-4,
                    "warm_up": {"epochs": 1}, "unfreeze": ["block_16", "Conv_1"],
                    "distortions": {"rotation": 10, "flip": True}, "distribution": "one_device",
                    "schedule": "cosine", "patience": None,
                },
                "evaluate": {"slices": []},
                "gate": {
                    "auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None,
                    "min_positives": 5, "min_negatives": 5,
                },
            }
        )
    )  # fmt: skip
    return path


def command(config, data, out):
    return ["run", "--config", config, "--data", data, "--out", out, "--json"]


def killed_while_training(config, data, out):
    """Starts a run and kills it when it has kept its state twice."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tfxray.pipeline.cli.main", *map(str, command(config, data, out))],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip
    written: set[str] = set()
    while len(written) < 2 and process.poll() is None:
        written |= {path.name for path in Path(out).glob("state/*/state-*.npz")}
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_run_killed_while_it_trains_goes_on_and_pushes(tfxray, xrays, config, tmp_path):
    # That it ends as an undisturbed one does, to the last weight: components/trainer/test_loop.py.
    killed_while_training(config, xrays, tmp_path)
    done = tfxray(*command(config, xrays, tmp_path))
    assert done.code == 0, done.err
    summary = last_line(done)
    assert "going on after round" in done.err
    assert {"Transform", "DataGate"} <= set(summary["cached"])
    assert not list((tmp_path / "state").rglob("*.npz"))
    model = tf.saved_model.load(summary["pushed_model"])
    files = sorted((xrays / "PNEUMONIA").glob("*.png"))[:20]
    scores = model.signatures["serving_bytes"](tf.constant([f.read_bytes() for f in files]))
    assert scores["scores"].shape == (20, 2)
    assert float(tf.reduce_mean(scores["score"])) > 0.5
    # What heat maps are drawn from scores the same, of images that had to be shrunk.
    explainer = heat_maps.load_explainer(Path(summary["pushed_model"]))
    pixels = [
        preprocessing.decode_pixels(tf.constant(f.read_bytes()), 64)[..., 0].numpy() for f in files
    ]
    explained = explainer.score(np.stack(pixels))[:, 0]
    assert explained == pytest.approx(scores["score"].numpy(), abs=1e-4)
