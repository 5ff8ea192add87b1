"""The pipeline on a Flink cluster of several hosts, beside the same in one process.

`make test-flink` runs it, and nothing else does: it takes minutes, and downloads Flink once.
"""

import os
import time
from collections.abc import Iterator

import pandas as pd
import pytest

from tests.clusters import lab as labs
from tests.clusters import measure
from tests.clusters.lab import Lab, Run
from tests.flink import cluster as clusters
from tests.flink import distribution

NODES = ("ingest", "ExampleGen", "StatisticsGen", "Transform", "Evaluator")
HOSTS = ("one", "two")
IMAGES = int(os.environ.get("TFXRAY_FLINK_IMAGES", "300"))
TABLE = distribution.SHELF.folder / "table.md"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    found, folder = distribution.find(), tmp_path_factory.mktemp("flink")
    (folder / "logs").mkdir()
    cluster = clusters.start(found, folder / "logs", *HOSTS)
    with labs.opened(folder, IMAGES, cluster) as lab:
        yield lab


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
    assert flink.code == 0, lab.log
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
    labs.compare_records(direct, flink)


def test_the_statistics_are_the_same(direct, flink):
    labs.compare_statistics(direct, flink)


def test_the_model_is_the_same(direct, flink):
    labs.compare_models(direct, flink)


def test_a_folder_is_scored_alike(lab, flink):
    # Of records, each file is a part; of images, a thousand are.
    (records,) = (lab.folder / "flink" / "data").glob("records-*")
    model = lab.folder / "flink"
    one, other = (lab.scores(runner, records, model) for runner in ("direct", "flink"))
    assert lab.cluster.hosts_of(lab.cluster.jobs()[-1]["jid"])
    assert len(one) == IMAGES
    pd.testing.assert_frame_equal(one, other, rtol=1e-4)


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
            assert process.poll() is None, lab.log
            time.sleep(0.2)
        cluster.kill(lost)
        code = process.wait()
    said = Run.of(out, code).summary["reason"] or ""
    assert code == 0 or lost.name in said, said
    print(f"\n{lost.name} lost: exit code {code}: {said.splitlines()[:1]}")
    cluster.start_task_manager(lost)
    cluster.wait()
    assert lab.call(*command) == 0, lab.log
    after = Run.of(out, 0)
    assert after.summary["status"] == "pushed"
    assert {"ExampleGen", "StatisticsGen"} <= set(after.summary["cached"])


def _ids(jobs: list[dict]) -> list[str]:
    """The jobs' ids, but for those that look for the workers."""
    return [job["jid"] for job in jobs if not job["name"].startswith("tfxray-probe")]
