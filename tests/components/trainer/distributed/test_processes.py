"""Several hosts, as processes on this one, learn as one does; a lost host stops all, for a time."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.trainer import training
from tfxray.components.trainer.distributed import processes, strategy, tf_config
from tfxray.components.trainer.loop import TrainingState
from tfxray.components.trainer.training import WORK

WAIT = 300  # seconds, on a machine that does much else
SPEC = {
    contract.EMBEDDING: tf.io.FixedLenFeature([12], tf.float32),
    contract.DISTORTED: tf.io.FixedLenFeature([2, 12], tf.float32),
    contract.TARGET: tf.io.FixedLenFeature([1], tf.int64),
    contract.KEY: tf.io.FixedLenFeature([1], tf.int64),
}


def _write(path, count, seed, first=0):
    rng = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for i in range(first, first + count):
            positive = int(i % 3 == 0)
            embeddings = rng.normal(positive, 2, (3, 12))
            feature = tf.train.Example().features.feature
            feature[contract.EMBEDDING].float_list.value.extend(embeddings[0])
            feature[contract.DISTORTED].float_list.value.extend(embeddings[1:].reshape(-1))
            feature[contract.TARGET].int64_list.value.append(positive)
            feature[contract.KEY].int64_list.value.append(i)
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


@pytest.fixture
def plan(tmp_path):
    """What Trainer would have others train: a head, on 36 examples in batches of 7."""
    folder = tmp_path / "transform_graph" / "transformed_metadata"
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata.from_feature_spec(SPEC), folder)
    _write(tmp_path / "train.gz", 36, 1)
    _write(tmp_path / "eval.gz", 16, 2)  # the last batch has fewer examples than there are hosts

    def make(name, epochs, **changes):
        train = {
            "seed": 5, "batch_size": 7, "class_weights": True, "distortions": {}, "epochs": epochs,
            "steps": None, "report_every": None, "warm_up": None, "precision": "float32",
            "learning_rate": 1e-2, "schedule": "constant", "optimizer": "adam", "weight_decay": 0,
            "label_smoothing": 0, "xla": False, "patience": None, "monitor": "auc",
            "plateau": {"monitor": "auc", "factor": 0.5, "patience": 1, "least": 0}, **changes,
        }  # fmt: skip
        return {
            "settings": {
                "classes": ["no", "yes"],
                "train": train,
                "head": {"hidden": [6], "dropout": 0, "batch_norm": False},
                "backbone": {"name": "MobileNetV2", "image_size": 32},
            },
            "transform_output": str(tmp_path / "transform_graph"),
            "train_files": [str(tmp_path / "train.gz")],
            "eval_files": [str(tmp_path / "eval.gz")],
            "state": str(tmp_path / name),
            "logs": str(tmp_path / f"{name}.logs"),
        }

    return make


@pytest.fixture
def together(monkeypatch):
    """Two hosts: this process is the chief; calling it starts the worker."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{free.getsockname()[1]}")

    def config(index):
        task = {"type": "worker", "index": index}
        return json.dumps({"cluster": {"worker": ports}, "task": task})

    monkeypatch.setenv("TF_CONFIG", config(0))
    workers = []

    def start(wait="5"):
        command = [sys.executable, "-m", "tfxray.pipeline.worker", "--wait", wait]
        environment = {**os.environ, "TF_CONFIG": config(1)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        workers.append(process)
        return process

    yield start
    for process in workers:
        process.kill()
        process.communicate()


def test_two_hosts_learn_as_one_does_and_go_on_after_one_was_lost(plan, together, tmp_path):
    plan_of_two = plan("two", epochs=1000)
    worker = together()
    lost = []
    watch = threading.Thread(target=_lose, args=(worker, "training 2/1000", lost), daemon=True)
    watch.start()
    with pytest.raises(RuntimeError):
        processes.train_together(WORK, tf_config.read_cluster(), plan_of_two, WAIT)
    end = time.monotonic()
    watch.join()
    assert end - lost[0] < 60  # TensorFlow waits 10 s for a host that tells nothing
    rounds = TrainingState(Path(plan_of_two["state"])).round
    assert 2 <= rounds < 1000

    plan_of_two = plan("two", epochs=rounds + 2)
    worker = together()
    processes.train_together(WORK, tf_config.read_cluster(), plan_of_two, WAIT)
    log = worker.communicate(timeout=WAIT)[1]
    assert worker.returncode == 0, log
    assert f"going on after round {rounds}" in log

    alone = plan("one", epochs=rounds + 2)
    training.fit_with_others(alone, strategy.make_strategy("one_device"))
    one, two = (TrainingState(tmp_path / name) for name in ("one", "two"))
    assert two.finished
    assert len(one.history["auc"]) == rounds + 2
    # Keras adds up the replicas' losses as if all had as many examples.
    for key in set(one.history) - {"loss", "val_loss"}:
        assert two.history[key] == pytest.approx(one.history[key], rel=1e-5), key


def _lose(process, line, lost):
    """Kills a process when it has logged a line, and notes when."""
    for output in process.stderr:
        if line in output:
            process.kill()
            lost.append(time.monotonic())


def test_a_chief_whose_worker_does_not_come_says_so(plan, together):
    with pytest.raises(UserError, match=r"127.0.0.1:\d+: not there within 0.05 minutes"):
        processes.train_together(WORK, tf_config.read_cluster(), plan("none", epochs=1), 3)


def test_a_worker_whose_chief_does_not_come_says_so(together):
    worker = together("0.01")
    log = worker.communicate(timeout=WAIT)[1]
    assert worker.returncode == 2
    assert "error: 127.0.0.1" in log
    assert "no chief there within 0.01 minutes (--wait)" in log


# A host whose windows are small, so that the hosts share even a few examples: argv is the plan.
HOST = """
import json, os, sys
import tensorflow as tf
from tfxray.components.trainer import examples, training, windows
from tfxray.components.trainer.distributed import in_step

windows.WINDOW_BYTES = 500
opened = []
parse = examples.Examples._parse_records
examples.Examples._parse_records = lambda self, files: opened.extend(files) or parse(self, files)
strategy = tf.distribute.MultiWorkerMirroredStrategy()
training.fit_with_others(json.loads(sys.argv[1]), strategy)
in_step.require_same(strategy, 0)
print(json.dumps(sorted({os.path.basename(file) for file in opened})), flush=True)
os._exit(0)
"""


@pytest.mark.usefixtures("together")
def test_two_hosts_learn_from_a_part_of_the_examples_each(plan, tmp_path):
    both = plan("parts", epochs=2)
    for split, files in (("train", "train_files"), ("eval", "eval_files")):
        for bucket in range(16):
            name = f"{split}{contract.BUCKET.format(bucket, 16)}0.gz"
            # Of unlike sizes, so that a host has fewer examples than the other.
            _write(tmp_path / name, 2 + bucket % 4, bucket, first=10 * bucket)
        both[files] = [str(tmp_path / f"{split}-bucket-*")]
    hosts = []
    for index in (0, 1):
        config = json.loads(os.environ["TF_CONFIG"])
        config["task"]["index"] = index
        hosts.append(
            subprocess.Popen(
                [sys.executable, "-c", HOST, json.dumps(both)],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        results = [host.communicate(timeout=2 * WAIT) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    assert [host.returncode for host in hosts] == [0, 0], results
    opened = [set(json.loads(output.splitlines()[-1])) for output, _ in results]
    assert not opened[0] & opened[1]
    assert len(opened[0]) == len(opened[1]) == 16
    state = TrainingState(Path(both["state"]))
    assert state.finished
    # Each example counts once in a round, though one host has fewer of them than the other.
    for key in ("accuracy", "val_accuracy"):
        right = np.array(state.history[key]) * 4 * (2 + 3 + 4 + 5)
        assert right == pytest.approx(right.round(), abs=1e-3)
        assert len(right) == 2
