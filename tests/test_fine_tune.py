"""Fine-tuning, from images to a pushed model: killed while it trains, and gone on with."""

import json
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

from tests.conftest import ROOT
from tfxray.components.explain import heat_maps
from tfxray.components.transform import preprocessing


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
                "gate": {"auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None},
            }
        )
    )  # fmt: skip
    return path


def command(config, data, out, *more):
    return [
        sys.executable, "-m", "tfxray.pipeline.cli.main", "run", "--config", config, "--data", data,
        "--out", out, "--json", *more,
    ]  # fmt: skip


def run(*arguments):
    done = subprocess.run(
        [str(a) for a in command(*arguments)], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def killed_while_training(config, data, out):
    """Starts a run and kills it when it has kept its state twice."""
    process = subprocess.Popen(
        [str(a) for a in command(config, data, out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip
    written: set[str] = set()
    while len(written) < 2 and process.poll() is None:
        written |= {path.name for path in Path(out).glob("state/*/state-*.npz")}
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_run_killed_while_it_trains_goes_on_and_pushes(drawn, config, tmp_path):
    # That it ends as an undisturbed one does, to the last weight: tests/components/test_fitting.py.
    killed_while_training(config, drawn, tmp_path)
    code, summary, said = run(config, drawn, tmp_path)
    assert code == 0
    assert "going on after round" in said
    assert {"Transform", "DataGate"} <= set(summary["cached"])
    assert not list((tmp_path / "state").rglob("*.npz"))
    model = tf.saved_model.load(summary["pushed_model"])
    files = sorted((drawn / "PNEUMONIA").glob("*.png"))[:20]
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
