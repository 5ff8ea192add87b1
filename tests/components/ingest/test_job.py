import csv
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.dicoms import encode, write
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, output, reading, record_scan
from tfxray.components.pixels import grey, image
from tfxray.components.source import labelling, tfrecords

CLASSES = ("NORMAL", "PNEUMONIA")
WINDOW = {"WindowCenter": 2048, "WindowWidth": 2048}


def examples(folder):
    paths = [str(p) for p in sorted(folder.rglob("*.tfrecord"))]
    for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


def test_images_become_records_by_the_contract_and_the_unreadable_are_set_aside(drawn, tmp_path):
    source = tmp_path / "in"
    shutil.copytree(drawn, source)
    good = next((source / "NORMAL").glob("*.png"))
    (source / "NORMAL" / "cut.png").write_bytes(good.read_bytes()[:100])
    (source / "NORMAL" / "empty.png").write_bytes(b"")
    (source / "PNEUMONIA" / "letter.png").write_text("Dear Sir")
    with (source / "manifest.csv").open("a") as file:
        file.write(
            "NORMAL/cut.png,NORMAL\nNORMAL/empty.png,NORMAL\nPNEUMONIA/letter.png,PNEUMONIA\n"
        )
        file.write("../outside.png,NORMAL\nNORMAL/gone.png,NORMAL\n")
    (tmp_path / "outside.png").write_bytes(good.read_bytes())

    report = job.ingest(source, tmp_path / "out", labelling.Rules(CLASSES))

    assert (report.images, report.written, report.rejected) == (305, {"all": 300}, 5)
    rows = list(csv.DictReader((tmp_path / "out" / "rejects.csv").open()))
    assert {row["name"]: row["reason"] for row in rows} == {
        "../outside.png": "outside",
        "NORMAL/empty.png": "empty",
        "NORMAL/cut.png": "truncated",
        "PNEUMONIA/letter.png": "not_an_image",
        "NORMAL/gone.png": "unreadable",
    }
    records = list(examples(tmp_path / "out"))
    row = next(csv.DictReader((drawn / "manifest.csv").open()))
    first = next(
        e for e in records if e[contract.FILENAME].bytes_list.value[0].decode() == row["path"]
    )
    xray = image.read_image((drawn / row["path"]).read_bytes())
    assert set(first) == set(contract.FEATURES)
    assert first[contract.IMAGE].bytes_list.value[0] == (drawn / row["path"]).read_bytes()
    assert first[contract.PATIENT].bytes_list.value[0].decode() == row["patient"]
    assert first[contract.AGE].float_list.value[0] == float(row["age"])
    assert first[contract.SHARPNESS].float_list.value[0] == pytest.approx(xray.sharpness, rel=1e-5)
    assert first[contract.LABEL].int64_list.value[0] == CLASSES.index(row["label"])
    assert json.loads((tmp_path / "out" / "ingest.json").read_text())["rejected"] == 5


def test_records_under_other_names_are_mapped(drawn, tmp_path):
    (tmp_path / "in").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "in" / "data.tfrecord")) as writer:
        for i, path in enumerate(sorted(drawn.rglob("*.png"))[::10]):
            example = tf.train.Example()
            feature = example.features.feature
            feature["x"].bytes_list.value.append(path.read_bytes() if i else b"broken")
            feature["diagnosis"].bytes_list.value.append(path.parent.name.encode())
            feature["who"].int64_list.value.append(i // 2)
            writer.write(example.SerializeToString())
    mapping = {contract.IMAGE: "x", contract.TEXT: "diagnosis", contract.PATIENT: "who"}
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES), mapping)
    assert (report.images, report.written, report.rejected) == (30, {"all": 29}, 1)
    assert report.patients_known
    scan = record_scan.check_records(tfrecords.find_layout(tmp_path / "out"), Task(CLASSES))
    assert (scan.examples, scan.group) == (29, contract.PATIENT)


def test_eval_is_drawn_by_patient_out_of_records_that_lack_it(drawn, tmp_path):
    rows = list(csv.DictReader((drawn / "manifest.csv").open()))
    for split, part in (("train", rows[:240]), ("test", rows[240:])):
        (tmp_path / "in" / split).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / "in" / split / "a.tfrecord")) as writer:
            for row in part:
                example = tf.train.Example()
                for name, value in (
                    (contract.IMAGE, (drawn / row["path"]).read_bytes()),
                    (contract.TEXT, row["label"].encode()),
                    (contract.PATIENT, row["patient"].encode()),
                ):
                    example.features.feature[name].bytes_list.value.append(value)
                writer.write(example.SerializeToString())
    rules = labelling.Rules(CLASSES, eval_share=0.3)
    report = job.ingest(tmp_path / "in", tmp_path / "out", rules, {})
    assert sum(report.written.values()) == 300
    assert report.written["test"] == 60
    assert 40 < report.written["eval"] < 110
    assert report.notes == ("splits: 30% of the patients in train are drawn for eval",)
    patients = {
        split: {e[contract.PATIENT].bytes_list.value[0] for e in examples(tmp_path / "out" / split)}
        for split in ("train", "eval")
    }
    assert not patients["train"] & patients["eval"]

    rules = labelling.Rules(CLASSES, ignore_given=True)
    assert job.ingest(tmp_path / "in", tmp_path / "all", rules, {}).written == {"all": 300}


