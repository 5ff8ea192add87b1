"""Scoring folders: every image accounted for, and none scored twice, whatever happens meanwhile."""

import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.components.ingest.test_odd_inputs import READ, REJECTED
from tests.components.ingest.test_record_check import BROKEN, FLIPPED, FULL
from tests.components.ingest.test_record_check import record as make_record
from tests.components.source.test_tfrecords import frame
from tests.dicoms import dicom
from tests.scorer import export
from tfxray.components.common import contract, filenames
from tfxray.components.common.errors import UserError
from tfxray.components.disk import locks
from tfxray.components.pixels import loader
from tfxray.components.predict import (
    batch_job,
    batch_parts,
    batch_worker,
    pushed_model,
    scored_before,
)
from tfxray.components.text import tables
from tfxray.components.watch import feature_statistics, scored


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export(tmp_path_factory.mktemp("model") / "1")


@pytest.fixture
def greys(tmp_path):
    """Twelve images, from black to light grey, in folders of any depth."""
    folder = tmp_path / "in"
    for number in range(12):
        path = folder / ("a" if number < 6 else "b/c") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number * 20).save(path)
    return folder


@pytest.fixture
def counted(monkeypatch):
    """The names that a model was asked about, in batches of three and parts of five."""
    asked = []
    score = pushed_model.Model.predict

    def counting(self, read, force):
        asked.extend(name for name, _ in read)
        return score(self, read, force)

    monkeypatch.setattr(pushed_model.Model, "predict", counting)
    monkeypatch.setattr(batch_parts, "SIZE", 5)
    monkeypatch.setattr(batch_parts, "BATCH", 3)
    return asked


def rows(out, name=filenames.PREDICTIONS):
    return tables.read_table(str(out / name))


def run(*arguments, **options):
    return batch_job.Job(*arguments, **options).run()


def test_images_are_scored_as_one_by_one_and_set_aside_as_by_ingest(tmp_path, model):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    contents = {**READ, **{name: content for name, (content, _) in REJECTED.items()}}
    contents['=1+1,\n"quoted".png'] = READ["grey.png"]
    contents[os.fsdecode(b"caf\xe9.png")] = READ["grey.png"]
    for name, content in contents.items():
        (source / name).write_bytes(content)
    (source / "notes.csv").write_text("none of the images")
    (tmp_path / "secret.png").write_bytes(READ["grey.png"])
    os.symlink(tmp_path / "secret.png", source / "link.png")
    os.mkfifo(source / "pipe.png")

    report = run(source, out, model, force=True)

    expected = {name: reason for name, (_, reason) in REJECTED.items()}
    expected |= {"link.png": "outside", "pipe.png": "unreadable"}
    reasons = {row["name"]: row["reason"] for row in rows(out, filenames.REJECTS)}
    assert reasons == expected
    scored = rows(out)
    assert [row["name"] for row in scored] == sorted(contents.keys() - expected.keys())
    assert (report.images, report.scored) == (len(contents) + 2, len(scored))
    assert json.loads((out / filenames.PREDICT_REPORT).read_text())["rejected"] == len(expected)
    singly = pushed_model.predict_images(
        [str(source / row["name"]) for row in scored], model, force=True
    )
    for row, one in zip(scored, singly, strict=True):
        assert row["label"] == one.label
        assert float(row["score"]) == pytest.approx(one.scores["PNEUMONIA"], abs=1e-6)


