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