def test_nothing_readable_is_refused_and_leaves_no_output(tmp_path):
    for name in CLASSES:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.png").write_bytes(b"no")
    with pytest.raises(UserError, match="none of 2 images could be read"):
        job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "pseudonym.key"]


def test_a_folder_of_something_else_is_not_overwritten(drawn, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(UserError, match="it would be lost"):
        job.ingest(drawn, tmp_path, labelling.Rules(CLASSES))
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"
    for _ in range(2):  # what an ingest wrote, the next may replace
        job.ingest(drawn, tmp_path / "records", labelling.Rules(CLASSES))


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
def test_nothing_is_lost_in_any_of_beams_modes(drawn, tmp_path, mode):
    source = tmp_path / "in"
    shutil.copytree(drawn, source)
    for number, path in enumerate(sorted((source / "NORMAL").glob("*.png"))[:7]):
        path.write_bytes(path.read_bytes()[: 50 + number])
    # Two names are no UTF-8; one of these images can be read.
    (source / "manifest.csv").unlink()
    for number, path in enumerate(sorted((source / "NORMAL").glob("*.png"))[6:8]):
        path.rename(source / "NORMAL" / os.fsdecode(b"caf\xe9%d.png" % number))
    for path in sorted((source / "PNEUMONIA").glob("*.png"))[:9]:
        levels = np.asarray(Image.open(path)).astype(np.float32)
        levels[0, 0] = np.nan
        Image.fromarray(levels).save(path.with_suffix(".tif"))
        path.unlink()
    options = (f"--direct_running_mode={mode}", "--direct_num_workers=2")
    report = job.ingest(
        source, tmp_path / "out", labelling.Rules(CLASSES, tolerated=1.0), options=options
    )
    assert report.images == 300
    assert report.reasons == {"truncated": 7}
    assert sum(report.written.values()) == len(list(examples(tmp_path / "out"))) == 293
    assert report.image_notes[grey.NOT_FINITE]["count"] == 9
    first = sorted(path.name for path in (source / "PNEUMONIA").glob("*.tif"))[:5]
    assert report.image_notes[grey.NOT_FINITE]["names"] == [f"PNEUMONIA/{name}" for name in first]


def test_processes_of_our_own_give_the_same_records(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_WORTH_PROCESSES", 10)
    source = tmp_path / "in"
    shutil.copytree(drawn, source)
    next((source / "NORMAL").glob("*.png")).write_bytes(b"no image")
    (source / "NORMAL" / "up.png").symlink_to(drawn / "manifest.csv")
    folders = []
    for processes in (1, 2):
        folders.append(tmp_path / f"out{processes}")
        job.ingest(
            source, folders[-1], labelling.Rules(CLASSES, tolerated=1.0), processes=processes
        )
    one, two = ([e["image/filename"] for e in examples(folder)] for folder in folders)
    assert one == two
    rejects = [(folder / "rejects.csv").read_text() for folder in folders]
    assert rejects[0] == rejects[1]
    assert "not_an_image" in rejects[0]


def write_set(folder, rows, columns):
    """Images of noise, so that none is like another, and a manifest."""
    lines = [",".join(["path", *columns])]
    for number, row in enumerate(rows):
        path = folder / CLASSES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(grey).save(path)
        lines.append(",".join([str(path.relative_to(folder)), *row]))
    (folder / "manifest.csv").write_text("\n".join(lines))


def test_a_manifest_says_ages_sexes_and_views_in_many_ways(tmp_path):
    rows = {
        ("018M", "Male", "PA"): (1.5, b"M", b"PA"),
        ("006D", "female", "AP Supine"): (6 / 365.25, b"F", b"AP"),
        ("03/05/1961", "Mujer", "POSTERO_ANTERIOR"): (None, b"F", b"PA"),
        ("18 months", "Missing", "LATERAL"): (1.5, None, b"LL"),
        ("-1", "W", "AP/PA"): (None, None, None),
        ("058Y", "F", ""): (58, b"F", None),
    }
    write_set(tmp_path / "in", list(rows), ("age", "sex", "view"))
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert (report.written, report.rejected) == ({"all": 6}, 0)
    assert report.not_understood == {"age": 2, "sex": 1, "view": 1}
    assert json.loads((tmp_path / "out/ingest.json").read_text())["not_understood"]["age"] == 2
    by_name = {f[contract.FILENAME].bytes_list.value[0]: f for f in examples(tmp_path / "out")}
    for number, (age, *texts) in enumerate(rows.values()):
        features = by_name[f"{CLASSES[number % 2]}/{number}.png".encode()]
        ages = list(features[contract.AGE].float_list.value)
        assert ages == ([] if age is None else [pytest.approx(age)])
        for name, text in zip((contract.SEX, contract.VIEW), texts, strict=True):
            assert list(features[name].bytes_list.value) == ([] if text is None else [text])


def test_letters_for_sexes_that_mean_the_other_one_end_the_ingest(tmp_path):
    write_set(tmp_path / "in", [("H",), ("M",), ("M",), ("H",)], ("sex",))
    with pytest.raises(UserError, match="sexes are given as M and as H"):
        job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))


