"""`tfxray init`: what it makes of folders as people have them, and that it writes a config."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.dicoms import dicom
from tests.pipeline.proposal.folders import touch
from tfxray.components.common import contract


@pytest.fixture
def init(tfxray, tmp_path, monkeypatch):
    """Runs the command on the folder `in`; the keys that it wrote, and what it said."""
    monkeypatch.chdir(tmp_path)

    def call(*options):
        done = tfxray("init", "in", *options)
        assert done.code == 0, done.err
        assert done.out.strip() == "in.yaml"
        text = (tmp_path / "in.yaml").read_text()
        assert max(len(line) for line in text.splitlines()) <= 100 or "pattern" in text
        return yaml.safe_load(text), done.err

    return call


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_class_folders_and_numbers_in_names(init, folder):
    for patient in range(12):
        label = "Viral Pneumonia" if patient % 3 == 1 else "COVID" if patient % 3 else "Normal"
        touch(folder, f"{label}/P{patient:03d}_0.png", f"{label}/P{patient:03d}_1.png")
    keys, said = init()
    assert keys["classes"] == ["Normal", "COVID", "Viral Pneumonia"]  # the negative one first
    assert keys["name"] == "in"
    assert "12 patients of 24 images by the file names" in said
    assert "COVID/P002_0.png is of patient P002" in said
    assert "patients: 12" in said.splitlines()
    assert "patients of Normal in the split test: about 1; the gate asks for 10" in said
    assert keys["gate"]["auc"]["threshold"] == 0.7  # a mean of three


def test_split_folders_are_no_classes(init, folder):
    for split in ("train", "val", "test"):
        touch(
            folder, *(f"{split}/{label}/{n}.png" for label in ("sick", "healthy") for n in (1, 2))
        )
    keys, said = init()
    assert keys["classes"] == ["healthy", "sick"]
    assert "given by the folders test, train, val" in said
    assert "each image counts as a patient of its own" in (folder.parent / "in.yaml").read_text()


@pytest.mark.parametrize(
    ("names", "example", "patients"),
    [
        ("patient{:05d}/study1/view{}_frontal.png", "patient00000", 6),
        ("IM-{:04d}-000{}.png", "IM-0000", 6),
        ("{:08d}_00{}.png", "00000000", 6),
        ("no {:02d} of 9/{}.png", "no 00 of 9", 6),
    ],
)
def test_patterns_of_patients(init, folder, names, example, patients):
    for label in ("a", "b"):
        for patient in range(0 if label == "a" else 3, 3 if label == "a" else 6):
            touch(folder, *(f"{label}/{names.format(patient, image)}" for image in (1, 2, 3)))
    _, said = init()
    assert f"{patients} patients of 18 images by the file names" in said
    assert f"is of patient {example}" in said


def test_numbers_that_begin_anew_in_each_class_are_told(init, folder):
    for label in ("ill", "well"):
        touch(folder, *(f"{label}/{patient}_{n}.png" for patient in range(4) for n in (0, 1)))
    _, said = init()
    assert "4 of these patients have images in several class folders" in said


def test_montgomerys_names_without_its_folders(init, folder):
    touch(folder, *(f"MCUCXR_{n:04d}_{n % 2}.png" for n in range(6)))
    keys, _ = init("--dataset", "none")
    assert keys["classes"] == ["negative", "positive"]
    assert keys["ingest"]["labels"] == {"0": "negative", "1": "positive"}
    touch(folder, *(f"CHNCXR_{n:04d}_{n % 2}.png" for n in range(6)))
    (folder.parent / "in.yaml").unlink()
    _, said = init("--dataset", "none")
    assert "labels: negative 6, positive 6; 12 images" in said


def test_a_table_of_others(init, folder):
    touch(folder, *(f"images/{n}.png" for n in range(8)))
    rows = [f"{n},{n // 2},{'F' if n % 2 else 'M'},{'Effusion' if n % 4 > 1 else 'No Finding'}"
            for n in range(8)]  # fmt: skip
    (folder / "data.csv").write_text("\n".join(["Image,Subject ID,Gender,Diagnosis", *rows]))
    (folder / "notes.csv").write_text("who,when\nme,today\n")
    keys, said = init()
    assert keys["classes"] == ["No Finding", "Effusion"]
    assert keys["ingest"] == {
        "manifest": "data.csv", "extension": "png",
        "columns": {"path": "Image", "label": "Diagnosis", "patient": "Subject ID",
                    "sex": "Gender"},
    }  # fmt: skip
    assert "patients: 4" in said.splitlines()
    assert "not understood: 1 table or text, which is not read: notes.csv" in said


def test_columns_of_findings(init, folder):
    touch(folder, *(f"{n}.png" for n in range(6)))
    rows = [f"{n}.png,{n},{n % 2},{(n + 1) % 2},30" for n in range(6)]
    (folder / "t.csv").write_text("\n".join(["path,patient,Edema,Effusion,weight", *rows]))
    keys, said = init()
    assert keys["findings"] == ["Edema", "Effusion"]
    assert "labels: Edema 3, Effusion 3; 6 images" in said
    assert "columns that are not read: weight" in said
    assert keys["gate"]["unjudged"] == "name"


def test_a_public_data_set(init, folder):
    for label in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        touch(folder, *(f"{label}/images/{label}-{n}.png" for n in (1, 2)))
    keys, said = init()
    assert keys["ingest"] == {"dataset": "covid19_radiography"}
    assert "this is COVID-19 Radiography Database" in said
    assert "labels: Normal 2, Lung_Opacity 2, Viral Pneumonia 2, COVID 2; 8 images" in said
    assert "labels: {Lung_Opacity: null}" in " ".join(
        (folder.parent / "in.yaml").read_text().replace("#", "").split()
    )


def test_dicom_names_no_file(init, folder):
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label).mkdir()
        for n in (1, 2):
            path = folder / label / f"Doe_Jane_{n}_1.dcm"
            path.write_bytes(dicom(np.zeros((16, 16))))
    keys, said = init()
    assert keys["classes"] == ["NORMAL", "PNEUMONIA"]
    assert "patients: DICOM files tell them, by pseudonyms" in said
    # The line on what is known before contradicts that no more.
    assert "not told for all images yet; DICOM files may tell them when a run reads them" in said
    assert "Doe" not in said + (folder.parent / "in.yaml").read_text()


def write_records(path, name, rows):
    with tf.io.TFRecordWriter(str(path / name)) as writer:
        for row in rows:
            example = tf.train.Example()
            for key, value in row.items():
                kind = "bytes_list" if isinstance(value, bytes) else "int64_list"
                getattr(example.features.feature[key], kind).value.append(value)
            writer.write(example.SerializeToString())


PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def test_records_by_the_contract(init, folder):
    names = [b"well", b"ill"]
    write_records(folder, "x.tfrecord", [
        {contract.IMAGE: PNG, contract.LABEL: n % 2, contract.TEXT: names[n % 2],
         contract.PATIENT: b"p%d" % n} for n in range(4)
    ])  # fmt: skip
    keys, said = init()
    assert keys["classes"] == ["well", "ill"]
    assert "ingest" not in keys
    assert "1 files of TFRecords; 4 records looked at" in said


def test_records_under_other_names(init, folder):
    write_records(folder, "x.tfrecord", [
        {"jpg": PNG, "has_label": n % 2, "patient_nr": n, "weight": 3} for n in range(4)
    ])  # fmt: skip
    keys, said = init()
    assert keys["ingest"]["features"] == {
        contract.IMAGE: "jpg", contract.LABEL: "has_label", contract.PATIENT: "patient_nr",
    }  # fmt: skip
    assert keys["classes"] == ["negative", "positive"]
    assert "not understood: features that are not read: weight" in said


def test_nothing_is_overwritten_and_the_next_step_is_told(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, *(f"in/{n}.png" for n in range(5)))
    (tmp_path / "in" / "notes.txt").write_text("Dear Sir\n")
    refusal = tfxray("init", "in")
    assert refusal.code == 2
    assert "nothing tells the classes of the images. Seen: 5 images (5 at depth 0)" in refusal.err
    assert "in/NORMAL and in/PNEUMONIA" in refusal.err
    assert not (tmp_path / "in.yaml").exists()
    (tmp_path / "in.yaml").write_text("mine")
    refusal = tfxray("init", "in")
    assert "in.yaml: is there, and is not overwritten; give another name (--out)" in refusal.err
    assert (tmp_path / "in.yaml").read_text() == "mine"
    shutil.rmtree(tmp_path / "in")
    assert "no such folder" in tfxray("init", "in", "--out", "o.yaml").err
    (tmp_path / "in").mkdir()
    assert "holds no images and no TFRecords" in tfxray("init", "in", "--out", "o.yaml").err


def test_hostile_names_stay_within_their_line(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = "x\n  name: evil\x1b[31m: {"
    touch(
        tmp_path,
        *(f"{odd}/{label}/{n}.png" for label in ("no: [", "b\nclasses: [z") for n in (1, 2)),
    )
    done = tfxray("init", odd, "--out", "o.yaml")
    assert done.code == 0, done.err
    assert "\x1b" not in done.err + done.out
    assert r"--data $'x\012  name: evil\033[31m: {'" in done.err  # a shell reads the very name
    keys = yaml.safe_load((tmp_path / "o.yaml").read_text())
    assert sorted(keys["classes"]) == ["b\nclasses: [z", "no: ["]
    assert json.dumps(keys["name"]) == '"x_name_evil_31m"'


def test_a_part_of_a_public_data_set_asks_for_the_findings_that_it_has(init, folder):
    names = {"1": "Edema", "2": "Mass|Edema", "3": "No Finding"}
    rows = [f"{int(n):08d}_000.png,{text},0,{n},50,F,PA" for n, text in names.items()]
    heading = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    )
    (folder / "Data_Entry_2017.csv").write_text("\n".join([heading, *rows]))
    files = [f"{int(n):08d}_000.png" for n in names]
    (folder / "train_val_list.txt").write_text("\n".join(files[:2]))
    (folder / "test_list.txt").write_text(files[2])
    touch(folder, *(f"images_001/images/{int(n):08d}_000.png" for n in names))
    keys, said = init()
    assert sorted(keys["findings"]) == ["Edema", "Mass"]
    assert "no image has Atelectasis, " in said
    assert "left out of the findings of the config" in said


def test_a_config_is_written_where_a_run_would_refuse_the_labels(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, *(f"in/{n}.png" for n in range(6)))
    rows = [f"{n}.png,{('well', 'ill')[n % 2]},0" for n in range(6)]
    (tmp_path / "in" / "t.csv").write_text("\n".join(["path,label,patient", *rows]))
    refusal = tfxray("init", "in")
    assert refusal.code == 2
    assert "6 of 6 images name one and the same patient" in refusal.err
    assert "in.yaml is written: change it there, then run tfxray config --config" in refusal.err
    assert yaml.safe_load((tmp_path / "in.yaml").read_text())["classes"] == ["well", "ill"]


def test_the_screen_says_which_class_is_positive(init, folder):
    touch(folder, *(f"{label}/{n}.png" for label in ("Healthy lungs", "Abnormal") for n in (1, 2)))
    _, said = init()
    assert "task: is an X-ray Abnormal (positive) or Healthy lungs (negative)?" in said
