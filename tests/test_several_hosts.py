"""The pipeline on two hosts: Beam's Python job service, and a worker pool on each of them.

What is fast of `tests/flink`, without Java. Every host has its own address, name and loopback.
"""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import yaml

from tests import hosts, in_process, job_service
from tests.conftest import ROOT
from tfxray.components.common import contract, filenames

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
PORTABLE = {"engine": "portable", "master": "jobs:8099"}
# What a pool's workers do before they are Beam's: see `FAULTS`.
SITE = """
import os, sys, time
if any("SdkHarness" in argument for argument in sys.orig_argv):
    exec(os.environ.get("TESTS_FAULT", ""))
"""
# By the port of a pool: what is wrong with its workers, and what a user is told.
FAULTS = {
    50001: ("sys.modules['tfxray'] = None", "w1: its workers' Python has no tfxray"),
    50002: (
        "import apache_beam.version as v; v.__version__ = '2.99.0'",
        "w1: its workers have Beam 2.99.0, and here is",
    ),
    50003: (
        "import apache_beam, collections; sys.version_info = collections.namedtuple('V', "
        "'major minor micro releaselevel serial')(3, 99, 0, 'final', 0)",
        "w1: its workers run Python 3.99, and this is Python",
    ),
    50004: ("time.sleep(600)", "no worker did a small job within 20 s"),
}
OTHER, HIDDEN, NOBODY = 50005, 50006, 50009
# Runs commands one after another in one process, since each new one would import Beam again.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from tfxray.components.runners import probe
from tfxray.pipeline.cli.main import main
for arguments in json.load(open(sys.argv[1])):
    probe._PATIENCE = 20 if any("50004" in argument for argument in arguments) else 180
    done = CliRunner().invoke(main, arguments)
    error = done.exception if not isinstance(done.exception, SystemExit) else None
    with open(sys.argv[2], "a") as file:
        print(json.dumps([done.exit_code, done.output, repr(error)]), file=file)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A client, a job service and two hosts with a pool each; the log of the service."""
    folder = tmp_path_factory.mktemp("hosts")
    with hosts.network("client", "jobs", "w1", "w2") as (client, jobs, w1, w2):
        service = jobs.start(
            *(sys.executable, "-m", "tests.job_service", "--port=8099"),
            *("--pools=w1:50000,w2:50000", f"--staging={folder / 'staging'}"),
            log=folder / "service",
        )  # fmt: skip
        pools = [host.start_pool(log=folder / host.name, wait=False) for host in (w1, w2)]
        jobs.wait_for_port(8099, service, 300)
        for host, pool in zip((w1, w2), pools, strict=True):
            host.wait_for_port(50000, pool, 300)
        yield client, w1, folder


def tfxray(client, folder, name, *arguments):
    """Runs a command on the client, or for `one` in this process.

    Returns:
        Its exit code, and what it printed.
    """
    if name.endswith("one"):
        with pytest.MonkeyPatch.context() as patch:
            in_process.ingest_here(patch)
            return in_process.call(list(map(str, arguments)))
    log = folder / name
    code = client.run(sys.executable, "-m", "tfxray.pipeline.cli.main", *arguments, log=log)
    return code, log.read_text()


@pytest.fixture(scope="module")
def configs(quick_config, tmp_path_factory):
    """One config for this machine, one for the cluster."""
    folder, content = tmp_path_factory.mktemp("configs"), yaml.safe_load(quick_config.read_text())
    content["train"]["distribution"] = "one_device"
    for name, beam in (("one", {}), ("two", PORTABLE)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content | {"beam": beam}))
    return folder


@pytest.fixture(scope="module")
def outs(cluster, configs, drawn, tmp_path_factory):
    """The `--out` of a run on this machine, and of one on both hosts."""
    client, _, folder = cluster
    out = tmp_path_factory.mktemp("outs")
    for name in ("one", "two"):
        code, printed = tfxray(
            client, folder, f"run-{name}",
            "run", "--config", configs / f"{name}.yaml", "--data", drawn, "--out", out / name,
        )  # fmt: skip
        assert code == 0, printed
    return out


def summary(out):
    (path,) = out.glob("runs/*/summary.json")
    return json.loads(path.read_text())


def test_both_hosts_work_for_every_job_of_a_run(outs, cluster):
    folder = cluster[2]
    # The small job, ingest, ExampleGen, StatisticsGen, Transform, Evaluator.
    both = {"w1:50000", "w2:50000"}
    worked = job_service.works((folder / "service").read_text())
    assert len(worked) >= 6
    assert worked == [both] * len(worked)
    assert "  w1, w2\n" in (folder / "run-two").read_text()
    assert summary(outs / "two")["status"] == "pushed"


def test_the_records_are_the_same(outs):
    kept = [records(outs / name) for name in ("one", "two")]
    assert kept[0] == kept[1]
    assert sum(map(len, kept[0].values())) == 300


def records(out):
    """ExampleGen's records by split and name: Beam deals them to files, and protobuf their features
    to places, in any order.
    """
    (examples,) = out.glob("artifacts/ExampleGen/examples/*")
    told = {}
    for split in examples.glob("Split-*"):
        files = [str(file) for file in split.iterdir()]
        for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            values = {name: value.SerializeToString() for name, value in features.items()}
            told.setdefault(split.name, {})[values[contract.FILENAME]] = values
    return told


def test_the_statistics_are_the_same(outs):
    one, two = (statistics(outs / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, values in one.items():
        assert two[key] == pytest.approx(values, rel=1e-6), key


def statistics(out):
    """Of each split and feature: how many values, their mean or their distinct ones."""
    told = {}
    for file in out.glob("artifacts/StatisticsGen/statistics/*/Split-*/FeatureStats.pb"):
        (dataset,) = tfdv.load_stats_binary(str(file)).datasets
        told[file.parent.name, "examples"] = [dataset.num_examples]
        for feature in dataset.features:
            key = (file.parent.name, feature.path.step[0])
            numbers, texts = feature.num_stats, feature.string_stats
            told[key] = [numbers.mean, numbers.std_dev, numbers.min, numbers.max, texts.unique]
            told[key] += [texts.common_stats.num_non_missing, numbers.common_stats.tot_num_values]
            told[key] += sorted(value.frequency for value in texts.top_values)
    return told


def test_the_model_is_the_same(outs):
    one, two = (summary(outs / name) for name in ("one", "two"))
    assert one["examples"] == two["examples"]
    assert two["auc"] == pytest.approx(one["auc"], abs=1e-6)


def test_both_hosts_score_a_folder(outs, cluster, configs, drawn, tmp_path):
    client, _, folder = cluster
    before = len(job_service.works((folder / "service").read_text()))
    tables = []
    for name in ("one", "two"):
        code, printed = tfxray(
            client, folder, f"predict-{name}", "predict", "--input", drawn,
            "--output", tmp_path / name, "--model", outs / "two",
            "--config", configs / f"{name}.yaml",
        )  # fmt: skip
        assert code == 0, printed
        with (tmp_path / name / filenames.PREDICTIONS).open() as file:
            tables.append(sorted(csv.reader(file)))
    for ours, theirs in zip(*tables, strict=True):
        for ours_cell, theirs_cell in zip(ours, theirs, strict=True):
            assert cell(ours_cell) == cell(theirs_cell)
    assert len(tables[0]) == 301
    worked = job_service.works((folder / "service").read_text())[before:]
    assert worked == [{"w1:50000", "w2:50000"}] * 2


def cell(text):
    """What a cell is compared by: a number nearly, a word as it is."""
    try:
        return pytest.approx(float(text), abs=1e-5)
    except ValueError:
        return text


def test_what_is_wrong_with_a_cluster_is_told_in_one_line(cluster, configs, drawn, tmp_path):
    client, w1, folder = cluster
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    environments = {
        port: {"PYTHONPATH": path, "TESTS_FAULT": fault} for port, (fault, _) in FAULTS.items()
    }
    environments[OTHER] = {"PYTHONPATH": str(other_tfxray(tmp_path / "other"))}
    environments[HIDDEN] = {}
    pools = {
        port: w1.start_pool(
            port=port, env={**os.environ, **variables}, log=folder / f"pool-{port}", wait=False,
            without=drawn if port == HIDDEN else None,
        )
        for port, variables in environments.items()
    }  # fmt: skip
    for port, pool in pools.items():
        w1.wait_for_port(port, pool, 300)

    def ingest(**beam):
        """The command with another cluster."""
        beam = PORTABLE | beam
        settings = [f"--set=beam.{key}={value}" for key, value in beam.items()]
        return ["ingest", str(drawn), "--out", str(tmp_path / "out" / "records"),
                "--config", str(configs / "two.yaml"), *settings]  # fmt: skip

    cases = [
        (ingest(master="jobs:8098"), "jobs:8098: no job server answers there (Connection refused)"),
        (ingest(master="nobody:8099"), "nobody:8099: no job server answers there"),
        (ingest(workers=f"w1:{NOBODY}"), f"w1:{NOBODY}: no worker pool answers there"),
        *((ingest(workers=f"w1:{port}"), told) for port, (_, told) in FAULTS.items()),
        (ingest(workers=f"w1:{OTHER}"), "such as tfxray.components.ingest.worker. Install"),
        (ingest(workers=f"w1:{HIDDEN}"), f"w1: its workers do not see {drawn} (SOURCE): No such"),
    ]
    (tmp_path / "cases.json").write_text(json.dumps([arguments for arguments, _ in cases]))
    told = tmp_path / "told"
    code = client.run(
        *(sys.executable, "-c", COMMANDS, tmp_path / "cases.json", told), log=folder / "cases"
    )
    assert code == 0, (folder / "cases").read_text()
    answers = [json.loads(line) for line in told.read_text().splitlines()]
    for (_, expected), (code, printed, error) in zip(cases, answers, strict=True):
        assert expected in printed + error
        assert "Traceback" not in printed
        assert code == 2, (printed, error)
    # Nothing is left of what the small jobs wrote.
    assert os.listdir(tmp_path / "out") == []


def other_tfxray(folder: Path) -> Path:
    """A copy of the package, a module of which was changed; returns what to put on the path."""
    for package in ("components", "pipeline", "configs", "schema"):
        shutil.copytree(ROOT / package, folder / "tfxray" / package)
    with (folder / "tfxray" / "components" / "ingest" / "worker.py").open("a") as module:
        module.write("# another\n")
    return folder