def test_a_manifest_that_says_nothing_hides_no_tag(tmp_path):
    lines = ["path,label,patient,sex"]
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 4095, (32, 32))
        write(tmp_path / "in" / f"{number}.dcm", values, number)
        lines.append(f"{number}.dcm,{CLASSES[number % 2]},n/a,Unknown")
    (tmp_path / "in" / "manifest.csv").write_text("\n".join(lines))
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert (report.patients_known, report.not_understood) == (True, {})
    assert report.largest_patient == 2
    sexes = {features[contract.SEX].bytes_list.value[0] for features in examples(tmp_path / "out")}
    assert sexes == {b"F"}


def test_odd_images_are_counted_and_some_are_named_as_the_records_name_them(tmp_path):
    for number in range(8):
        values = np.random.default_rng(number).integers(0, 4095, (32, 32))
        odd = {"RescaleSlope": 0} if number < 7 else {"VOILUTFunction": "X", **WINDOW}
        path = tmp_path / "in" / CLASSES[number % 2] / f"Doe_{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(values, PatientID=f"P{number}", **odd))
    levels = np.linspace(0, 4095, 1600, dtype=np.float32).reshape(40, 40)
    levels[0, 0] = np.nan
    Image.fromarray(levels).save(tmp_path / "in" / CLASSES[0] / "float.tif")
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert report.written == {"all": 9}
    slope, function = "RescaleSlope is empty or odd", "VOILUTFunction is odd; taken as LINEAR"
    counts = {
        note: (told["count"], len(told["names"])) for note, told in report.image_notes.items()
    }
    assert counts == {slope: (7, 5), function: (1, 1), grey.NOT_FINITE: (1, 1)}
    assert report.image_notes[grey.NOT_FINITE]["names"] == ["NORMAL/float.tif"]
    names = {e[contract.FILENAME].bytes_list.value[0].decode() for e in examples(tmp_path / "out")}
    assert names >= {*report.image_notes[slope]["names"], *report.image_notes[function]["names"]}
    told = (tmp_path / "out/ingest.json").read_text()
    assert json.loads(told)["image_notes"] == report.image_notes
    assert "Doe" not in told
    assert output.describe_image_notes(report.image_notes)[0] == (
        f"7 odd images, used all the same: {slope} (ingest.json names the first of them)"
    )


def test_a_split_that_all_patients_are_drawn_out_of_is_named(tmp_path):
    for number in range(8):
        path = tmp_path / "in" / ("test", "train")[number // 4] / CLASSES[number % 2]
        path.mkdir(parents=True, exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(grey).save(path / f"P{number}.png")
    rules = labelling.Rules(CLASSES, eval_from_train=0.9999, pattern=r"(?P<patient>P\d)")
    with pytest.raises(UserError, match=r"the split train has no image .*split\.eval_from_train"):
        job.ingest(tmp_path / "in", tmp_path / "out", rules)


def test_eval_that_is_drawn_out_of_train_keeps_together_what_hangs_together(tmp_path):
    """A DICOM file tells its patient when it is read; copies have other names."""
    source = tmp_path / "in"
    rng = np.random.default_rng(0)
    for number in range(60):
        for copy in range(2):
            content = encode(rng.integers(0, 4095, (32, 32)), PatientID=f"P{number}")
            path = source / "train" / CLASSES[number % 2] / f"{number}-{copy}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for number in range(10):
        path = source / "test" / CLASSES[number % 2] / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rng.integers(0, 4095, (32, 32)), PatientID=f"T{number}"))
    rules = labelling.Rules(CLASSES, eval_from_train=0.3)
    report = job.ingest(source, tmp_path / "out", rules)
    assert report.rejected == 0
    splits = {}
    for split in contract.SPLITS:
        names = [
            f[contract.PATIENT].bytes_list.value[0] for f in examples(tmp_path / "out" / split)
        ]
        assert len(names) == report.written[split]
        splits[split] = set(names)
    assert sum(map(len, splits.values())) == 70
    assert splits["train"]
    assert splits["eval"]
    assert sum(report.written.values()) == 130
    layout = tfrecords.find_layout(tmp_path / "out")
    assert record_scan.check_records(layout, Task(CLASSES)).examples == 130
