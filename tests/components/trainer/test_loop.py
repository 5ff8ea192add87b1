"""Training goes on where it was killed, and several replicas learn as one does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tfx.dsl.io import fileio

from tests import ramfs  # noqa: F401  so that TFX goes through it
from tfxray.components.common import artifacts
from tfxray.components.trainer import loop

# Trains a small network on forty small images, in a fork for each line of JSON that it reads: to
# import TensorFlow takes longer. Nothing is computed before a fork.
SCRIPT = """
import json, os, sys, traceback
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
from pathlib import Path
from tfxray.components.trainer import examples, loop
from tfxray.components.trainer.distributed import strategy
from tfxray.components.common import contract
from tfxray.components.networks.distortion_ranges import Distortions


def write_images(path):
    rng = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for i in range(40):
            level = rng.integers(0, 120, (16, 16, 1)) + 100 * (i % 2)
            png = tf.io.encode_png(level.astype(np.uint8)).numpy()
            writer.write(tf.train.Example(features=tf.train.Features(feature={
                contract.PIXELS: tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
                contract.TARGET: tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 2])),
                contract.KEY: tf.train.Feature(int64_list=tf.train.Int64List(value=[i])),
            })).SerializeToString())


def train(options):
    strategy.prepare_devices(options["replicas"], 7)
    settings = {"seed": 5, "schedule": "constant", "optimizer": options.get("optimizer", "adam"),
                "weight_decay": 0, "patience": options.get("patience"), "monitor": "cross_entropy",
                "plateau": {"monitor": "cross_entropy", "factor": 0.5, "patience": 1, "least": 0}}
    folder = Path(options["folder"])
    if not list(folder.glob("*.gz")):
        write_images(folder / "a.gz")
    spec = {contract.PIXELS: tf.io.FixedLenFeature([], tf.string),
            contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
            contract.KEY: tf.io.FixedLenFeature([1], tf.int64)}
    images = examples.Examples([str(folder / "*.gz")], spec, 16)
    order = examples.Order(7, 5, np.array(options.get("weights", [1.0, 1.0]))[images.labels],
                           distortions=Distortions(rotation=20, width_shift=0.1, noise=5))
    keras.utils.set_random_seed(5)
    mirrored = tf.distribute.MirroredStrategy(
        [d.name for d in tf.config.list_logical_devices("CPU")])
    assert mirrored.num_replicas_in_sync == options["replicas"]
    L = keras.layers
    with mirrored.scope():
        body = [L.Rescaling(1 / 255), L.Conv2D(4, 3, strides=2, activation="relu"), L.Flatten()]
        if options.get("dropout"):
            body.append(L.Dropout(0.3))
        model = keras.Sequential([L.Input((16, 16, 1)), *body, L.Dense(1, activation="sigmoid")])

    def prepare(index):
        with mirrored.scope():
            model.compile(
                loop.make_optimizer(settings, phases[index]),
                keras.losses.BinaryCrossentropy(reduction="sum"),
                metrics=[keras.metrics.BinaryCrossentropy(name="cross_entropy")])

    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print("batch", flush=True)
            if options.get("slow"):
                import time
                time.sleep(0.05)

    make = loop.make_callbacks
    loop.make_callbacks = lambda s: [*make(s), Slow()]
    steps = images.steps(7)
    phases = [loop.Phase("warm-up", 1, steps, 1e-2, False),
              loop.Phase("training", options["rounds"], steps, options.get("rate", 5e-3), True)]
    history = loop.fit_phases(model, phases, prepare, lambda step: images.passes(order, step),
                          images.plain(7), settings, Path(options["state"]), Path(options["logs"]))
    np.savez(options["out"], *[np.asarray(v) for v in model.weights])
    Path(options["out"] + ".json").write_text(json.dumps(history))


