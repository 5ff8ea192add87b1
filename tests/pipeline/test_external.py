"""External test sets before the first node: what cannot be used is told in a line, by its name."""

import shutil

import pytest
import tensorflow as tf

from tests.components.ingest.test_record_check import record
from tfxray.components.common.errors import UserError
from tfxray.pipeline import external, inputs
from tfxray.pipeline.config.config import Config

CLASSES = ["NORMAL", "PNEUMONIA"]


def config_with(**keys):
    return Config(name="demo", classes=CLASSES, evaluate={"external": {"nih": keys}})


@pytest.fixture
def prepare(tmp_path):
    """Finds a config's sets and starts their ingests; none comes to its end."""

    def call(config):
        def start(name, source, own):
            del name
            inputs.Ingest(source, own, tmp_path / "config.yaml", tmp_path / "out", tmp_path / "log")
            raise AssertionError("this set can be ingested")

        sources = external.find_sets(config, tmp_path, lambda *args, **more: None)
        return external.prepare_sets(config, sources, str(tmp_path), print, start)

    return call


def folder_of(drawn, place, **names):
    """A few drawn X-rays in class folders of other names."""
    for name, ours in names.items():
        (place / name).mkdir(parents=True)
        for path in sorted((drawn / ours).glob("*.png"))[:3]:
            shutil.copy(path, place / name)
    return place


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"HEALTHY": "NORMAL", "ILL": "PNEUMONIA"}, "HEALTHY"),
        ({"PNEUMONIA": "PNEUMONIA"}, "none of NORMAL"),
        ({"": "NORMAL"}, "nothing tells the class of an image"),
    ],
)
def test_other_classes_one_class_and_no_labels_are_refused(
    drawn, tmp_path, prepare, names, message
):
    if "" in names:
        (tmp_path / "set").mkdir()
        for path in sorted((drawn / names[""]).glob("*.png"))[:3]:
            shutil.copy(path, tmp_path / "set")
    else:
        folder_of(drawn, tmp_path / "set", **names)
    with pytest.raises(UserError) as refused:
        prepare(config_with(data=str(tmp_path / "set")))
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"external test set nih: {tmp_path / 'set'}: ")
    assert message in line


def test_a_folder_that_is_empty_or_not_there_is_named_with_its_key(tmp_path, prepare):
    (tmp_path / "set").mkdir()
    empty = r"^external test set nih: .*set: holds no images \(.*DICOM.*\(evaluate.external.nih\)$"
    with pytest.raises(UserError, match=empty):
        prepare(config_with(data=str(tmp_path / "set")))
    # Before the run's own data are ingested, which may take hours.
    with pytest.raises(UserError, match=empty):
        external.find_sets(config_with(data=str(tmp_path / "set")), tmp_path, print)
    with pytest.raises(UserError, match=r"external test set nih: .*\(evaluate.external.nih.data\)"):
        prepare(config_with(data=str(tmp_path / "gone")))


def test_labels_and_splits_of_a_set_are_told_by_its_own_keys(drawn, tmp_path, prepare):
    place = tmp_path / "set"
    for split in ("train", "test"):
        folder_of(drawn, place / split, HEALTHY="NORMAL", ILL="PNEUMONIA")
    ingest = {"labels": {"HEALTHY": "NORMAL", "ILL": "PNEUMONIA"}}
    with pytest.raises(AssertionError, match="this set can be ingested"):
        prepare(config_with(data=str(place), ingest=ingest))
    own = external.config_of(config_with(data="x", ingest=ingest), "nih")
    assert own.split.ignore_given
    assert own.classes == CLASSES


def test_the_key_of_the_run_makes_the_pseudonyms_of_its_sets():
    """Else nobody would see that a patient is in both."""
    both = {"ingest": {"pseudonym_key": "run.key"}, "classes": CLASSES, "name": "demo"}
    for own, expected in ((None, "run.key"), ("own.key", "own.key")):
        sets = {"nih": {"data": "x", "ingest": {"pseudonym_key": own}}}
        config = Config(**both, evaluate={"external": sets})
        assert external.config_of(config, "nih").ingest.pseudonym_key == expected


def test_a_set_may_tell_some_of_the_findings():
    findings = ["Edema", "Mass"]
    sets = {"nih": {"data": "x", "findings": ["Mass"]}, "all": {"data": "y"}}
    config = Config(name="demo", findings=findings, evaluate={"external": sets})
    assert external.config_of(config, "nih").findings == ["Mass"]
    assert external.config_of(config, "all").findings == findings


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data": "x", "findings": ["Edema"]}, r"external\.nih\.findings: \['Edema'\] are none of"),
        ({"data": "x", "dataset": "nhi"}, r"no such data set \(did you mean nih\?\); allowed"),
        ({"data": "x", "ingest": {"data": "y"}}, "ingest.data: write it beside `ingest`"),
        ({"data": "x", "ingest": {"sample": {}}}, "an external test set is not drawn"),
        ({"data": "x", "ingest": {"columns": {"a": "b"}}}, "external.nih.ingest.columns: no such"),
        ({"data": "x", "patients": "mine"}, "patients"),
        ({}, "data"),
    ],
)
def test_wrong_keys_are_refused_with_the_config(keys, message):
    with pytest.raises(ValueError, match=message):
        config_with(**keys)


@pytest.mark.parametrize("name", ["Test", "a b", "../up", ""])
def test_the_name_of_a_set_makes_a_folder_and_is_no_split(name):
    with pytest.raises(ValueError, match=r"name for a set|name of a split"):
        Config(name="demo", classes=CLASSES, evaluate={"external": {name: {"data": "x"}}})


def test_records_of_others_are_taken_in_place_and_a_changed_file_is_another_set(tmp_path):
    path = tmp_path / "set" / "all-00000-of-00001"
    path.parent.mkdir()
    config = config_with(data=str(path.parent), patients="own")
    files = []
    for count in (2, 3):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(2 * count):
                writer.write(record(label=number % 2))
        (told,) = external.use_records(config).values()
        assert told.settings["base"] == str(path.parent)
        assert (told.settings["patients"], told.settings["rejected"]) == ("own", 0)
        files.append(told.settings["files"])
    assert files[0] != files[1]
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"^external test set nih: "):
        external.use_records(config)
