"""The pipeline on a Flink cluster of several hosts, beside the same in one process.

`make test-flink` runs it, and nothing else does: it takes minutes, and downloads Flink once.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import yaml
from google.protobuf import json_format

from tests.conftest import DEMO
from tests.flink import cluster as clusters
from tests.flink import distribution, measure
from tfxray.components.sample import draw
from tfxray.pipeline.runs import lineage

NODES = ("ingest", "ExampleGen", "StatisticsGen", "Transform", "Evaluator")
HOSTS = ("one", "two")
IMAGES = int(os.environ.get("TFXRAY_FLINK_IMAGES", "300"))
TABLE = distribution.CACHE / "table.md"
_TFXRAY = (sys.executable, "-c", "from tfxray.pipeline.cli.start import main; main()")

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Lab:
    """A cluster, and a folder of X-rays.

    Attributes:
        drivers: The commands that run, by name; watched as the cluster's processes are.
    """

    folder: Path
    cluster: clusters.Cluster
    memory: measure.Memory
    drivers: dict[str, subprocess.Popen]

    def config(self, runner: str) -> Path:
        """The demo's experiment on one of the runners `direct` and `flink`."""
        config = yaml.safe_load(DEMO.read_text()) | {"train": {"epochs": 8}}
        config["ingest"] = {"shards": 8}  # one worker reads a file
        config["model"]["image_size"] = 224  # as most use it; what a cluster costs is beside it
        config["gate"] = {
            "auc": {"threshold": 0.6}, "slice_auc": None, "calibration_error": None,
            "min_positives": 1, "min_negatives": 1,
        }  # fmt: skip
        config["beam"] = self.cluster.config() if runner == "flink" else {}
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    found = distribution.find()
    folder = tmp_path_factory.mktemp("flink")
    draw.write_sample(folder / "data", images=IMAGES, size=96, seed=7)
    (folder / "logs").mkdir()
    drivers: dict[str, subprocess.Popen] = {}
    with (
        clusters.start(found, folder / "logs", *HOSTS) as cluster,
        measure.watch(lambda: {**cluster.processes, **drivers}) as memory,
    ):
        yield Lab(folder, cluster, memory, drivers)


@pytest.fixture(scope="module")
def direct(lab) -> Run:
    return lab.run("direct")


@pytest.fixture(scope="module")
def flink(lab) -> Run:
    return lab.run("flink")


@pytest.fixture(scope="module")
def jobs(lab, flink) -> list[tuple[str, dict]]:
    """The jobs of the run on Flink, each beside its node."""
    return [(flink.node_at(job["start-time"] / 1000), job) for job in lab.cluster.jobs()]


def test_a_run_on_flink_pushes_a_model(flink, lab):
    assert flink.code == 0, (lab.folder / "tfxray.log").read_text()
    assert flink.summary["status"] == "pushed"


def test_all_hosts_took_part_in_each_job(lab, flink, direct, jobs):
    rows = []
    for name in NODES:
        own = [job for node, job in jobs if node == name]
        assert own, name
        took_part = set().union(*(lab.cluster.hosts_of(job["jid"]) for job in own))
        start = min(job["start-time"] for job in own) / 1000
        end = max(job["start-time"] + job["duration"] for job in own) / 1000
        peak = lab.memory.peak(start, end)
        rows.append(
            [
                name,
                *(run.summary["seconds"].get(name, "") for run in (direct, flink)),
                f"{sum(job['duration'] for job in own) / 1000:.1f}",
                " ".join(sorted(took_part)),
                *(round(peak.get(name, 0) / 1e6) for name in lab.cluster.processes),
            ]
        )
    head = ["node", "direct, s", "Flink, s", "of them the job", "hosts"]
    told = measure.table([*head, *(f"{name}, MB" for name in lab.cluster.processes)], rows)
    TABLE.write_text(f"{lab.cluster.distribution.name}; {IMAGES} images\n\n{told}\n")
    print(f"\n{TABLE.read_text()}")
    assert [row[4] for row in rows] == [" ".join(HOSTS)] * len(rows)


def test_the_records_are_the_same(direct, flink):
    for split in ("train", "eval", "test"):
        one, other = (
            Counter(
                _features(record)
                for path in Path(run.uris["ExampleGen.examples"], f"Split-{split}").iterdir()
                for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
            )
            for run in (direct, flink)
        )
        assert one
        assert one == other


def _features(record: bytes) -> tuple[tuple[str, bytes], ...]:
    """An example, whatever the order in which its features were written."""
    features = tf.train.Example.FromString(record).features.feature
    return tuple((name, features[name].SerializeToString()) for name in sorted(features))


def test_the_statistics_are_the_same(direct, flink):
    for split in ("train", "eval", "test"):
        one, other = (
            _statistics(Path(run.uris["StatisticsGen.statistics"], f"Split-{split}"))
            for run in (direct, flink)
        )
        assert one.keys() == other.keys()
        assert one == {
            name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for name, value in other.items()
        }


def _statistics(folder: Path) -> dict[str, object]:
    """Each figure of each feature, by a name."""
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


def test_the_model_is_the_same(direct, flink):
    assert flink.summary["auc"] == pytest.approx(direct.summary["auc"], abs=1e-6)
    assert flink.summary["patients"] == direct.summary["patients"]


def test_a_folder_is_scored_alike(lab, flink):
    # Of records, each file is a part; of images, a thousand are.
    (records,) = (lab.folder / "flink" / "data").glob("records-*")
    rows = []
    for runner in ("direct", "flink"):
        output = lab.folder / f"scores-{runner}"
        code = lab.call(
            *("predict", "--config", lab.config(runner), "--input", records),
            *("--output", output, "--model", lab.folder / "flink"),
        )
        assert code == 0, (lab.folder / "tfxray.log").read_text()
        table = pd.read_csv(output / "predictions.csv")
        rows.append(table.sort_values(table.columns[0], ignore_index=True))
    assert lab.cluster.hosts_of(lab.cluster.jobs()[-1]["jid"])
    assert len(rows[0]) == IMAGES
    pd.testing.assert_frame_equal(*rows, rtol=1e-4)


def test_a_host_may_be_lost(lab, flink):
    """Its power goes in the middle of Transform; a new task manager takes its place."""
    cluster, out = lab.cluster, lab.folder / "flink"
    known = len(cluster.jobs())
    # What comes before Transform stays as it was.
    command = ("run", "--config", lab.config("flink"), "--data", lab.folder / "data")
    command = (*command, "--out", out, "--set", "model.image_size=64")
    lost = cluster.workers[1]
    with lab.start(*command) as process:
        while not any(map(cluster.hosts_of, _ids(cluster.jobs()[known:]))):
            assert process.poll() is None, (lab.folder / "tfxray.log").read_text()
            time.sleep(0.2)
        cluster.kill(lost)
        code = process.wait()
    said = Run.of(out, code).summary["reason"] or ""
    assert code == 0 or lost.name in said, said
    print(f"\n{lost.name} lost: exit code {code}: {said.splitlines()[:1]}")
    cluster.start_task_manager(lost)
    cluster.wait()
    assert lab.call(*command) == 0, (lab.folder / "tfxray.log").read_text()
    after = Run.of(out, 0)
    assert after.summary["status"] == "pushed"
    assert {"ExampleGen", "StatisticsGen"} <= set(after.summary["cached"])


def _ids(jobs: list[dict]) -> list[str]:
    """The jobs' ids, but for those that look for the workers."""
    return [job["jid"] for job in jobs if not job["name"].startswith("tfxray-probe")]
