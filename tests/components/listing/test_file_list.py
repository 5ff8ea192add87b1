"""Not a byte is lost in silence: a file is written, rejected, or left out by a rule."""

import csv
import errno
import json
import os
import shutil

import pytest

from tests.scorer import export
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job
from tfxray.components.listing import file_list
from tfxray.components.predict import batch_job
from tfxray.components.source import labelling, tfrecords

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture
def folder(drawn, tmp_path):
    """Twelve images; of each kind of thing beside them one or more."""
    source = tmp_path / "in"
    for label in CLASSES:
        (source / label).mkdir(parents=True)
        for path in sorted((drawn / label).glob("*.png"))[:6]:
            shutil.copy(path, source / label)
    first, second, *_ = sorted((drawn / "NORMAL").glob("*.png"))[10:]
    far = tmp_path / "far"
    far.mkdir()
    shutil.copy(first, far / "far.png")
    (source / "NORMAL" / "behind a link").symlink_to(far)
    (source / "NORMAL" / "twice").symlink_to(source / "PNEUMONIA")
    (source / "NORMAL" / "circle").symlink_to(source)
    (source / "NORMAL" / "nowhere.png").symlink_to(tmp_path / "none.png")
    (source / "NORMAL" / "itself.png").symlink_to("itself.png")
    (source / "NORMAL" / "Thumbs.db").write_bytes(b"thumbs")
    (source / "NORMAL" / "archive.7z").write_bytes(b"7z")
    (source / "NORMAL" / "letter.png").write_bytes(b"Dear colleague")
    for name in (".DS_Store", ".hidden/a.png", ".hidden/deep/b.png", "__MACOSX/NORMAL/._a.png"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(second, path)
    return source


REASONS = {"outside": 4, "unreadable": 1, "not_an_image": 1}
LEFT_OUT = {"hidden": 4, "other_kind": 2}


def test_what_goes_in_comes_out_or_is_told(folder, tmp_path):
    report = job.ingest(folder, tmp_path / "out", labelling.Rules(CLASSES, tolerated=1.0))
    # 12 images, 5 links, 2 odd names, 1 letter, 4 hidden: what `find` tells, but for folders.
    assert report.found == 24
    assert sum(report.written.values()) == 12
    assert report.reasons == REASONS
    assert report.left_out == LEFT_OUT
    told = json.loads((tmp_path / "out" / "ingest.json").read_text())
    parts = (sum(told["written"].values()), told["rejected"], sum(told["left_out"].values()))
    assert told["found"] == sum(parts)
    with (tmp_path / "out" / "rejects.csv").open() as file:
        names = {row["name"]: row["detail"] for row in csv.DictReader(file)}
    assert names["NORMAL/behind a link"] == "a linked folder, not entered"
    assert {"NORMAL/twice", "NORMAL/circle", "NORMAL/nowhere.png"} <= names.keys()


def test_a_folder_of_images_to_be_scored_is_counted_alike(folder, tmp_path):
    report = batch_job.Job(folder, tmp_path / "out", export(tmp_path / "model"), force=True).run()
    assert (report.found, report.scored, report.before) == (24, 12, 0)
    assert report.reasons == dict(sorted(REASONS.items()))
    assert report.left_out == LEFT_OUT
    again = batch_job.Job(folder, tmp_path / "out", tmp_path / "model", force=True)
    assert again.earlier_report == report
    (folder / "NORMAL" / "another link").symlink_to(tmp_path)
    again = batch_job.Job(folder, tmp_path / "out", tmp_path / "model", force=True)
    assert again.earlier_report is None


def failing_for(name, code, monkeypatch):
    """Has the system refuse to list folders of this name, as it does to whoever is not root."""
    scandir = os.scandir

    def refuse(path="."):
        if isinstance(path, str) and os.path.basename(path.rstrip("/")) == name:
            raise OSError(code, os.strerror(code), os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ENOENT, errno.ESTALE])
