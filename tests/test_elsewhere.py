"""The pipeline where no folder of this machine holds anything of it: all lies on `ram://`."""

import json
import os
import tempfile

import pytest
import tensorflow as tf
from tfx.dsl.io import fileio

from tests import ramfs, stand_ins
from tests.scorer import export
from tfxray.components.common import artifacts, filenames, filesystem
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, record_scan
from tfxray.components.layouts import registry
from tfxray.components.predict import batch_job, pushed_model
from tfxray.components.review.page import write_page
from tfxray.components.source import labelling, tfrecords
from tfxray.pipeline import data_folder, pipeline
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.engines import launch
from tfxray.pipeline.places import Places, write_schema
from tfxray.pipeline.records import Records
from tfxray.pipeline.runs import lineage

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A folder on `ram://`; what is written to this machine's meanwhile can be looked at."""
    monkeypatch.setattr(tf.io.gfile, "rename", ramfs.rename)
    for name in ("work", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return f"ram://{tmp_path.name}"


def copied(source, target):
    """Copies images and manifest; returns the target."""
    for name in filesystem.list_names(str(source)):
        path = os.path.join(target, name)
        fileio.makedirs(os.path.dirname(path))
        fileio.copy(str(source / name), path)
    return target


def add(source, name, label, content):
    """One more image, listed in the manifest; without content, listed only."""
    with filesystem.open_file(f"{source}/manifest.csv") as file:
        listed = file.read().decode()
    rows = listed.splitlines()
    columns = rows[0].split(",")
    row = {"path": name, "label": label}
    filesystem.write_file(
        f"{source}/manifest.csv",
        "\n".join([*rows, ",".join(row.get(c, "") for c in columns), ""]).encode(),
    )
    if content:
        filesystem.write_file(f"{source}/{name}", content)


def test_a_pipeline_runs_from_ingest_to_a_pushed_model(drawn, quick_config, elsewhere, tmp_path):
    # The check of the export runs in a process of its own, which sees no other's memory; that it
    # reads elsewhere, too: tests/test_end_to_end.py.
    config = load_config(quick_config, ("train.distribution=one_device",))
    source = copied(drawn, f"{elsewhere}/in")
    add(source, "NORMAL/../../outside.png", "NORMAL", None)
    add(source, "NORMAL/gone.png", "NORMAL", None)
    add(source, "NORMAL/twin.png", "NORMAL", next(drawn.rglob("PNEUMONIA/*.png")).read_bytes())
    rules = data_folder.label_rules(config, data_folder.Folder(source, None))
    told = job.ingest(source, f"{elsewhere}/records", rules)
    assert told.reasons == {"outside": 1, "unreadable": 1, "duplicate": 2}
    layout = tfrecords.find_layout(f"{elsewhere}/records")
    assert record_scan.check_records(layout, Task(CLASSES)).examples == 299
    connection = pipeline_metadata(tmp_path)
    places = Places(
        root=f"{elsewhere}/artifacts",
        serving=f"{elsewhere}/serving/demo",
        schema=write_schema(config, f"{elsewhere}/schema"),
        state=f"{elsewhere}/state",
    )
    report = json.loads(filesystem.open_file(f"{elsewhere}/records/ingest.json").read())
    held = Records(layout.base, layout.globs, report=report)
    graph = pipeline.create_pipeline(config, held, places, connection)
    ir = launch.compile_run(graph, "one")
    for node in launch.list_nodes(ir):
        launch.run_node(ir, node, connection)

    done = lineage.node_runs(connection, config.name, "one")
    assert {run.state for run in done.values()} == {"COMPLETE"}
    uris = lineage.output_uris(done)
    assert all(uri.startswith("ram://") for uri in uris.values())
    assert uris.keys() >= {"Evaluator.blessing", "Pusher.pushed_model", "DataGate.verdict"}
    # Whoever goes on with the model finds it there: by its signatures, and by its heat maps.
    model = pushed_model.find_model(f"{elsewhere}")
    assert model.startswith(f"{elsewhere}/serving/demo/")
    assert set(tf.saved_model.load(model).signatures) == {"serving_default", "serving_bytes"}
    first = next(name for name in filesystem.list_names(source) if name.endswith(".png"))
    assert pushed_model.predict_images([f"{source}/{first}"], elsewhere, force=True)[0].scores
    assert fileio.exists(os.path.join(model, filenames.EXPLAIN))
    assert artifacts.list_folder(uris["Trainer.model_run"]) == [
        "history.json", "metrics.json", "network.json", "operating_point.json", "probe.json",
        "scored.npz", "site_transfer.json", "train", "validation",
    ]  # fmt: skip
    summary = {"run_id": "one", "status": "pushed", "threshold": 0.6, "pushed_model": model}
    write_page(f"{elsewhere}/review.html", summary, config.to_yaml(), uris)
    with fileio.open(f"{elsewhere}/review.html") as page:
        assert "data:image/jpeg" in page.read()
    # TensorFlow's own scratch is code that it generates while it traces; it removes it at its end.
    here = filesystem.list_names(str(tmp_path))
    assert [name for name in here if "__autograph_generated" not in name] == ["metadata.db"]


def pipeline_metadata(folder):
    from tfx.orchestration import metadata

    return metadata.sqlite_metadata_connection_config(str(folder / "metadata.db"))


def test_an_ingest_replaces_its_own_records_and_nothing_else(drawn, elsewhere):
    rules = labelling.Rules(CLASSES)
    for patient, path in enumerate(sorted(drawn.rglob("*.png"))[::30]):
        filesystem.write_file(f"{elsewhere}/in/{path.parent.name}/{patient}.png", path.read_bytes())
    for _ in range(2):
        job.ingest(f"{elsewhere}/in", f"{elsewhere}/records", rules)
        held = filesystem.list_names(f"{elsewhere}/records")
        assert held == ["data-00000-of-00001.tfrecord", "ingest.json", "rejects.csv"]
    # A key of pseudonyms is kept where its owner alone can read it, or not at all.
    assert not [name for name in filesystem.list_names(elsewhere) if "pseudonym" in name]
    before = filesystem.list_names(f"{elsewhere}/in")
    with pytest.raises(UserError, match="it would be lost"):
        job.ingest(f"{elsewhere}/records", f"{elsewhere}/in", rules)
    assert filesystem.list_names(f"{elsewhere}/in") == before
    with pytest.raises(UserError, match="no such folder"):
        labelling.label_images(f"{elsewhere}/none", rules)
    with pytest.raises(UserError, match="cannot be listed: Unable to get filesystem"):
        labelling.label_images("nowhere://bucket", rules)
    with pytest.raises(UserError, match="Beam lists one folder, and not those below it"):
        tfrecords.find_layout("hdfs://host:8020/records")


def test_a_folder_is_scored_where_no_part_of_it_is_local(drawn, elsewhere, tmp_path):
    model = export(tmp_path / "model")
    for path in sorted(drawn.rglob("*.png"))[:3]:
        filesystem.write_file(f"{elsewhere}/in/{path.name}", path.read_bytes())
    job = batch_job.Job(f"{elsewhere}/in", f"{elsewhere}/out", model)
    assert job.run().images == 3
    assert filesystem.list_names(f"{elsewhere}/out") == [
        "predict.json",
        "predictions.csv",
        "rejects.csv",
        "statistics.json",
    ]
    with filesystem.open_file(f"{elsewhere}/out/predictions.csv") as file:
        assert len(file.read().decode().splitlines()) == 4
    assert batch_job.Job(f"{elsewhere}/in", f"{elsewhere}/out", model).earlier_report


def test_a_public_data_set_is_found_and_read_elsewhere(elsewhere, tmp_path):
    stand_ins.nih(tmp_path / "nih", ["Effusion", "Cardiomegaly", "Pneumothorax"], images=40)
    source = copied(tmp_path / "nih", f"{elsewhere}/in")
    said = []
    found = data_folder.find_folder(source, None, said.append)
    assert found == (source, registry.by_name("nih"))
    told = job.ingest(source, f"{elsewhere}/records", data_folder.label_rules(None, found))
    assert told.images == 40
    assert told.dataset["name"] == "nih"
    assert told.classes == ("Cardiomegaly", "Effusion", "Pneumothorax")