def test_a_call_goes_on_where_another_was_killed(tmp_path, greys, model, counted, monkeypatch):
    run(greys, tmp_path / "whole", model)
    whole, write = list(counted), batch_worker.Results.write
    counted.clear()

    def killed(results, part, lines):
        if len(counted) > 5:
            with open(results._path(part), "w") as file:  # what a kill may leave of a file
                file.write('["scored", "00.png"')
            raise RuntimeError("killed")
        write(results, part, lines)

    monkeypatch.setattr(batch_worker.Results, "write", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(greys, tmp_path / "out", model)
    assert not (tmp_path / "out").exists()
    counted.clear()
    monkeypatch.setattr(batch_worker.Results, "write", write)
    report = run(greys, tmp_path / "out", model)
    assert report.before == 5
    assert counted == whole[5:]
    for name in (filenames.PREDICTIONS, filenames.REJECTS):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_what_is_done_is_not_done_again_unless_something_changed(tmp_path, greys, model, counted):
    first, out = run(greys, tmp_path / "out", model), tmp_path / "out"
    assert batch_job.Job(greys, out, model).earlier_report == first
    assert batch_job.Job(greys, out, model, force=True).earlier_report is None
    other = export(tmp_path / "2", threshold=0.1)
    assert run(greys, out, other).labels == {"NORMAL": 2, "PNEUMONIA": 10}
    assert first.labels == {"NORMAL": 7, "PNEUMONIA": 5}
    Image.new("L", (8, 8), 250).save(greys / "a/00.png")
    counted.clear()
    assert run(greys, out, other).labels == {"NORMAL": 1, "PNEUMONIA": 11}
    assert len(counted) == 12


def test_what_was_scored_before_is_left_out_and_counted(tmp_path, greys, model, counted):
    hostile = ("=1+1.png", os.fsdecode(b"caf\xe9.png"), "'quoted.png")
    for name in hostile:
        Image.new("L", (8, 8), 9).save(greys / name)
    (greys / "damaged.png").write_bytes(b"\x89PNG")
    month = tmp_path / "scores" / "october"
    assert scored_before.list_finished(str(month.parent)) == []
    run(greys, month, model)
    for name in ("new.png", "a/new.png"):
        Image.new("L", (8, 8), 250).save(greys / name)
    before = scored_before.list_finished(str(month.parent))
    assert before == [str(month)]
    names = scored_before.read_names(before, str(greys))
    assert {*hostile, "damaged.png", "b/c/11.png"} <= names
    counted.clear()
    report = run(greys, tmp_path / "scores" / "november", model, but=names)
    assert sorted(counted) == ["a/new.png", "new.png"]
    assert (report.images, report.left_out) == (2, {"scored before": 16})
    assert report.found == 18
    # The same call has nothing to do, and a next one has no image.
    again = batch_job.Job(greys, tmp_path / "scores" / "november", model, but=names)
    assert again.earlier_report == report
    names |= {"new.png", "a/new.png"}
    assert batch_job.Job(greys, tmp_path / "scores" / "december", model, but=names).images == 0


def test_of_another_folder_nothing_was_scored_before(tmp_path, greys, model):
    run(greys, tmp_path / "scores" / "october", model)
    before = scored_before.list_finished(str(tmp_path / "scores"))
    assert scored_before.read_names(before, str(tmp_path / "other")) == set()
    (tmp_path / "scores" / "october" / filenames.REJECTS).unlink()
    with pytest.raises(UserError, match="october: one of its tables is missing or damaged"):
        scored_before.read_names(before, str(greys))


def test_a_score_is_withheld_where_the_image_is_like_none(tmp_path, greys, model):
    Image.new("L", (8, 8), 255).save(greys / "white.png")
    report = run(greys, tmp_path / "out", model)
    assert (report.scored, report.withheld) == (12, 1)
    white = rows(tmp_path / "out")[-1]
    assert (white["label"], white["score"], white["unlike"]) == ("", "", "true")
    forced = run(greys, tmp_path / "out", model, force=True)
    assert (forced.scored, forced.withheld) == (13, 0)
    assert rows(tmp_path / "out")[-1]["score"] == "1"


def record(**features):
    example = tf.train.Example()
    for name, value in features.items():
        example.features.feature[name].bytes_list.value.append(value)
    return example.SerializeToString()


def test_records_are_scored_under_their_own_names(tmp_path, greys, model, counted):
    source, images = tmp_path / "records", sorted(greys.rglob("*.png"), key=lambda p: p.name)
    source.mkdir()
    for file, options in (("a.tfrecord", None), ("b.tfrecord.gz", "GZIP")):
        with tf.io.TFRecordWriter(str(source / file), options) as writer:
            for path in images:
                writer.write(record(x=path.read_bytes(), who=path.name.encode()))
            writer.write(record(who=b"nothing.png"))
            writer.write(record(x=images[-1].read_bytes()))
            writer.write(b"no example")
    report = run(
        source, tmp_path / "out", model, features={contract.IMAGE: "x", contract.FILENAME: "who"}
    )
    assert (report.images, report.scored, report.rejected) == (30, 26, 4)
    scored, rejected = rows(tmp_path / "out"), rows(tmp_path / "out", filenames.REJECTS)
    assert [row["name"] for row in scored[:13]] == [*(p.name for p in images), "a.tfrecord#13"]
    assert [(row["name"], row["reason"]) for row in rejected[2:]] == [
        ("nothing.png", "empty"), ("b.tfrecord.gz#14", "damaged"),
    ]  # fmt: skip
    assert float(scored[5]["score"]) == pytest.approx(100 / 255, abs=1e-6)
    (source / "a.tfrecord").write_bytes((source / "a.tfrecord").read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged after record 14"):
        run(source, tmp_path / "out", model)


def test_a_bad_record_is_set_aside_and_a_bad_file_is_told(tmp_path, model):
    source, out = tmp_path / "records", tmp_path / "out"
    source.mkdir()
    with tf.io.TFRecordWriter(str(source / "a.tfrecord")) as writer:
        for what in (
            None,
            "image doubled",
            "image as numbers",
            "age infinite",
            "filename as number",
        ):
            change = BROKEN[what] if what else {}
            writer.write(make_record(**{**FULL, contract.FILENAME: None, **change}))
        writer.write(make_record(**{contract.IMAGE: FLIPPED}))  # written anew
        writer.write(make_record(**{contract.FILENAME: b"cut.png", **BROKEN["image: cut PNG"]}))
    report = run(source, out, model, force=True)
    assert (report.images, report.scored, report.rejected) == (7, 3, 4)
    assert [(row["name"], row["reason"]) for row in rows(out, filenames.REJECTS)] == [
        ("a.tfrecord#1", "malformed"), ("a.tfrecord#2", "malformed"),
        ("a.tfrecord#4", "malformed"), ("cut.png", "truncated"),
    ]  # fmt: skip
    with (source / "a.tfrecord").open("ab") as file:
        file.write(frame(2**40) + b"x" * 100)
    with pytest.raises(UserError, match="damaged after record 7: a record of 1099511627776 bytes"):
        run(source, out, model)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (filenames.PREDICT_REPORT, ""),
        (filenames.PREDICT_REPORT, "{}"),
        (filenames.PREDICTIONS, None),
        (filenames.PREDICTIONS, ""),
        (filenames.REJECTS, "\0" * 40),
        (filenames.REJECTS, "who,why\n"),
    ],
)
def test_a_damaged_output_is_not_taken_for_whole(tmp_path, greys, model, name, content):
    out = tmp_path / "out"
    run(greys, out, model)
    assert batch_job.Job(greys, out, model).earlier_report
    whole = (out / filenames.PREDICTIONS).read_text()
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_text(content)
    assert batch_job.Job(greys, out, model).earlier_report is None
    run(greys, out, model)
    assert (out / filenames.PREDICTIONS).read_text() == whole


