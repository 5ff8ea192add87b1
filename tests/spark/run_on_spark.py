"""The pipeline on a Spark cluster of several hosts, beside the same in one process.

`make test-spark` runs it, and nothing else does: it takes minutes, and downloads Spark once.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.clusters import lab as labs
from tests.clusters import measure
from tests.clusters.lab import Lab, Run
from tests.spark import cluster as clusters
from tests.spark import distribution

NODES = ("ingest", "ExampleGen", "StatisticsGen", "Transform", "Evaluator")
HOSTS = ("one", "two")
IMAGES = int(os.environ.get("TFXRAY_SPARK_IMAGES", "120"))
TABLE = distribution.SHELF.folder / "table.md"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    found, folder = distribution.find(), tmp_path_factory.mktemp("spark")
    (folder / "logs").mkdir()
    with labs.opened(folder, IMAGES, clusters.start(found, folder / "logs", *HOSTS)) as lab:
        yield lab


@pytest.fixture(scope="module")
def direct(lab) -> Run:
    return lab.run("direct")


@pytest.fixture(scope="module")
def spark(lab) -> Run:
    return lab.run("spark")


def test_a_run_on_spark_pushes_a_model(spark, lab):
    assert spark.code == 0, lab.log
    assert spark.summary["status"] == "pushed"


def test_all_hosts_took_part(lab, spark, direct):
    jobs = [(spark.node_at(job.start), job) for job in lab.cluster.jobs()]
    rows = []
    for name in NODES:
        own = [job for node, job in jobs if node == name]
        assert own, name
        peak = lab.memory.peak(own[0].start, own[-1].start + own[-1].seconds)
        rows.append(
            [
                name,
                *(run.summary["seconds"].get(name, "") for run in (direct, spark)),
                f"{sum(job.seconds for job in own):.1f}",
                " ".join(sorted(set().union(*(job.hosts for job in own)))),
                *(round(peak.get(name, 0) / 1e6) for name in lab.cluster.processes),
            ]
        )
    head = ["node", "direct, s", "Spark, s", "of them the job", "hosts"]
    told = measure.table([*head, *(f"{name}, MB" for name in lab.cluster.processes)], rows)
    TABLE.write_text(f"{lab.cluster.distribution.name}; {IMAGES} images\n\n{told}\n")
    print(f"\n{TABLE.read_text()}")
    assert [row[4] for row in rows] == [" ".join(HOSTS)] * len(rows)


def test_the_records_are_the_same(direct, spark):
    labs.compare_records(direct, spark)


def test_the_statistics_are_the_same(direct, spark):
    labs.compare_statistics(direct, spark)


def test_the_model_is_the_same(direct, spark):
    labs.compare_models(direct, spark)


def test_a_folder_is_scored_alike(lab, spark):
    # Of records, each file is a part; of images, a thousand are.
    (records,) = (lab.folder / "spark" / "data").glob("records-*")
    known = len(lab.cluster.jobs())
    one, other = (
        lab.scores(runner, records, lab.folder / "spark") for runner in ("direct", "spark")
    )
    assert len(lab.cluster.jobs()) > known
    assert len(one) == IMAGES
    pd.testing.assert_frame_equal(one, other, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--job_server_java_launcher=no-java"], "no-java: is no program here"),
        (["--spark_job_server_jar=/none.jar"], "job server for Spark does not start: Unable"),
    ],
)
def test_what_this_machine_lacks_is_told_by_one_line(lab, options, message):
    assert message in _refusal(lab, {"options": options})


def test_what_the_cluster_lacks_is_told_by_one_line(lab):
    """A master that is not there; no pool; no worker of Spark's."""
    cluster = lab.cluster
    master = cluster.master.replace(":7077", ":7079")
    assert "no Spark master answers there" in _refusal(lab, {"master": master})
    assert "no worker pool answers there" in _refusal(lab, {"workers": "localhost:50009"})
    for host in cluster.workers:
        cluster.kill("worker", host)
        cluster.kill("pool", host)
    # A master takes a worker for alive for a minute, unless it hears that its connection is gone.
    cluster.wait(0)
    assert "has no worker. Start one on each host" in _refusal(lab, {})


def _refusal(lab: Lab, section: dict) -> str:
    """What a run says that ends at the look at the cluster; the whole of it is one line."""
    config = yaml.safe_load(lab.config("spark").read_text())
    options = section.pop("options", [])
    names = {option.partition("=")[0] for option in options}
    kept = [o for o in config["beam"]["options"] if o.partition("=")[0] not in names]
    config["beam"] |= {**section, "options": [*kept, *options]}
    path: Path = lab.folder / "refused.yaml"
    path.write_text(yaml.safe_dump(config))
    before = len(lab.log)
    code = lab.call(
        *("run", "--config", path, "--data", lab.folder / "data"), "--out", lab.folder / "refused"
    )
    said = lab.log[before:]
    assert code == 2, said
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    return line