for line in sys.stdin:
    process = os.fork()
    if not process:
        try:
            train(json.loads(line))
            os._exit(0)
        except BaseException:
            print("error", json.dumps(traceback.format_exc()), flush=True)
            os._exit(1)
    print("process", process, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def trainer():
    """A process that has imported what a training takes; see `SCRIPT`."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def train(tmp_path, trainer):
    """Trains in a process of its own; with `kill`, only until so many batches are done."""
    (tmp_path / "records").mkdir()

    def run(name, kill=None, **options):
        options = {
            "replicas": 1, "rounds": 5, "folder": str(tmp_path / "records"),
            "state": str(tmp_path / name / "state"), "logs": str(tmp_path / name / "logs"),
            "out": str(tmp_path / f"{name}.npz"), **options,
        }  # fmt: skip
        print(json.dumps(options), file=trainer.stdin, flush=True)
        batches, errors, number = 0, "", 0
        for line in trainer.stdout:
            what, _, value = line.strip().partition(" ")
            if what == "process":
                number = int(value)
            elif what == "ended":
                break
            elif what == "batch":
                batches += 1
                if batches == kill:
                    os.kill(number, signal.SIGKILL)
            elif what == "error":
                errors = json.loads(value)
        if kill:
            assert int(value) == -signal.SIGKILL
            return None
        if int(value):
            return errors
        with np.load(options["out"]) as archive:
            weights = [archive[key] for key in archive.files]
        return weights, json.loads(Path(options["out"] + ".json").read_text())

    return run


def test_a_training_killed_in_the_middle_of_an_epoch_ends_as_if_it_had_not_been(train, tmp_path):
    options = {"dropout": True, "patience": 2, "rounds": 6}
    weights, history = train("undisturbed", **options)
    # 40 images make 6 batches; those of the warm-up are not counted. In the first epoch after it,
    # then in the third.
    train("killed", kill=3, slow=True, **options)
    assert list((tmp_path / "killed" / "state").glob("state-*.npz"))
    train("killed", kill=15, slow=True, **options)
    again, history_again = train("killed", **options)
    assert len(history["cross_entropy"]) >= 5
    for key, values in history.items():
        assert history_again[key] == pytest.approx(values, rel=1e-6), key
    for one, other in zip(weights, again, strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_two_replicas_learn_as_one_does(train):
    # Batches of 7, the last of 5: no replica ever gets the same share as the other.
    options = {"rounds": 3, "weights": [0.5, 1.5]}
    one = train("one", **options)
    two = train("two", replicas=2, **options)
    for key in ("cross_entropy", "val_cross_entropy"):
        assert two[1][key] == pytest.approx(one[1][key], rel=1e-5), key
    for a, b in zip(one[0], two[0], strict=True):
        assert np.allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_no_number_stops_training_with_an_error(train):
    errors = train("nan", optimizer="sgd", rate=1e38)
    assert "UserError: the training loss became nan: lower train.learning_rate" in errors


@pytest.mark.parametrize("where", ["{}", "ram://{}"])
def test_a_state_that_was_not_written_to_its_end_is_passed_over(where, tmp_path):
    folder = where.format(tmp_path)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    state = loop.TrainingState(folder)
    for state.round in (1, 2, 3):
        model.set_weights([np.full((2, 1), state.round), np.zeros(1)])
        state.write(model, 0, False, [])
    files = artifacts.list_folder(folder)
    assert len(files) == 2  # the last, and the one before
    newest = os.path.join(folder, files[-1])
    with fileio.open(newest, "rb") as file:
        whole = file.read()
    for part in (b"", whole[:10], whole[: len(whole) // 2], whole[:200] + b"x" + whole[201:]):
        with fileio.open(newest, "wb") as file:
            file.write(part)
        again = loop.TrainingState(folder)
        assert again.round == 2
    again.restore_weights(model)
    assert model.get_weights()[0].ravel().tolist() == [2, 2]
    again.round = 3
    again.write(model, 0, False, [])
    assert loop.TrainingState(folder).round == 3
