"""A pushed model behind KServe's own server, asked over REST as clients ask.

`make test-kserve` runs it, and nothing else does: it installs KServe and a TensorFlow of its own.
"""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf

from tests import scorer
from tests.components.pusher.made import push_model
from tests.conftest import ROOT
from tfxray.components.common import contract

RUNTIME = ROOT / "kubeflow" / "serving" / "runtime"
SHELF = ROOT / "build" / "kserve"
NAME = "demo"
V1, V2 = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        folder: Holds the versions of the model that it serves.
        log: What it prints.
    """

    port: int
    folder: Path
    log: Path

    def ask(self, path: str, body: object = None) -> tuple[int, dict]:
        """Sends JSON; returns the status and what came back."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def images(self, *encoded: bytes) -> tuple[int, dict]:
        """Asks for the scores of images as they are."""
        rows = [_b64(image) for image in encoded]
        return self.ask(V1, {"signature_name": contract.SIGNATURE_BYTES, "instances": rows})

    def refusal(self, path: str, body: object) -> str:
        """Why a request is refused: one line."""
        status, answer = self.ask(path, body)
        assert status == 400, answer
        assert "\n" not in answer["error"]
        return answer["error"]

    def wait(self, process: subprocess.Popen, seconds: float = 120) -> None:
        """Waits until it answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                self.ask("/v1/models")
                return
            time.sleep(0.3)
        raise RuntimeError(self.log.read_text())


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with what the runtime's image has."""
    wanted = (RUNTIME / "requirements.txt").read_text()
    venv, noted = SHELF / "venv", SHELF / "installed"
    if not (noted.exists() and noted.read_text() == wanted):
        shutil.rmtree(SHELF, ignore_errors=True)
        SHELF.mkdir(parents=True)
        uv = Path(sys.executable).with_name("uv")
        for command in (
            ["venv", "--quiet", "--python", sys.executable, venv],
            ["pip", "install", "--quiet", "--python", venv / "bin" / "python",
             "--requirement", RUNTIME / "requirements.txt"],
        ):  # fmt: skip
            done = subprocess.run([uv, *command], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"NOT RUN on KServe: {done.stderr.strip()[-300:]}")
        noted.write_text(wanted)
    return venv / "bin" / "python"


