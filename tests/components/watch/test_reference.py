"""What goes with a pushed model, and what scoring leaves: read as they were written."""

import dataclasses
import json

import pytest

from tests.components.monitor.made import make_reference, make_scored
from tfxray.components.common import filenames
from tfxray.components.common.contract import PATIENT
from tfxray.components.common.errors import UserError
from tfxray.components.watch import reference, scored


def test_a_reference_is_read_as_it_was_written(tmp_path):
    made = make_reference()
    path = tmp_path / filenames.MONITORING
    path.parent.mkdir()
    reference.write_reference(str(path), made)
    read = reference.read_reference(str(tmp_path))
    for field in dataclasses.fields(made):
        if field.name != "heldout":
            assert getattr(read, field.name) == getattr(made, field.name)
    assert read.heldout["ILL"].calibration == made.heldout["ILL"].calibration
    assert read.heldout["ILL"].auc == made.heldout["ILL"].auc
    assert read.heldout["ILL"].scores.to_json() == made.heldout["ILL"].scores.to_json()
    assert read.heldout["ILL"].scores.total == 600 - made.heldout_unlike


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[]"])
def test_a_version_without_a_sound_reference_is_refused_in_a_line(tmp_path, content):
    with pytest.raises(UserError, match=r"holds no assets.extra/monitoring.json.*tfxray run"):
        reference.read_reference(str(tmp_path))
    path = tmp_path / filenames.MONITORING
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UserError, match=r"monitoring.json: cannot be read"):
        reference.read_reference(str(tmp_path))


def test_what_was_scored_is_read_as_it_was_written_and_names_nobody(tmp_path):
    made = make_scored(3, 30)
    path = tmp_path / filenames.SCORED_STATISTICS
    path.write_bytes(scored.to_json(made))
    read = scored.read_scored(str(tmp_path))
    assert dataclasses.replace(read, scores={}) == dataclasses.replace(made, scores={})
    assert read.scores["ILL"].to_json() == made.scores["ILL"].to_json()
    assert scored.hide_patient("3") not in path.read_text()
    assert PATIENT not in path.read_text()
    path.write_text(json.dumps({"format": 9}))
    with pytest.raises(UserError, match="of format 9, not 1; score the folder again"):
        scored.read_scored(str(tmp_path))
    with pytest.raises(UserError, match=r"holds no statistics.json"):
        scored.read_scored(str(tmp_path / "elsewhere"))


def test_patients_are_counted_and_images_without_one_count_as_one():
    collector = scored.Collector(["ILL"])
    for patient in ("a", "b", "a", ""):
        known = {PATIENT: scored.hide_patient(patient)} if patient else {}
        collector.add(known, [0.5], False)
    assert collector.finish("m").patients == 3
    nobody = scored.Collector(["ILL"])
    nobody.add({}, [0.5], None)
    told = nobody.finish("m")
    assert (told.patients, told.unlike, told.images) == (None, None, 1)


def alter(keys, value):
    """Sets a key of a file as it is written, or takes it out (`...`)."""

    def change(content):
        *above, last = keys
        for key in above:
            content = content[key]
        if value is ...:
            del content[last]
        else:
            content[last] = value

    return change


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["images"], -5, r"images: is -5; .*greater than or equal to 0"),
        (["images"], 10, r"patients: is 15; allowed: at most the 10 images"),
        (["unlike"], 3, r"scores.ILL: is of 30 images; allowed: of at most the 27 images that"),
        (["images"], ..., r"images: is missing"),
        (["patients"], 31, r"patients: is 31; allowed: at most the 30 images"),
        (["unlike"], 1000, r"unlike: is 1000; allowed: at most the 30 images"),
        (["scores"], {}, r"scores: is a dict; .*at least 1 item"),
        (["scores"], [], r"scores: is a list; .*dictionary"),
        (["scores", "ILL"], [1], r"scores.ILL: must map bins of scores to counts"),
        (["scores", "ILL"], {"abc": 1}, r"scores.ILL: abc: 1 is no bin of scores; allowed: 0 to"),
        (["scores", "ILL"], {"7": 1.5}, r"scores.ILL: 7: 1.5 is no bin of scores"),
        (["statistics"], {}, r"statistics.numExamples: is 0; allowed: 30, as many as images"),
        (["statistics"], [], r"statistics: must be TFDV's statistics"),
    ],
)
def test_what_was_scored_is_refused_by_the_key_that_was_altered(tmp_path, keys, value, message):
    content = json.loads(scored.to_json(make_scored(3, 30)))
    alter(keys, value)(content)
    (tmp_path / filenames.SCORED_STATISTICS).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"statistics.json: cannot be read: {message}") as caught:
        scored.read_scored(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["heldout", "ILL", "calibration"], [], r"heldout.ILL.calibration: is a list; "),
        (["heldout", "ILL", "clustering"], ..., r"heldout.ILL.clustering: is missing"),
        (["heldout"], {}, r"heldout: is of nothing; allowed: ILL"),
        (["heldout_unlike"], 601, r"heldout_unlike: is 601; allowed: at most the 600"),
        (["threshold"], float("nan"), r"threshold: is nan; "),
        (["drift"], {"image/maen": 0.1}, r"drift.image/maen: is a str; .*image/mean"),
        (["task", "names"], "ILL", r"task.names: is a str; .*list"),
    ],
)
def test_a_reference_is_refused_by_the_key_that_was_altered(tmp_path, keys, value, message):
    path = tmp_path / filenames.MONITORING
    path.parent.mkdir()
    reference.write_reference(str(path), make_reference())
    content = json.loads(path.read_text())
    alter(keys, value)(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"monitoring.json: cannot be read: {message}") as caught:
        reference.read_reference(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[1, 2]", "null", '"a"', "hello", "{"])
def test_a_file_that_holds_no_object_is_refused_in_a_line(tmp_path, content):
    (tmp_path / filenames.SCORED_STATISTICS).write_text(content)
    with pytest.raises(UserError, match=r"cannot be read: (is a|is None|[EI]\w+)") as caught:
        scored.read_scored(str(tmp_path))
    assert "Error" not in str(caught.value)
