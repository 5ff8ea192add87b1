import csv

import numpy as np
import pydicom
import pytest
import tensorflow as tf
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from tests.dicoms import NAME, deep, dicom, write
from tfxray.components.common import contract, privacy
from tfxray.components.guard import rejects
from tfxray.components.ingest import job
from tfxray.components.pixels.dicom import read_dicom
from tfxray.components.source import labelling

RAMP = np.tile(np.linspace(0, 255, 64), (32, 1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RAMP),
        ({"bits": 12}, RAMP),
        ({"bits": 16}, RAMP),
        ({"bits": 8}, RAMP),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 255 - RAMP),
        ({"signed": True}, RAMP),
        ({"RescaleSlope": 2, "RescaleIntercept": -1000}, RAMP),
        ({"WindowCenter": 2048, "WindowWidth": 2048}, np.clip((RAMP - 64) * 2, 0, 255)),
        ({"WindowCenter": [2048, 1], "WindowWidth": [2048, 1]}, np.clip((RAMP - 64) * 2, 0, 255)),
        ({"voi_lut": True}, 255 - RAMP),
        ({"syntax": RLELossless}, RAMP),
        ({"syntax": JPEG2000Lossless}, RAMP),
        ({"syntax": JPEGLSLossless}, RAMP),
        ({"syntax": JPEGBaseline8Bit, "bits": 8}, RAMP),
    ],
    ids=[
        "plain", "12 bits", "16 bits", "8 bits", "monochrome1", "signed", "rescale", "window",
        "two windows", "voi lut", "rle", "jpeg 2000", "jpeg-ls", "jpeg",
    ],
)  # fmt: skip
def test_pixels_are_as_a_radiologist_sees_them(options, expected):
    pixels, _ = read_dicom(dicom(RAMP, **options))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(float) - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", 45), ("018M", 1.5), ("026W", 26 * 7 / 365.25), ("010D", 10 / 365.25), ("62", 62),
        ("058y", 58), (" 58 Y", 58), ("000D", 0),
    ],
)  # fmt: skip
def test_ages_come_in_four_units(age, years):
    _, tags = read_dicom(dicom(RAMP, PatientAge=age))
    assert float(tags["age"]) == pytest.approx(years, abs=1e-4)


@pytest.mark.parametrize("age", ["old", "000Y", "0", "000", "999Y", "1961-02-03", "-58"])
def test_an_age_that_is_none_is_unknown_and_noted(age):
    _, tags = read_dicom(dicom(RAMP, PatientAge=age))
    assert "age" not in tags
    assert tags["not_understood"] == "age"


@pytest.mark.parametrize("name", ["", "ANONYMOUS", "Anon", "de-identified", "???"])
def test_an_id_that_stands_for_all_patients_is_none(name):
    _, tags = read_dicom(dicom(RAMP, PatientID=name))
    assert "patient" not in tags


@pytest.mark.parametrize(
    ("view", "expected"),
    [("PA", "PA"), ("AP", "AP"), ("RL", "LL"), ("LATERAL", "LL"), ("", None), ("DOE JANE", None)],
)
def test_a_view_is_one_that_the_schema_knows(view, expected):
    _, tags = read_dicom(dicom(RAMP, ViewPosition=view))
    assert tags.get("view") == expected


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: dicom(RAMP, NumberOfFrames=3), "multi_frame"),
        (lambda: dicom(RAMP)[:-700], "truncated"),
        (lambda: dicom(RAMP)[:200], "truncated"),
        (lambda: dicom(RAMP, pixels=False), "no_pixels"),
        (lambda: dicom(RAMP, Rows=60_000, Columns=60_000), "too_large"),
        (lambda: dicom(RAMP, syntax=JPEG2000Lossless)[:-60], "truncated"),
    ],
    ids=["frames", "cut", "cut head", "no pixels", "too large", "cut jpeg 2000"],
)
def test_what_cannot_be_read_is_rejected_by_name(make, code):
    with pytest.raises(rejects.Rejected) as caught:
        read_dicom(make())
    assert caught.value.code == code
    assert NAME not in str(caught.value)


def test_nothing_that_names_a_patient_leaves_the_file(tmp_path):
    """Name, number, birth date, institution, private tags and file name, byte by byte."""
    source = tmp_path / "in"
    for number, label in enumerate(["NORMAL", "PNEUMONIA"] * 3):
        write(source / label / f"{NAME}_{number}.dcm", deep(RAMP + number), number)
    report = job.ingest(source, tmp_path / "out", labelling.Rules(("NORMAL", "PNEUMONIA")))
    assert (report.images, report.rejected, report.patients_known) == (6, 0, True)
    records = list((tmp_path / "out").rglob("*.tfrecord"))
    everything = b"".join(
        tf.data.TFRecordDataset([str(p) for p in records]).as_numpy_iterator()
    ) + b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    for secret in (NAME, "HOSP-4711", "19610203", "St. Nowhere", "PRIVATE-SECRET"):
        assert secret.encode() not in everything, secret
        assert secret.encode("utf-16-le") not in everything, secret
    patients = set()
    for record in tf.data.TFRecordDataset([str(p) for p in records]).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        patients.add(feature[contract.PATIENT].bytes_list.value[0])
        assert feature[contract.SEX].bytes_list.value[0] == b"F"
        assert feature[contract.VIEW].bytes_list.value[0] == b"PA"
        assert feature[contract.AGE].float_list.value[0] == 61
        assert feature[contract.FORMAT].bytes_list.value[0] == b"png"
    assert len(patients) == 3  # two files each


def test_pseudonyms_stay_the_same_under_one_key_and_differ_under_another(tmp_path, monkeypatch):
    source = tmp_path / "in"
    for number, label in enumerate(["NORMAL", "PNEUMONIA"]):
        write(source / label / f"{number}.dcm", deep(RAMP + number), number)

    def patients(name):
        job.ingest(source, tmp_path / name / "out", labelling.Rules(("NORMAL", "PNEUMONIA")))
        files = [str(p) for p in (tmp_path / name / "out").rglob("*.tfrecord")]
        return {
            tf.train.Example.FromString(r).features.feature[contract.PATIENT].bytes_list.value[0]
            for r in tf.data.TFRecordDataset(files).as_numpy_iterator()
        }

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = patients("a")
    assert (tmp_path / "a" / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert patients("a") == first
    assert not patients("b") & first
    monkeypatch.setenv("TFXRAY_PSEUDONYM_KEY", "short")
    with pytest.raises(Exception, match="at least 16 bytes"):
        patients("a")


def test_rejects_of_dicom_files_can_be_found_by_their_name(tmp_path):
    source = tmp_path / "in"
    write(source / "NORMAL" / "a.dcm", deep(RAMP), 1)
    write(source / "PNEUMONIA" / "b.dcm", deep(RAMP + 5), 2)
    (source / "NORMAL" / "c.dcm").write_bytes(dicom(RAMP, NumberOfFrames=2))
    job.ingest(source, tmp_path / "out", labelling.Rules(("NORMAL", "PNEUMONIA")))
    rows = list(csv.DictReader((tmp_path / "out" / "rejects.csv").open()))
    assert [(r["name"], r["reason"]) for r in rows] == [("NORMAL/c.dcm", "multi_frame")]


def test_a_file_is_told_by_its_content_not_its_extension(tmp_path):
    assert privacy.is_dicom(dicom(RAMP))
    assert not privacy.is_dicom(b"\x89PNG" + b"\0" * 200)
    assert pydicom.__version__ >= "3"
