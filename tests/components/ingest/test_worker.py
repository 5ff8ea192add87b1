"""Records of others, and odd metadata, through a whole ingest: what is bad is set aside by name."""

import csv
import io
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.components.ingest.test_job import examples
from tests.components.ingest.test_record_check import BROKEN, CLASSES, FULL, example
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, record_scan
from tfxray.components.source import labelling, tfrecords

RULES = labelling.Rules(CLASSES)
# What an ingest reads or measures by itself, so that the record can be used.
MENDED = {
    "image: DICOM", "image: BMP", "image: another way up", "image: four colours",
    "image: a wrong checksum",
    "no label", "patient empty", "patient as number", "site without values", "age as int",
    "age as text", "mean not a number", "sharpness infinite", "mean of three colours",
    "age not a number", "age infinite", "age negative", "age of nobody",
    "height negative", "hash of other letters", "hash of another length",
    "feature of another kind", "label as text", "patient unknown", "patient of an anonymiser",
    "site unknown",
}  # fmt: skip


def write(folder, content, name="a.tfrecord"):
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for one in content:
            writer.write(one if isinstance(one, bytes) else one.SerializeToString())


def rejects(folder):
    return {row["name"]: row for row in csv.DictReader((folder / "rejects.csv").open())}


def png(number):
    """Images that differ, so that none is a copy of another."""
    buffer = io.BytesIO()
    grey = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def good(number, **features):
    own = {contract.IMAGE: png(number), contract.PATIENT: b"p%d" % number, "label": number % 2}
    return example(**{**FULL, **own, **features})


# Names of others, as `ingest.features` maps them.
OTHER_NAMES = {
    contract.IMAGE: "x", contract.LABEL: "y", contract.TEXT: "word", contract.FILENAME: "file",
    contract.PATIENT: "who", contract.AGE: "old", contract.SITE: "where",
}  # fmt: skip


def rename(message, names):
    features = message.features.feature
    for name in set(names) & set(features):
        features[names[name]].CopyFrom(features[name])
        del features[name]
    return message


@pytest.fixture(scope="module", params=[{}, OTHER_NAMES], ids=["contract's names", "mapped"])
def ingested(request, tmp_path_factory):
    """Records that break the contract each in a way of their own, between good ones."""
    root = tmp_path_factory.mktemp("records")
    content = [good(number) for number in range(4)]
    for number, change in enumerate(BROKEN.values()):
        own = {contract.IMAGE: png(100 + number), contract.PATIENT: b"q%d" % number}
        content.append(example(**{**FULL, **own, **change}))
    content = [rename(message, request.param) for message in content] + [b"\xff\xff", b""]
    write(root / "in", content)
    whole = (root / "in/a.tfrecord").read_bytes()
    place = whole.index(content[1].SerializeToString()[:-1])
    (root / "in/a.tfrecord").write_bytes(
        whole[: place + 9] + bytes([whole[place + 9] ^ 8]) + whole[place + 10 :]
    )
    report = job.ingest(root / "in", root / "out", RULES, request.param)
    return root / "out", report, len(content)


def test_bad_records_are_set_aside_by_file_and_number_and_none_is_lost(ingested):
    folder, report, count = ingested
    written = list(examples(folder))
    assert report.images == count == len(written) + report.rejected == count
    expected = {
        f"a.tfrecord#{4 + number}" for number, what in enumerate(BROKEN) if what not in MENDED
    } | {"a.tfrecord#1", f"a.tfrecord#{count - 2}", f"a.tfrecord#{count - 1}"}
    assert rejects(folder).keys() == expected
    assert rejects(folder)["a.tfrecord#1"]["reason"] == "damaged"
    assert sum(report.reasons.values()) == report.rejected == len(expected)


@pytest.mark.parametrize("what", [w for w in BROKEN if w not in MENDED])
def test_the_reason_names_the_feature(ingested, what):
    folder, _, _ = ingested
    row = rejects(folder)[f"a.tfrecord#{4 + list(BROKEN).index(what)}"]
    if row["reason"] in ("malformed", "unknown_label"):
        name = next(iter(BROKEN[what]))
        assert name in row["detail"] or f"{OTHER_NAMES.get(name)} " in row["detail"]
    else:
        assert what.startswith("image") or what == "no image"
        assert row["reason"] in ("empty", "not_an_image", "truncated", "undecodable")


def test_what_an_ingest_wrote_keeps_the_contract_to_the_letter(ingested):
    folder, report, _ = ingested
    scan = record_scan.check_records(tfrecords.find_layout(folder), Task(CLASSES))
    assert scan.examples == report.images - report.rejected
    assert scan.group == contract.PATIENT


def test_an_empty_patient_is_a_patient_of_its_own(tmp_path):
    names = [b"a.png", b"b.png", b"caf\xe9.png", b"c.png"]
    write(
        tmp_path / "in",
        [good(i, **{contract.PATIENT: b"", contract.FILENAME: n}) for i, n in enumerate(names)],
    )
    report = job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    assert not report.patients_known
    patients = [e[contract.PATIENT].bytes_list.value[0] for e in examples(tmp_path / "out")]
    assert sorted(patients) == [
        b"image:a.png", b"image:b.png", b"image:c.png", b"image:caf\\udce9.png",
    ]  # fmt: skip