def test_a_part_of_garbage_is_scored_again(tmp_path, greys, model):
    run(greys, tmp_path / "whole", model)
    job = batch_job.Job(greys, tmp_path / "out", model)
    partial = tmp_path / filenames.PARTIAL.format("out")
    partial.mkdir()
    for part in job._parts:
        (partial / f"{part.key}.jsonl").write_text("garbage\n" * part.images)
    job.run()
    whole, again = (tmp_path / out / filenames.PREDICTIONS for out in ("whole", "out"))
    assert again.read_text() == whole.read_text()


def test_what_cannot_be_done_is_refused_before_anything_is_lost(tmp_path, greys, model):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("three years of work")
    (tmp_path / "empty").mkdir()
    for source, out, by, message in [
        (greys, tmp_path / "thesis", model, "it would be lost"),
        (greys, greys / "a/00.png", model, "it would be lost"),
        (greys, greys / "a/00.png" / "out", model, "cannot be written"),
        (tmp_path / "empty", tmp_path / "out", model, "holds neither images nor TFRecords"),
        (tmp_path / "none", tmp_path / "out", model, "no such folder"),
        (greys, tmp_path / "out", tmp_path / "empty", "holds no model"),
    ]:
        with pytest.raises(UserError, match=message):
            run(source, out, by)
    broken = export(tmp_path / "broken")
    (broken / "variables" / "variables.index").write_bytes(b"")
    with pytest.raises(UserError, match="is no model of tfxray's"):
        run(greys, tmp_path / "out", broken)
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "three years of work"
    partial = tmp_path / filenames.PARTIAL.format("out")
    partial.mkdir(exist_ok=True)
    who = pytest.raises(UserError, match=r"tfxray predict \(process .* is at work there")
    with locks.hold(partial / "lock", "tfxray predict", print), who:
        run(greys, tmp_path / "out", model)