def test_a_folder_that_cannot_be_listed_is_told(folder, tmp_path, monkeypatch, code):
    (folder / "NORMAL" / "closed").mkdir()
    shutil.copy(next((folder / "NORMAL").glob("*.png")), folder / "NORMAL" / "closed" / "a.png")
    before = file_list.fingerprint(folder)
    failing_for("closed", code, monkeypatch)
    assert file_list.fingerprint(folder) != before
    report = job.ingest(folder, tmp_path / "out", labelling.Rules(CLASSES, tolerated=1.0))
    assert report.reasons == {**REASONS, "unreadable": 2}
    assert report.found == 25
    assert os.strerror(code) in (tmp_path / "out" / "rejects.csv").read_text()


def test_a_source_that_cannot_be_listed_is_an_error(folder, monkeypatch):
    failing_for("in", errno.EACCES, monkeypatch)
    with pytest.raises(UserError, match="cannot be listed: Permission denied"):
        labelling.label_images(folder, labelling.Rules(CLASSES))


def test_if_nothing_else_is_left_the_folders_are_told_without_their_names(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "DOE JANE").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"holds no images.*; outside folders: 1") as caught:
        labelling.label_images(tmp_path / "in", labelling.Rules(CLASSES))
    assert "DOE" not in str(caught.value)


def test_what_the_manifest_does_not_name_is_counted_once(folder, tmp_path):
    """And a file that it names is an image, whatever its own name is."""
    images = sorted(p for label in CLASSES for p in (folder / label).glob("*[0-9].png"))
    rows = [f"{p.relative_to(folder)},{p.parent.name}" for p in images[2:]]
    rows += [".hidden/a.png,NORMAL", "NORMAL/gone.png,NORMAL"]
    (folder / "manifest.csv").write_text("\n".join(["path,label", *rows]))
    report = job.ingest(folder, tmp_path / "out", labelling.Rules(CLASSES, tolerated=1.0))
    assert sum(report.written.values()) == 11
    assert report.reasons == {"outside": 3, "unreadable": 1}
    # Of the images two; the two dead links and the letter. The manifest itself was used.
    assert report.left_out == {"hidden": 3, "not_in_manifest": 5, "other_kind": 2}
    assert report.found == 11 + 4 + 10


def test_an_image_beside_given_splits_is_rejected_and_not_drawn_to_one(folder, tmp_path):
    source = tmp_path / "splits"
    for split in ("train", "val", "test"):
        shutil.copytree(folder / "PNEUMONIA", source / split / "PNEUMONIA")
        shutil.copytree(folder / "NORMAL", source / split / "NORMAL", symlinks=True)
    shutil.copy(next((folder / "NORMAL").glob("*.png")), source / "stray.png")
    rows, _, listing = labelling.label_images(source, labelling.Rules(CLASSES, tolerated=1.0))
    (stray,) = [row for row in rows if row.path == "stray.png"]
    assert stray.label is None
    assert {row.split for row in rows if row.label} == {"train", "eval", "test"}
    assert len(listing.unread) == 9


def test_records_are_all_there_or_it_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "circle").symlink_to("circle")
    for name in ("a.tfrecord", "b/b.tfrecord"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    assert tfrecords.list_records(tmp_path / "in") == ["a.tfrecord", "b/b.tfrecord"]
    failing_for("b", errno.EACCES, monkeypatch)
    for look in (tfrecords.list_records, tfrecords.find_layout):
        with pytest.raises(UserError, match="cannot be listed: Permission denied"):
            look(tmp_path / "in")
    assert tfrecords.holds_records(tmp_path / "in")
    (tmp_path / "in" / "a.tfrecord").unlink()
    assert not tfrecords.holds_records(tmp_path / "in")  # images, of which ingest tells the rest


def test_what_lies_behind_links_changes_the_fingerprint(tmp_path):
    """TFRecords are read through links: other content must not come from the cache."""
    real, data = tmp_path / "real", tmp_path / "data"
    for folder in (real / "part", data):
        folder.mkdir(parents=True)
    for name in ("x.tfrecord", "part/y.tfrecord"):
        (real / name).write_bytes(b"one")
    (data / "x.tfrecord").symlink_to(real / "x.tfrecord")
    (data / "part").symlink_to(real / "part")
    seen = {file_list.fingerprint(data)}
    for name in ("x.tfrecord", "part/y.tfrecord"):
        (real / name).write_bytes(b"other")
        seen.add(file_list.fingerprint(data))
    assert len(seen) == 3