def test_files_that_are_damaged_are_all_named_and_nothing_is_written(tmp_path):
    for name in ("a.tfrecord", "b.tfrecord", "c.tfrecord"):
        write(tmp_path / "in", [good(number) for number in range(4)], name)
    for name in ("a.tfrecord", "c.tfrecord"):
        path = tmp_path / "in" / name
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError) as caught:
        job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    first, second = str(caught.value).splitlines()
    assert "a.tfrecord: damaged after record 3" in first
    assert "c.tfrecord: damaged after record 3" in second
    assert not (tmp_path / "out").exists()


def test_copies_are_taken_out_though_others_have_their_names(tmp_path):
    """Names in records of others need not differ."""
    same = {contract.FILENAME: b"image.png"}
    content = [good(number, **same) for number in range(6)]
    content.append(good(0, **{**same, "label": 1}))
    write(tmp_path / "in", content)
    report = job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    assert (report.images, report.written, report.reasons) == (7, {"all": 5}, {"duplicate": 2})
    assert len(list(examples(tmp_path / "out"))) == 5
    assert {name: row["detail"] for name, row in rejects(tmp_path / "out").items()} == {
        "a.tfrecord#0": "same pixels as a.tfrecord#6, which is PNEUMONIA",
        "a.tfrecord#6": "same pixels as a.tfrecord#0, which is NORMAL",
    }


def test_records_need_no_mapping_on_the_command_line(tfxray, tmp_path):
    write(tmp_path / "in", [*(good(number) for number in range(4)), b"no record"])
    done = tfxray(
        "ingest", tmp_path / "in", "--out", tmp_path / "out", "--classes", ",".join(CLASSES)
    )
    assert done.code == 0
    assert "1 of 5 rejected" in done.err
    assert rejects(tmp_path / "out").keys() == {"a.tfrecord#4"}
    done = tfxray("ingest", tmp_path / "in", "--out", tmp_path / "out")
    assert done.code == 2
    assert "--classes" in done.err


@pytest.mark.parametrize("key", ["site", "patient"])
def test_metadata_that_is_no_utf_8_in_a_path_sets_the_image_aside(tmp_path, key):
    """Evaluator would end with it, after the training."""
    for number in range(6):
        name = b"Universit\xe4t" if number < 2 else b"north"
        folder = os.path.join(os.fsencode(tmp_path), b"in", CLASSES[number % 2].encode(), name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, b"%d.png" % number), "wb") as file:
            file.write(png(number))
    rules = labelling.Rules(CLASSES, pattern=rf"/(?P<{key}>[^/]+)/")
    report = job.ingest(tmp_path / "in", tmp_path / "out", rules)
    assert (report.images, report.rejected, report.reasons) == (6, 2, {"malformed": 2})
    rows = csv.DictReader((tmp_path / "out/rejects.csv").open(errors="surrogateescape"))
    assert {row["detail"] for row in rows} == {f"{contract.METADATA[key]} is not UTF-8"}
    assert json.loads((tmp_path / "out/ingest.json").read_text())["written"] == {"all": 4}


@pytest.mark.parametrize(
    ("text", "age"),
    [("045Y", 45), ("45.5", 45.5), ("-5", None), ("nan", None), ("131", None), ("12-15", None)],
)
def test_an_age_is_taken_for_what_it_says(tmp_path, text, age):
    write(tmp_path / "in", [good(number, **{contract.AGE: text.encode()}) for number in (0, 1)])
    job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    for features in examples(tmp_path / "out"):
        assert list(features[contract.AGE].float_list.value) == ([age] if age is not None else [])


def test_a_vector_of_labels_is_told_what_is_allowed(ingested):
    folder, _, _ = ingested
    for what in ("label one-hot", "label multi-hot", "label list of names"):
        row = rejects(folder)[f"a.tfrecord#{4 + list(BROKEN).index(what)}"]
        assert "values, not one: a vector (one-hot or multi-hot) or a list" in row["detail"]
        assert "A record has one class: its number, an int64, or its name" in row["detail"]


def test_what_is_no_age_and_no_patient_is_counted_and_costs_no_image(ingested):
    _, report, _ = ingested
    # Ages: infinite, negative, and of nobody; NaN says nothing. Patients: unknown, anonymous.
    assert report.not_understood == {"age": 3, "patient": 2}


def test_letters_for_sexes_that_mean_the_other_one_end_the_ingest(tmp_path):
    sexes = (b"H", b"M", b"M", b"H")
    write(tmp_path / "in", [good(n, **{contract.SEX: sex}) for n, sex in enumerate(sexes)])
    with pytest.raises(UserError, match="in: the sexes are given as M and as H"):
        job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    assert not (tmp_path / "out").exists()


def test_damaged_files_are_named_and_those_beyond_ten_are_counted(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number:02}.tfrecord").write_bytes(b"no record")
    with pytest.raises(UserError) as refused:
        job.ingest(tmp_path / "in", tmp_path / "out", RULES, {})
    *named, last = str(refused.value).splitlines()
    assert [line.split(": damaged")[0][-11:] for line in named] == [
        f"{number:02}.tfrecord" for number in range(10)
    ]
    assert last == "2 more files are damaged"


def test_a_mapped_feature_that_no_record_has_is_named(tmp_path):
    write(tmp_path / "in", [good(number) for number in range(4)])
    with pytest.raises(UserError, match=r"no record has a feature 'patientid'.*for patient/id"):
        job.ingest(tmp_path / "in", tmp_path / "out", RULES, {contract.PATIENT: "patientid"})
    assert not (tmp_path / "out").exists()
