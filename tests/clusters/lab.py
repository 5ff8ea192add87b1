"""The pipeline on a cluster, beside the same in one process: what the engines' tests share."""

import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import yaml
from google.protobuf import json_format

from tests.clusters import measure
from tests.conftest import DEMO
from tfxray.components.sample import draw
from tfxray.pipeline.runs import lineage

SPLITS = ("train", "eval", "test")
# `tfdv.StatsOptions.epsilon` by default, of ranks. So few values, a sketch keeps as they are.
_ALLOWED, _EXACT = 0.01, 5000
_QUANTILE = re.compile("/histograms/|/median$")
_TFXRAY = (sys.executable, "-c", "from tfxray.pipeline.cli.start import main; main()")


class Cluster(Protocol):
    """A cluster of any engine.

    Attributes:
        processes: What runs, by role and host.
    """

    processes: dict[str, subprocess.Popen]

    def config(self) -> dict:
        """The section `beam` of a config whose jobs run there."""


@dataclass(frozen=True)
class Lab:
    """A cluster, and a folder of X-rays.

    Attributes:
        folder: Holds the X-rays below `data`, and all that is written.
        cluster: Of any engine.
        images: How many X-rays there are.
        drivers: The commands that run, by name; watched as the cluster's processes are.
    """

    folder: Path
    cluster: Cluster
    images: int
    memory: measure.Memory
    drivers: dict[str, subprocess.Popen]

    def config(self, runner: str) -> Path:
        """The demo's experiment on `direct`, or on the cluster whatever else the name."""
        config = yaml.safe_load(DEMO.read_text()) | {"train": {"epochs": 8}}
        config["ingest"] = {"shards": 8}  # one worker reads a file
        config["model"]["image_size"] = 224  # as most use it; what a cluster costs is beside it
        config["gate"] = {
            "auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None,
            "min_positives": 1, "min_negatives": 1,
        }  # fmt: skip
        config["beam"] = {} if runner == "direct" else self.cluster.config()
        path = self.folder / f"{runner}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    @contextlib.contextmanager
    def start(self, *arguments: object) -> Iterator[subprocess.Popen]:
        """Starts a command of tfxray; ends it with the block."""
        with (self.folder / "tfxray.log").open("ab") as log:
            command = [*_TFXRAY, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.drivers["tfxray"] = process
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
            del self.drivers["tfxray"]

    def call(self, *arguments: object) -> int:
        """Runs a command of tfxray; returns its exit code."""
        with self.start(*arguments) as process:
            return process.wait()

    def run(self, runner: str) -> "Run":
        """Runs the pipeline on a runner."""
        out = self.folder / runner
        code = self.call(
            *("run", "--config", self.config(runner), "--data", self.folder / "data"), "--out", out
        )
        return Run.of(out, code)

    def scores(self, runner: str, records: Path, model: Path) -> pd.DataFrame:
        """A folder's scores, as `tfxray predict` gives them on a runner."""
        output = self.folder / f"scores-{runner}"
        code = self.call(
            *("predict", "--config", self.config(runner), "--input", records),
            *("--output", output, "--model", model),
        )
        assert code == 0, self.log
        table = pd.read_csv(output / "predictions.csv")
        return table.sort_values(table.columns[0], ignore_index=True)

    @property
    def log(self) -> str:
        """What the commands printed."""
        return (self.folder / "tfxray.log").read_text()


@dataclass(frozen=True)
class Run:
    """What the latest run below an `--out` came to.

    Attributes:
        began: When each node began, in seconds since 1970: its outputs are registered at its end.
        uris: The folders of the nodes' outputs, as `StatisticsGen.statistics`.
    """

    code: int
    summary: dict
    began: dict[str, float]
    uris: dict[str, str]

    @classmethod
    def of(cls, out: Path, code: int) -> "Run":
        summary = json.loads(max(out.glob("runs/*/summary.json")).read_text())
        nodes = lineage.node_runs(lineage.local_connection(out), "demo", summary["run_id"])
        began = {
            name: min(output.made for output in node.outputs.values()) - node.seconds
            for name, node in nodes.items()
            if node.outputs
        }
        return cls(code, summary, began, lineage.output_uris(nodes))

    def node_at(self, moment: float) -> str:
        """The node that was under way; ingest comes before all of them."""
        before = [name for name, start in self.began.items() if start <= moment]
        return max(before, key=self.began.__getitem__, default="ingest")


@contextlib.contextmanager
def opened(folder: Path, images: int, start: AbstractContextManager[Cluster]) -> Iterator[Lab]:
    """Draws X-rays, starts a cluster and watches its memory; ends it.

    Args:
        folder: Gets all of it.
        images: How many X-rays.
        start: Starts the cluster.
    """
    draw.write_sample(folder / "data", images=images, size=96, seed=7)
    drivers: dict[str, subprocess.Popen] = {}
    with (
        start as cluster,
        measure.watch(lambda: {**cluster.processes, **drivers}) as memory,
    ):
        yield Lab(folder, cluster, images, memory, drivers)


def compare_records(one: Run, other: Run) -> None:
    """Asserts that two runs have the same examples in each split, whatever their order."""
    for split in SPLITS:
        found = _records(one, split)
        assert found
        assert found == _records(other, split)


def compare_statistics(one: Run, other: Run) -> None:
    """Asserts that two runs' statistics are the same, figure by figure.

    TFDV reads quantiles out of a sketch, which depends on the order of many values. A figure of a
    quantile may differ by the error that TFDV allows.
    """
    for split in SPLITS:
        wanted, found = _statistics(one, split), _statistics(other, split)
        assert wanted.keys() == found.keys()
        assert wanted == {name: _alike(name, value, found) for name, value in found.items()}


def _alike(name: str, value: object, figures: Mapping[str, object]) -> object:
    if not isinstance(value, float):
        return value
    feature, of_numbers, _ = name.partition("/numStats/")
    images = int(str(figures.get(f"{feature}/numStats/commonStats/numNonMissing", 0)))
    if not _QUANTILE.search(name) or not of_numbers or images <= _EXACT:
        return pytest.approx(value, rel=1e-6)
    low, high = (float(str(figures.get(f"{feature}/numStats/{end}", 0))) for end in ("min", "max"))
    whole = images if name.endswith("sampleCount") else high - low
    return pytest.approx(value, rel=1e-6, abs=_ALLOWED * whole)


def compare_models(one: Run, other: Run) -> None:
    """Asserts that two runs' models do the same on the same patients."""
    assert other.summary["auc"] == pytest.approx(one.summary["auc"], abs=1e-6)
    assert other.summary["patients"] == one.summary["patients"]


def _records(run: Run, split: str) -> Counter:
    return Counter(
        _features(record)
        for path in Path(run.uris["ExampleGen.examples"], f"Split-{split}").iterdir()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    )


def _features(record: bytes) -> tuple[tuple[str, bytes], ...]:
    """An example, whatever the order in which its features were written."""
    features = tf.train.Example.FromString(record).features.feature
    return tuple((name, features[name].SerializeToString()) for name in sorted(features))


def _statistics(run: Run, split: str) -> dict[str, object]:
    """Each figure of each feature, by a name."""
    folder = Path(run.uris["StatisticsGen.statistics"], f"Split-{split}")
    statistics = tfdv.load_stats_binary(str(folder / "FeatureStats.pb"))
    figures: dict[str, object] = {}

    def collect(name: str, value: object) -> None:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            if isinstance(part, dict | list):
                collect(f"{name}/{key}", part)
            else:
                figures[f"{name}/{key}"] = part

    for dataset in statistics.datasets:
        for feature in dataset.features:
            collect("/".join(feature.path.step), json_format.MessageToDict(feature))
    return figures
