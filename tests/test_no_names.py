"""A whole run over DICOM files that name their patient everywhere: no trace of it is left.

Every file that a run writes is searched byte by byte, with what it prints and what it leaves in
the folder for temporary files. One file may name source paths: `rejects.csv`, by which a person
finds what was set aside.
"""

import base64
import csv
import gzip
import io
import json
import os
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.dicoms import encode
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job, summary
from tfxray.components.pixels import loader
from tfxray.components.source import labelling
from tfxray.pipeline import inputs
from tfxray.pipeline.config.loader import load_config

FAMILY, GIVEN, BORN, NUMBER = "Quixworth", "Zebulina", "19610203", "HOSP-4711"
STUDY = "1.2.826.0.1.4711.19610203"
SECRETS = (FAMILY, GIVEN, BORN, NUMBER, STUDY, "St. Nowhere", "PRIVATE-SECRET")
CLASSES = ("NORMAL", "PNEUMONIA")


def named(values, patient, **tags):
    """A DICOM file that tells its patient's name wherever there is room for it."""
    dataset = pydicom.dcmread(io.BytesIO(encode(values, bits=8, **tags)))
    dataset.PatientName = f"{FAMILY}^{GIVEN}"
    dataset.PatientID = f"{NUMBER}-{patient}-{FAMILY}"
    dataset.OtherPatientIDs = [f"{FAMILY}-1", f"{GIVEN}-2"]
    dataset.PatientBirthDate, dataset.StudyID = BORN, FAMILY
    dataset.PatientComments = f"{GIVEN} {FAMILY}, born {BORN}"
    dataset.ImageComments = dataset.StudyDescription = f"Thorax of {FAMILY}"
    dataset.StudyInstanceUID = f"{STUDY}.{patient}"
    dataset.SeriesInstanceUID = f"{STUDY}.{patient}.1"
    block = dataset.private_block(0x0013, FAMILY, create=True)
    block.add_new(0x01, "LO", f"{FAMILY}^{GIVEN}")
    block.add_new(0x02, "UN", f"{FAMILY}^{GIVEN}".encode("utf-16-le"))
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def invalid(values, patient):
    """One whose whitelisted tags, among others, hold names that break their rules."""
    tags = {"PatientAge": "AAAAAAAAA", "PatientSex": "BBBBBBBBB", "ViewPosition": "CCCCCCCCC"}
    content = named(values, patient, SpecificCharacterSet="ISO_IR 100", **tags)
    for mark in (*tags.values(), "ISO_IR 100"):
        content = content.replace(mark.encode(), FAMILY.encode().ljust(len(mark)))
    return content


def path_of(split, label, patient, number):
    return f"{split}/{label}/{FAMILY}_{GIVEN}_{BORN}_{patient}/{FAMILY.upper()}_{number:04d}.dcm"


def write(folder, path, content):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


@pytest.fixture(scope="module")
def films(drawn):
    """Drawn X-rays with label and patient, as they are in the manifest."""
    rows = list(csv.DictReader((drawn / "manifest.csv").open()))[:150]
    return [(np.asarray(Image.open(drawn / r["path"])), r["label"], r["patient"]) for r in rows]


