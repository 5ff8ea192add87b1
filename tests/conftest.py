"""Shared fixtures: drawn X-rays in several shapes, and the command line in this process."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import yaml
from click.testing import CliRunner

from tests import in_process, quick, seaweed
from tfxray.components.common import filesystem
from tfxray.components.sample import draw

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "configs" / "demo.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no process is left with one while the others are done.

    The cluster's, then what runs whole pipelines, which lies in no room; the rooms' units last.
    """
    root = Path(__file__).parent
    whole = (root, root / "faults")
    items.sort(
        key=lambda item: (item.get_closest_marker("cluster") is None, item.path.parent not in whole)
    )


# They go on from `first_run`, so one process gets all of them.
GOING_ON = ("tests/test_end_to_end.py", "tests/test_later_runs.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals files to pytest's processes, those of GOING_ON as if they were one file."""
    from xdist.scheduler import LoadFileScheduling

    class OneRunInOneProcess(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return GOING_ON[0] if file in GOING_ON else file

    return OneRunInOneProcess(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 drawn X-rays of 96 pixels, in class folders with a manifest."""
    folder = tmp_path_factory.mktemp("drawn")
    draw.write_sample(folder, images=300, size=96, seed=7)
    return folder


@dataclass
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's config at a size for tests."""
    config = yaml.safe_load(DEMO.read_text())
    config["ingest"] = {}
    config["train"] = {"epochs": 8}
    # In 8 epochs of 4 steps a head learns to tell the classes apart, and not how sure to be; and a
    # slice of few patients is as good as chance lets it be.
    config["gate"] = {"auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None}
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def quick_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `quick.py`; of the name and the classes of `small_config`."""
    return quick.write_config(tmp_path_factory.mktemp("quick"))


def invoke(*arguments: object) -> Any:
    """Runs a tfxray command in this process."""
    from tfxray.pipeline.cli.main import main

    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def ingests_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs ingest in this process. A module whose runs are to start one has its own."""
    in_process.ingest_here(monkeypatch)


@pytest.fixture
def tfxray(capfd: pytest.CaptureFixture[str], ingests_here: None):
    """Runs a tfxray command in this process."""

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        result = invoke(*arguments)
        captured = capfd.readouterr()
        return Outcome(result.exit_code, result.stdout + captured.out, result.stderr + captured.err)

    return call


def last_line(done: Outcome) -> dict:
    """The summary that `--json` prints."""
    return json.loads(done.out.strip().splitlines()[-1])


class FirstRun:
    """A run that pushed, and no other: each module that goes on from it finds it so.

    In one folder always: the metadata store, and so the cache, hold absolute paths.
    """

    def __init__(self, folder: Path, arguments: Sequence[object]):
        self._out, self._kept = folder / "out", folder / "kept"
        done = invoke("run", *arguments, "--out", self._out)
        assert done.exit_code == 0, done.stderr
        shutil.copytree(self._out, self._kept, symlinks=True)

    def put_back(self) -> Path:
        """Its `--out`, as it was left."""
        shutil.rmtree(self._out)
        return Path(shutil.copytree(self._kept, self._out, symlinks=True))


@pytest.fixture(scope="session")
def first_run(
    drawn: Path, small_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> FirstRun:
    """A run of `small_config` on the drawn X-rays."""
    folder = tmp_path_factory.mktemp("first")
    return FirstRun(folder, ("--config", small_config, "--data", drawn))


@pytest.fixture(scope="module")
def out(first_run):
    """The `--out` of a module's runs."""
    return first_run.put_back()


@pytest.fixture
def run(tfxray, drawn, small_config, out):
    """Runs the pipeline on the drawn X-rays."""

    def call(*arguments):
        return tfxray(
            "run", "--config", small_config, "--data", drawn, "--out", out, "--json", *arguments
        )

    return call


@pytest.fixture
def pushed(run, out):
    """The summary of a run that pushed; where there is none yet, it happens."""
    summaries = sorted(out.glob("runs/*/summary.json"))
    if not summaries:
        done = run()
        assert done.code == 0, done.err
        return last_line(done)
    return json.loads(summaries[0].read_text())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory):
    """An S3 server with one bucket; see `seaweed`."""
    with seaweed.started(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: seaweed.Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bucket's URL, empty; the environment says how to come to it."""
    set_s3(monkeypatch, s3_server.environment())
    url = f"s3://{seaweed.BUCKET}"
    filesystem.remove_folder(url)
    return url


def set_s3(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """What the environment says of S3, for the next client, and nothing besides."""
    from tfxray.components.object_store import s3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