def test_a_large_noisy_image_is_scored_by_its_own_pixels(tmp_path, model):
    noise = np.random.default_rng(0).integers(0, 200, (300, 400)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(noise).save(tmp_path / "in" / "noise.tiff")
    run(tmp_path / "in", tmp_path / "out", model)
    (row,) = rows(tmp_path / "out")
    assert float(row["score"]) == pytest.approx(noise.mean() / 255, abs=1e-6)


def test_what_tensorflow_cannot_decode_is_told_of_that_image_alone(tmp_path, model, monkeypatch):
    """Of single images: Pillow has decoded them, and TensorFlow may refuse one all the same."""
    contents = {"good.png": READ["grey.png"], "half.png": READ["grey.png"][:-40]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    loaded_image = loader.read_file(READ["grey.png"])[0]
    as_it_is = lambda content: (dataclasses.replace(loaded_image, encoded=content), None)  # noqa: E731
    monkeypatch.setattr(loader, "read_file", as_it_is)
    paths = [str(tmp_path / name) for name in ("good.png", "half.png", "good.png")]
    good, half, again = pushed_model.predict_images(paths, model, force=True)
    assert good.error is None
    assert good == again
    assert half.error.startswith("truncated")
    assert half.label is None


def test_statistics_are_left_of_what_files_and_records_tell(tmp_path, model):
    """As ingest measures and reads them; and no name, no patient."""
    grey = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    tags = {"PatientID": "HOSP-1", "PatientAge": "042Y", "PatientSex": "F", "ViewPosition": "AP"}
    encoded = loader.read_file(READ["grey.png"])[0].encoded
    (tmp_path / "films").mkdir()
    for number in range(3):
        (tmp_path / "films" / f"{number}.dcm").write_bytes(dicom(grey, bits=8, **tags))
    (tmp_path / "records").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "records" / "a.tfrecord")) as writer:
        for site in (b"north", b"south"):
            writer.write(
                record(**{contract.IMAGE: encoded, contract.SITE: site, contract.PATIENT: site,
                          contract.SEX: b"male"})
            )  # fmt: skip
    told = {}
    for source in ("films", "records"):
        report = run(tmp_path / source, tmp_path / f"{source} out", model)
        text = (tmp_path / f"{source} out" / filenames.SCORED_STATISTICS).read_text()
        assert report.statistics.endswith(filenames.SCORED_STATISTICS)
        assert "HOSP-1" not in text
        assert ".dcm" not in text
        told[source] = scored.read_scored(str(tmp_path / f"{source} out"))
    features = {
        source: {feature_statistics.feature_name(f): f for f in each.statistics.features}
        for source, each in told.items()
    }
    films = features["films"]
    assert films[contract.AGE].num_stats.mean == 42
    assert films[contract.MEAN].num_stats.mean == pytest.approx(grey.mean(), abs=0.1)
    assert films[contract.STD].num_stats.mean == pytest.approx(grey.std(), abs=0.1)
    assert [v.value for v in films[contract.VIEW].string_stats.top_values] == ["AP"]
    assert contract.SITE not in films
    assert (told["films"].images, told["films"].patients) == (3, 1)
    sexes = features["records"][contract.SEX].string_stats.top_values
    assert [(v.value, v.frequency) for v in sexes] == [("M", 2)]
    assert told["records"].patients == 2
    assert told["records"].scores["PNEUMONIA"].total == 2
    assert told["films"].model == told["records"].model == pushed_model.read_fingerprint(str(model))


def test_scores_of_images_unlike_the_training_data_are_not_counted(tmp_path, greys, model):
    Image.new("L", (8, 8), 255).save(greys / "white.png")
    for force in (False, True):
        run(greys, tmp_path / "out", model, force=force)
        told = scored.read_scored(str(tmp_path / "out"))
        assert (told.images, told.unlike, told.patients) == (13, 1, None)
        assert told.scores["PNEUMONIA"].total == 12
