"""What is seen before the first node: classes other than those that clients know; records."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from tests import stand_ins
from tests.components.ingest.test_record_check import FULL, record
from tests.scorer import export
from tfxray.components.common import contract, filenames
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, record_scan
from tfxray.components.layouts import registry
from tfxray.components.predict import pushed_model
from tfxray.pipeline import data_folder, prepare
from tfxray.pipeline.config.config import Config

SERVED = ["NORMAL", "PNEUMONIA"]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """An `--out` with versions alone: one that names its classes, as an older tfxray, by itself."""
    out = tmp_path_factory.mktemp("out")
    export(out / "serving" / "older" / "7")
    version = export(out / "serving" / "newer" / "8")
    (version / filenames.CLASSES).parent.mkdir()
    (version / filenames.CLASSES).write_text(json.dumps(SERVED))
    return out


@pytest.mark.parametrize("name", ["older", "newer"])
@pytest.mark.parametrize("classes", [SERVED[::-1], ["normal", "PNEUMONIA"], ["NORMAL", "ILL"]])
def test_classes_other_than_the_served_ones_are_refused(pushed, name, classes):
    with pytest.raises(UserError, match="clients would read the scores wrongly") as refused:
        prepare.check_classes(Config(name=name, classes=classes), str(pushed))
    assert f'["NORMAL", "PNEUMONIA"], which {pushed / "serving" / name}' in str(refused.value)
    for gate in ({"replaces_classes": classes}, {"replaces_classes": SERVED[:1]}):
        with pytest.raises(UserError):
            prepare.check_classes(Config(name=name, classes=classes, gate=gate), str(pushed))


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "older", "classes": SERVED},
        {"name": "newer", "classes": SERVED},
        {"name": "newer", "classes": SERVED[::-1], "gate": {"replaces_classes": SERVED}},
        {"name": "newer", "classes": SERVED[::-1], "serving": {"model_name": "another"}},
    ],
)
def test_the_same_classes_a_change_that_is_meant_and_another_model_pass(pushed, keys):
    prepare.check_classes(Config(**keys), str(pushed))


def test_a_version_that_cannot_be_read_is_told_apart_from_none(tmp_path):
    assert pushed_model.read_served(tmp_path / "none") == pushed_model.Served()
    (tmp_path / "empty" / "3").mkdir(parents=True)
    assert pushed_model.read_served(tmp_path / "empty").version == str(tmp_path / "empty" / "3")
    broken = tmp_path / "broken" / "4"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no model")
    assert pushed_model.read_served(tmp_path / "broken") == pushed_model.Served(str(broken))


def test_a_run_of_turned_classes_ends_before_anything_is_trained(
    tfxray, drawn, small_config, tmp_path
):
    export(tmp_path / "serving" / "demo" / "7")
    done = tfxray(
        "run", "--config", small_config, "--data", drawn, "--out", tmp_path,
        "--set", "classes=[PNEUMONIA, NORMAL]",
    )  # fmt: skip
    assert done.code == 2
    assert 'set gate.replaces_classes to ["NORMAL", "PNEUMONIA"]' in done.err
    assert not (tmp_path / "metadata.db").exists()


def test_records_are_checked_once_until_they_or_the_config_change(tmp_path, monkeypatch):
    source, out = tmp_path / "records", tmp_path / "out"
    source.mkdir()
    checked, check = [], record_scan.check_records

    def count(layout, *arguments):
        checked.append(layout.files)
        return check(layout, *arguments)

    def prepare_records(classes=SERVED):
        config = Config(name="x", classes=classes)
        return prepare.prepare_records(str(source), config, lambda *_, **__: None, str(out))

    def write(name, *labels):
        with tf.io.TFRecordWriter(str(source / name)) as writer:
            for label in labels:
                writer.write(record(label=label, **FULL))

    monkeypatch.setattr(record_scan, "check_records", count)
    write("a.tfrecord", 0, 1)
    before = prepare_records()
    assert prepare_records() == before
    assert len(checked) == 1
    write("b.tfrecord", 1)
    assert prepare_records().images == before.images + 1
    assert len(checked) == 2
    with pytest.raises(UserError, match="name different classes"):
        prepare_records(SERVED[::-1])
    assert len(checked) == 3
    for note in out.glob("data/checked-*.json"):
        note.write_text("{}")  # damaged
    assert prepare_records().images == before.images + 1
    assert len(checked) == 4


def test_the_end_of_an_ingest_has_a_line_for_each_note_of_odd_images(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(record(**FULL))
    notes = {"slope odd": {"count": 7, "names": ["a"]}, "window odd": {"count": 1, "names": ["b"]}}
    report = {"found": 2, "images": 2, "rejected": 1, "reasons": {"truncated": 1},
              "left_out": {}, "notes": [], "patients_known": False, "without_patient": 1,
              "largest_patient": 1, "not_understood": {},
              "image_notes": notes}  # fmt: skip
    ingest = SimpleNamespace(folder=str(tmp_path), wait=lambda say: report)
    lines = []
    data = prepare.finish_ingest(ingest, lambda line, **_: lines.append(line))
    assert data.outcome["without_patient"] == 1
    assert lines[0].startswith("  1 of 2 rejected (truncated: 1): ")
    assert lines[2].startswith("  1 of 1 images name no patient, and count as a patient each")
    assert lines[-2:] == [
        "  7 odd images, used all the same: slope odd (ingest.json names the first of them)",
        "  1 odd images, used all the same: window odd (ingest.json names them)",
    ]


def test_one_id_for_all_patients_is_said_before_a_split_is_empty(tmp_path):
    said = []
    for name, patients in {"one": ["0"] * 9, "most": ["0"] * 6 + ["1", "2", "3"]}.items():
        (tmp_path / name).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / name / "a.tfrecord")) as writer:
            for number, patient in enumerate(patients):
                own = {**FULL, contract.PATIENT: patient.encode()}
                writer.write(record(label=number % 2, **own))
        config = Config(name="x", classes=SERVED)
        with pytest.raises(UserError, match="name one and the same patient") as refused:
            prepare.prepare_records(str(tmp_path / name), config, lambda *_, **__: None)
        said.append(str(refused.value))
    assert "9 of 9 images" in said[0]
    assert "6 of 9 images" in said[1]
    assert all("ingest.pattern: '(?P<patient>.+)'" in text for text in said)


def test_records_without_eval_are_ingested(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / split / "a.tfrecord")) as writer:
            writer.write(record(label=0, **FULL))
    said = []

    def prepare_records(start_ingest=None, **split):
        config = Config(name="x", classes=SERVED, split=split)
        prepare.prepare_records(
            str(tmp_path), config, lambda line, **_: said.append(line), None, start_ingest
        )

    def ingest():
        raise UserError("as an ingest does")

    with pytest.raises(UserError, match="20% of the patients in train are drawn for eval"):
        prepare_records(train=0.7, eval=0.2, test=0.1)
    with pytest.raises(UserError, match="as an ingest does"):
        prepare_records(ingest, eval_from_train=0.1)
    assert said == [
        "  10% of the patients in train are drawn for eval: the records are ingested, as images are"
    ]


def test_records_that_were_ingested_before_tell_their_data_set(tmp_path):
    stand_ins.covid19_radiography(tmp_path / "covid", images=60)
    folder = tmp_path / "covid" / "COVID-19_Radiography_Dataset"
    dataset = registry.by_name("covid19_radiography")
    rules = data_folder.label_rules(None, data_folder.Folder(str(folder), dataset))
    report = job.ingest(folder, tmp_path / "records", rules)
    config = Config(name="covid", classes=list(report.classes))
    data = prepare.prepare_records(str(tmp_path / "records"), config, print)
    assert data.outcome["dataset"]["title"] == "COVID-19 Radiography Database"
    assert data.outcome["left_out"] == report.left_out
    assert data.records.report is None  # what the gate counts is what this run set aside
    (tmp_path / "records" / "ingest.json").unlink()
    assert prepare.prepare_records(str(tmp_path / "records"), config, print).outcome == {}


def test_records_that_name_no_patient_are_counted_in_the_summary(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for label in (0, 1, 1):
            writer.write(record(label=label, **{**FULL, contract.PATIENT: None}))
    config = Config(name="x", classes=SERVED)
    data = prepare.prepare_records(str(tmp_path), config, lambda *_, **__: None)
    assert data.outcome == {"without_patient": 3}