@contextlib.contextmanager
def serving(python: Path, folder: Path, log: Path) -> Iterator[Server]:
    """Starts the runtime over a folder of versions; ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [python, RUNTIME / "server.py", f"--model_name={NAME}", f"--folder={folder}",
             "--poll_seconds=0.5", f"--http_port={port}", "--enable_grpc=false"],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=log.parent,
            # Nothing of tfxray, nor of this process's environment.
            env={"PATH": os.defpath, "HOME": str(log.parent), "TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip
    server = Server(port, folder, log)
    try:
        server.wait(process)
        yield server
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def server(python, pushed, tmp_path_factory) -> Iterator[Server]:
    """Serves the model that a run of the pipeline pushed."""
    folder = tmp_path_factory.mktemp("server")
    with serving(python, Path(pushed["pushed_model"]).parent, folder / "log.txt") as started:
        yield started


def test_a_pushed_model_scores_as_tfxray_does(server, pushed, drawn):
    """Raw bytes and tf.Examples, by rows and by columns, over both protocols."""
    images = [path.read_bytes() for path in sorted(drawn.rglob("*.png"))[:4]]
    model = tf.saved_model.load(pushed["pushed_model"])
    wanted = model.signatures[contract.SIGNATURE_BYTES](image_bytes=tf.constant(images))
    wanted = {name: value.numpy() for name, value in wanted.items()}
    scores = pytest.approx(wanted[contract.SCORE], abs=1e-5)

    status, answer = server.images(*images)
    assert status == 200, answer
    rows = answer["predictions"]
    assert [row[contract.SCORE] for row in rows] == scores
    assert rows[0].keys() == wanted.keys()
    assert rows[0]["classes"] == [text.decode() for text in wanted["classes"][0]]

    examples = [_example(image) for image in images]
    status, answer = server.ask(V1, {"inputs": {"examples": [_b64(e) for e in examples]}})
    assert status == 200, answer
    assert answer["outputs"][contract.SCORE] == scores

    for name, batch in {"image_bytes": images, "examples": examples}.items():
        status, answer = server.ask(V2, _request(name, batch))
        assert status == 200, answer
        outputs = {output["name"]: output for output in answer["outputs"]}
        assert outputs[contract.SCORE]["data"] == scores
        assert outputs[contract.SCORES]["shape"] == [4, 2]
        assert answer["model_version"] == Path(pushed["pushed_model"]).name

    _, told = server.ask(f"/v2/models/{NAME}")
    assert [each["name"] for each in told["inputs"]] == ["examples", "image_bytes"]
    assert {each["name"] for each in told["outputs"]} == wanted.keys()


def test_bad_requests_get_one_line(server):
    by = {"signature_name": contract.SIGNATURE_BYTES}
    expected = {
        "the model cannot read an instance": {**by, "instances": [_b64(b"no image")]},
        "either instances or inputs": {**by},
        "at least one element": {**by, "instances": []},
        "instance 1: b64 holds no base64": {**by, "instances": [_b64(b""), {"b64": "?"}]},
        "instance 0 is no": {**by, "instances": ["text"]},
        "the only input is image_bytes": {**by, "instances": [{"image": _b64(b"")}]},
        "no signature is called 'other'": {"signature_name": "other", "instances": [_b64(b"")]},
        "no signature is called ['a']": {"signature_name": ["a"], "instances": [_b64(b"")]},
        "is a JSON object": [1],
    }
    for message, body in expected.items():
        assert message in server.refusal(V1, body)
    assert "no input is called 'other'" in server.refusal(V2, _request("other", [b""]))
    assert "not of FP32" in server.refusal(
        V2, {"inputs": [{"name": "examples", "shape": [1], "datatype": "FP32", "data": [1]}]}
    )
    assert server.ask("/v1/models/other:predict", {"instances": []})[0] == 404


def test_a_new_version_takes_over_and_no_request_fails(python, tmp_path):
    """200 requests of 8 clients, while a version is pushed, and then one that is damaged."""
    base, models = tmp_path / "serving", tmp_path / "models"
    for name, threshold in {"first": 0.3, "second": 0.7}.items():
        scorer.export(models / name, threshold)
    push_model(models / "first", base)
    image = _grey()
    with serving(python, base, tmp_path / "log.txt") as server, ThreadPoolExecutor(8) as clients:
        assert server.images(image)[1]["predictions"][0]["threshold"] == pytest.approx(0.3)
        answers = [clients.submit(server.images, image) for _ in range(100)]
        push_model(models / "second", base)
        end = time.monotonic() + 60
        while time.monotonic() < end and server.log.read_text().count("is served") < 2:
            time.sleep(0.05)
            answers.append(clients.submit(server.images, image))
        answers += [clients.submit(server.images, image) for _ in range(100)]
        told = [answer.result() for answer in answers]
        assert len(told) >= 200
        assert {status for status, _ in told} == {200}
        thresholds = [answer["predictions"][0]["threshold"] for _, answer in told]
        assert thresholds[0] == pytest.approx(0.3)
        assert thresholds[-1] == pytest.approx(0.7)
        damaged = base / str(int(max(base.iterdir()).name) + 1)
        damaged.mkdir()
        (damaged / "saved_model.pb").write_bytes(b"no model")
        end = time.monotonic() + 60
        while time.monotonic() < end and "cannot be loaded" not in server.log.read_text():
            time.sleep(0.1)
        assert "cannot be loaded" in server.log.read_text()
        assert server.images(image)[1]["predictions"][0]["threshold"] == pytest.approx(0.7)


def _b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def _request(name: str, batch: list[bytes]) -> dict:
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(batch)],
                "datatype": "BYTES",
                "parameters": {"content_type": "base64"},
                "data": [_b64(each)["b64"] for each in batch],
            }
        ]
    }


def _example(image: bytes) -> bytes:
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    features = tf.train.Features(feature={contract.IMAGE: value})
    return tf.train.Example(features=features).SerializeToString()


def _grey() -> bytes:
    return tf.io.encode_png(tf.fill([8, 8, 1], tf.constant(128, tf.uint8))).numpy()