def spread(folder, films):
    """Writes the films as DICOM into given split folders, by patient."""
    for number, (pixels, label, patient) in enumerate(films):
        split = {3: "val", 4: "test"}.get(int(patient[1:]) % 10 // 2, "train")
        write(folder, path_of(split, label, patient, number), named(pixels, patient))


def traces(*folders, printed="", secrets=SECRETS, excepted=()):
    """The secrets that are found, and where: in what was printed, in files and in their names."""
    places = {"printed": printed.encode()}
    for path in (path for folder in folders for path in folder.rglob("*")):
        places[f"name of {path}"] = path.name.encode()
        if path.is_file() and path.name not in excepted:
            places[str(path)] = path.read_bytes()
            if path.suffix == ".gz":
                places[str(path)] += gzip.decompress(path.read_bytes())
    marks = {mark: secret for secret in secrets for mark in spellings(secret)}
    return sorted(
        {
            (secret, where)
            for where, content in ((where, content.lower()) for where, content in places.items())
            for mark, secret in marks.items()
            if mark in content
        }
    )


def spellings(secret):
    """A secret as bytes in lower case: as it is, in UTF-16, and in Base64 at any offset."""
    for text in {secret, secret.upper(), secret.lower()}:
        yield text.encode().lower()
        yield text.encode("utf-16-le").lower()
        for offset in range(3):
            whole = base64.b64encode(b"\0" * offset + text.encode()).lower()
            yield whole[(0, 2, 3)[offset] : len(whole) - 4]


@pytest.fixture
def ingests_here() -> None:
    """It does not: the warnings are those of a process that begins."""


@pytest.fixture
def run(tfxray, quick_config, tmp_path, monkeypatch):
    """Runs the pipeline with all warnings on, and searches all that it leaves and prints."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def call(data, *sets):
        done = tfxray(
            "run", "--config", quick_config, "--data", data, "--out", tmp_path / "out", "--json",
            *(part for item in sets for part in ("--set", item)),
        )  # fmt: skip
        summary = json.loads(done.out.strip().splitlines()[-1])
        found = traces(
            tmp_path / "out", temporary, printed=done.out + done.err, excepted=["rejects.csv"]
        )
        return done, summary, found

    return call


def test_the_search_finds_what_is_hidden(tmp_path):
    hidden = [
        FAMILY.upper().encode(), FAMILY.encode("utf-16-le"), gzip.compress(FAMILY.encode()),
        *(base64.b64encode(b"x" * i + FAMILY.encode() + b"more") for i in range(3)),
    ]  # fmt: skip
    for number, content in enumerate(hidden):
        (tmp_path / f"{number}.gz").write_bytes(
            content if content[:2] == b"\x1f\x8b" else gzip.compress(content)
        )
    assert len(traces(tmp_path)) == len(hidden)


def test_a_whole_run_leaves_no_trace_of_a_name(run, films, tmp_path):
    folder = tmp_path / "data"
    spread(folder, films)
    pixels, label, patient = films[0]
    dark, *place = next(film for film in films if film[1] != label)
    window = named(pixels // 3, patient, WindowCenter=1, WindowWidth="9" * 9)
    odd = {
        path_of("train", label, patient, 900): named(pixels, patient, NumberOfFrames=2),
        path_of("train", label, patient, 902): f"Dear Ms. {FAMILY}".encode(),
        path_of("train", label, patient, 903): named(pixels, patient)[:-3000],
        # Not UTF-8, as archives from elsewhere have it.
        os.fsdecode(path_of("train", label, patient, 905).encode() + b"\xfc.dcm"): b"",
    }
    for path, content in odd.items():
        write(folder, path, content)
    # The same pixels in another split; and what is read, odd as it is.
    write(folder, path_of("test", label, patient, 901), named(pixels, "another"))
    shown = window.replace(b"9" * 9, FAMILY.encode())
    write(folder, path_of("train", label, patient, 904), shown)
    write(folder, path_of("train", label, patient, 910), invalid(255 - pixels, patient))
    view = named(dark // 2, patient, ViewPosition=GIVEN.upper())
    write(folder, path_of("train", *place, 911), view)
    write(folder, path_of("train", *place, 912) + os.fsdecode(b"\xfc"), named(255 - dark, patient))

    # A patient in two splits, of which DataGate tells.
    write(folder, path_of("test", label, patient, 913), named(pixels // 2, patient))

    done, summary, found = run(
        folder, "gate.servable=true",
        "validation.gate.leakage=warn", "validation.gate.near_identical=warn",
    )  # fmt: skip

    assert found == []
    assert done.code == 0, summary["reason"]
    assert summary["status"] == "pushed"
    assert summary["examples"]["rejected"] == len(odd) + 1
    assert {"patients", "near_identical"} <= {item["kind"] for item in summary["data_issues"]}
    assert "warn: leakage: 1 patients are in two splits" in done.err
    # The exception: a person must find what was set aside.
    rejects = next((tmp_path / "out").rglob("rejects.csv")).read_text(errors="surrogateescape")
    rows = list(csv.DictReader(io.StringIO(rejects)))
    told = {row["name"]: row["reason"] for row in rows if row["reason"] != "duplicate"}
    assert list(told) == list(odd)
    assert list(told.values()) == ["multi_frame", "not_an_image", "truncated", "empty"]
    twice = next(row for row in rows if row["reason"] == "duplicate")
    assert twice["name"] == path_of("train", label, patient, 0)
    original = path_of("test", label, patient, 901)
    assert twice["detail"] == f"same pixels as {original} (in test)"
    told = "".join(row["detail"] for row in rows if row["reason"] != "duplicate")
    assert traces(printed=told) == []
    # The key lies beside the records, not among them, for its owner alone; and nowhere else.
    key = next((tmp_path / "out").rglob("pseudonym.key"))
    assert key.parent == tmp_path / "out" / "data"
    assert key.stat().st_mode & 0o777 == 0o600
    secret = [key.read_text()]
    assert traces(tmp_path / "out", secrets=secret) == [(secret[0], str(key))]


def test_folders_that_name_a_patient_are_not_quoted(run, films, tmp_path):
    for number, (pixels, _, patient) in enumerate(films[:3]):
        content = named(pixels, patient)
        write(tmp_path / "data", f"{FAMILY}_{GIVEN}_{number}/{number}", content)
    done, summary, found = run(tmp_path / "data")
    assert found == []
    assert done.code == 2
    assert "3 labels of 3 images, not shown, since there is DICOM" in summary["reason"]
    assert "`ingest.labels`" in done.err


@pytest.mark.parametrize(
    ("files", "manifest", "classes", "message"),
    [
        ({"NORMAL": 30, FAMILY: 1}, None, CLASSES, "found NORMAL: 30; none of PNEUMONIA"),
        ({FAMILY: 1, GIVEN: 1}, None, (), "name the classes"),
        ({"NORMAL": 1}, f"NORMAL/{FAMILY}_0,NORMAL,{GIVEN}\n", CLASSES, "has: not shown"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_without_names(
    films, tmp_path, files, manifest, classes, message
):
    for label, count in files.items():
        for number in range(count):
            write(tmp_path, f"{label}/{FAMILY}_{number}", named(films[0][0], 1))
    if manifest:
        (tmp_path / "manifest.csv").write_text(manifest)
    with pytest.raises(UserError) as caught:
        labelling.label_images(tmp_path, labelling.Rules(classes, tolerated=0.05))
    assert message in str(caught.value)
    assert traces(printed=str(caught.value)) == []


def test_what_cannot_be_read_at_all_is_told_by_its_reasons(films, tmp_path):
    for label in CLASSES:
        frames = named(films[0][0], 1, NumberOfFrames=2)
        write(tmp_path / "in", f"{label}/{FAMILY}", frames)
    with pytest.raises(UserError) as caught:
        job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert "none of 2 images could be read (multi_frame: 2)" in str(caught.value)
    assert traces(printed=str(caught.value)) == []


def test_what_a_library_raises_costs_one_image_and_is_told_by_its_type(
    films, tmp_path, monkeypatch, tfxray
):
    read = loader.read_file

    def fail(encoded, limit):
        if b"XYZ" in encoded:
            raise LookupError(f"no {FAMILY}")
        return read(encoded, limit)

    monkeypatch.setattr(loader, "read_file", fail)
    for label, (pixels, *_) in zip(CLASSES, films, strict=False):
        write(tmp_path / "in", f"{label}/{FAMILY}_1", named(pixels, 1))
    write(tmp_path / "in", f"{label}/{FAMILY}_2", named(pixels // 2, 1, AccessionNumber="XYZ"))
    done = tfxray(
        "ingest", tmp_path / "in", "--out", tmp_path / "out", "--classes", ",".join(CLASSES),
        "--log", tmp_path / "log.txt",
    )  # fmt: skip
    assert done.code == 0
    rejects = (tmp_path / "out" / "rejects.csv").read_text().splitlines()
    assert rejects[1:] == [f'"{label}/{FAMILY}_2","damaged","LookupError"']
    (tmp_path / "out" / "rejects.csv").unlink()
    printed = done.out + done.err + (tmp_path / "log.txt").read_text()
    assert traces(tmp_path / "out", printed=printed) == []


def test_an_ingest_that_is_stopped_leaves_no_list_of_names(films, tmp_path, small_config):
    for label, (pixels, *_) in zip(CLASSES, films, strict=False):
        write(tmp_path / "in", f"{label}/{FAMILY}", named(pixels, 1))
    source = inputs.Source(tmp_path / "in", "images")
    (tmp_path / "out").mkdir()
    job = inputs.Ingest(
        source, load_config(small_config), small_config, tmp_path / "out", tmp_path / "log"
    )
    folder = Path(job.folder)
    partial = folder.with_name(f".{folder.name}.partial")
    write(partial, ".rejected-00000-of-00001", FAMILY.encode())
    job.stop()
    assert traces(tmp_path / "out") == []
    assert not partial.exists()


def test_a_job_that_fails_logs_no_element(films, tmp_path, monkeypatch, tfxray):
    """Beam's own words on an error in a step that is given the names of files."""

    def fail(element):
        raise RuntimeError("disk full")

    monkeypatch.setattr(summary, "json", SimpleNamespace(dumps=fail, loads=json.loads))
    frames = named(films[0][0], 1, NumberOfFrames=2)
    for label in CLASSES:
        write(tmp_path / "in", f"{label}/{FAMILY}", frames)
    with pytest.raises(RuntimeError, match="disk full") as caught:
        tfxray(
            "ingest", tmp_path / "in", "--out", tmp_path / "out", "--classes", ",".join(CLASSES),
            "--log", tmp_path / "log.txt",
        )  # fmt: skip
    told = "".join(traceback.format_exception(caught.value))
    assert traces(tmp_path / "out", printed=told + (tmp_path / "log.txt").read_text()) == []
