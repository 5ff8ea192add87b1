"""The notebook of a run's results: executed as a reader would, without and with a baseline."""

import base64
import csv
import json
import os
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tensorflow_metadata.proto.v0 import statistics_pb2

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "results.ipynb"
SLICES = "[study/site, study/view, patient/age, [patient/sex, study/site]]"
QUICK = (
    f"evaluate.slices={SLICES}",
    "model.image_size=32",
    "gate.servable=false",
    "evaluate.intervals=true",
)


class Executed:
    """The notebook as a reader sees it who ran all of it."""

    def __init__(self, folder: Path, out: Path, run_id: str = ""):
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "this one",
            "language": "python",
        }
        kernel = folder / "kernels" / "here"
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps(spec))
        found = KernelSpecManager(kernel_dirs=[str(kernel.parent)])
        manager = AsyncKernelManager(kernel_name="here", kernel_spec_manager=found)
        env = {**os.environ, "TFXRAY_OUT": str(out), "IPYTHONDIR": str(folder / "ipython")}
        env["TFXRAY_RUN"] = run_id
        self.notebook = nbformat.read(NOTEBOOK, as_version=4)
        place = {"metadata": {"path": str(NOTEBOOK.parent)}}
        client = NotebookClient(self.notebook, km=manager, timeout=300, resources=place)
        client.execute(env=env)

    def __getitem__(self, cell_id: str) -> str:
        """A cell's outputs, as HTML where they have it."""
        (cell,) = [cell for cell in self.notebook.cells if cell["id"] == cell_id]
        shown = []
        for output in cell.outputs:
            data = output.get("data", {})
            texts = (data.get(f"text/{kind}") for kind in ("html", "markdown", "plain"))
            shown.append(output.get("text") or next(filter(None, texts), ""))
        return "\n".join(shown)

    @property
    def figures(self) -> tuple[float, float]:
        """The AUC of all examples: TFMA's, and that of the summary."""
        told = re.search(r"AUC ([\d.]+) by TFMA, ([\d.]+) in summary", self["overall-code"])
        assert told, self["overall-code"]
        return float(told[1]), float(told[2])

    @property
    def views(self) -> dict[str, list[str]]:
        """The slices in each of TFMA's views, by the view's title."""
        frame = unescape(self["views-code"])
        told = re.search(r"for \(const view of (\[.*\])\) \{$", frame, re.MULTILINE)
        assert told, frame[-2000:]
        return {
            view["title"]: [row["slice"] for row in view["data"]] for view in json.loads(told[1])
        }

    @property
    def statistics(self) -> dict[str, float]:
        """How many examples the view of statistics counts, by the data set's name."""
        told = re.search(r'<facets-overview proto-input="([^"]+)"', self["statistics-code"])
        assert told, self["statistics-code"][:2000]
        stats = statistics_pb2.DatasetFeatureStatisticsList.FromString(base64.b64decode(told[1]))
        return {data.name: data.num_examples for data in stats.datasets}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture
def summary(tfxray, drawn, small_config, out):
    """A run's summary; the run itself happens once."""
    if not (out / "metadata.db").exists():
        given = [part for setting in QUICK for part in ("--set", setting)]
        done = tfxray("run", "--config", small_config, "--data", drawn, "--out", out, *given)
        assert done.code == 0, done.err
    (path,) = out.glob("runs/*/summary.json")
    return json.loads(path.read_text())


def held_out_slices(out: Path) -> set[str]:
    """What the run's held-out images can be sliced by, as they were scored."""
    (path,) = out.glob("artifacts/Evaluator/evaluation/*/scores.csv")
    rows = list(csv.DictReader(path.open()))
    columns = ("study/site", "study/view")
    found = {f"{column}: {row[column]}" for column in columns for row in rows}
    crossed = {
        f"patient/sex: {row['patient/sex']} & study/site: {row['study/site']}" for row in rows
    }
    return found | crossed


def take_as_baseline(out: Path) -> None:
    """Has the store say that the run's own statistics were its baseline, to save a second run."""
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(out / "metadata.db")
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE
    store = metadata_store.MetadataStore(connection)
    (statistics,) = store.get_artifacts_by_type("ExampleStatistics")
    node = store.get_context_by_type_and_name("node", "demo.BaselineStatistics")
    (execution,) = store.get_executions_by_context(node.id)
    # A Resolver's are internal; but the store takes one of these per artifact, and has it.
    event = mlmd.Event(artifact_id=statistics.id, execution_id=execution.id, type=mlmd.Event.OUTPUT)
    event.path.steps.add().key = "statistics"
    event.path.steps.add().index = 0
    store.put_events([event])


def test_a_run_is_shown_with_all_its_slices(summary, out, tmp_path):
    shown = Executed(tmp_path, out)
    assert f"run {summary['run_id']}" in shown["find"]
    tfmas, exact = shown.figures
    assert exact == pytest.approx(summary["auc"], abs=1e-4)
    assert tfmas == pytest.approx(summary["auc"], abs=1e-3)
    slices = held_out_slices(out)
    assert len(slices) == 8
    for name in slices:
        assert f"<th>{name.replace('&', '&amp;')}</th>" in shown["result-code"]
    assert re.search("<th>patient/age: [0-9]", shown["result-code"])
    views = shown.views
    crossed = "patient/sex & study/site"
    assert list(views) == ["all", "study/site", "study/view", "patient/age", crossed]
    for title in ("study/site", "study/view"):
        assert {name.replace(":", ": ") for name in views[title]} == {
            name for name in slices if name.startswith(f"{title}: ") and "&" not in name
        }
    assert len(views[crossed]) == 4
    assert "TFMA's validation: ok" in shown["validation-code"]
    assert "BLESSED" in shown["validation-code"]
    for rule in summary["rules"]:
        assert f"<td>{rule['rule']}</td>" in shown["validation-code"]
    assert "study/site: north" in shown["fairness-code"]
    for split in ("eval", "test", "train"):
        assert f"**ExampleValidator, {split}**" in shown["anomalies-code"]
    for cell in shown.notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", output
    assert "<th>high, by image</th>" in shown["intervals-code"]
    assert "no blessed run before this one" in shown["statistics-code"]
    assert shown.statistics == {"this run": summary["examples"]["train"]}


def test_statistics_are_shown_against_the_latest_blessed_runs(summary, out, tmp_path):
    copy = tmp_path / "copied from another machine"
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns("data"), symlinks=True)
    take_as_baseline(copy)
    shown = Executed(tmp_path, copy, summary["run_id"])
    images = summary["examples"]["train"]
    assert shown.statistics == {"latest blessed": images, "this run": images}
    assert "<th>latest blessed</th>" in shown["statistics-table"]


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(CellExecutionError, match="name the --out of a run"):
        Executed(tmp_path, tmp_path / "nothing")


def test_the_notebook_is_stored_without_outputs():
    assert NOTEBOOK.stat().st_size < 100_000
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
