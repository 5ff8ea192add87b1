"""Nothing that came with the data runs, in no process that a command starts."""

import sys
from pathlib import Path

import pytest

from tests.faults.traps import PROGRAM, Traps

CONFIG = """\
name: x
classes: [NORMAL, PNEUMONIA]
model: {arguments: {alpha: 0.35}, weights: bundled, image_size: 32}
train: {epochs: 1}
evaluate: {slices: [study/view]}
gate: {auc: {threshold: 0.1}, slice_auc: null, calibration_error: null}
tune: {trials: 2}
"""
# So many that processes of their own load the images.
IMAGES = 520
WORKERS = "beam.options=[--direct_running_mode=multi_processing, --direct_num_workers=2]"


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Traps:
    """A data set that brings a module under every name, and a config."""
    folder = tmp_path_factory.mktemp("isolation")
    traps = Traps(folder / "xrays", folder / "marks")
    done = traps.run(PROGRAM, "sample", "--out", ".", "--images", IMAGES, "--size", "64")
    assert done.returncode == 0, done.stderr
    (traps.folder / "c.yaml").write_text(CONFIG)
    assert traps.run(sys.executable, "-m", "json.tool", "--help").returncode
    assert traps.sprung(), "the traps are set"
    return traps


@pytest.fixture(scope="module")
def ingested(traps: Traps) -> set[str]:
    """Which of them ran while Beam's workers made records of it."""
    command = [PROGRAM, "ingest", ".", "--out", "../records", "--config", "c.yaml"]
    done = traps.run(*command, "--set", WORKERS)
    assert done.returncode == 0, done.stderr
    return traps.sprung()


def test_no_module_of_the_data_runs_in_beams_workers(ingested: set[str]) -> None:
    assert not ingested


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("ingested")
def test_no_module_of_the_data_runs_in_whole_runs_and_after(traps: Traps) -> None:
    image = next(traps.folder.rglob("*.png")).relative_to(traps.folder)
    run = ["run", "--config", "c.yaml", "--data", ".", "--out", "../out"]
    for command in (
        run,
        # In a folder of its own: the cache knows nothing of how Beam works.
        [
            "run",
            "--config",
            "c.yaml",
            "--data",
            "../records",
            "--out",
            "../apart",
            "--to",
            "StatisticsGen",
            "--set",
            WORKERS,
        ],
        ["predict", image, "--model", "../out", "--force"],
        ["predict", "--input", ".", "--output", "../scores", "--model", "../out"],
        ["explain", image, "--model", "../out", "--out", "../map.png"],
        ["tune", "--config", "c.yaml", "--data", ".", "--out", "../out"],
        ["review", "--out", "../out"],
        ["runs", "--out", "../out"],
    ):
        done = traps.run(PROGRAM, *command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert not traps.sprung(), command


def test_python_m_looks_in_the_working_folder_no_further_than_it_must(tmp_path: Path) -> None:
    """What Python itself imports to find a module cannot be kept out; all else is."""
    traps = Traps(tmp_path / "xrays", tmp_path / "marks")
    needed = {"runpy", "pkgutil", "importlib", "typing", "collections", "functools", "types"}
    for name in (*needed, "warnings", "contextlib", "weakref", "operator", "keyword", "heapq"):
        for path in (traps.folder / f"{name}.py", traps.folder / name / "__init__.py"):
            path.unlink(missing_ok=True)
    for module in ("cli.main", "node", "worker"):
        traps.run(sys.executable, "-m", f"tfxray.pipeline.{module}", "--help")
        assert traps.sprung() <= {"reprlib", "copyreg", "enum", "re", "tfxray"}, module
