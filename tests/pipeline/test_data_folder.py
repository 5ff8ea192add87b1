"""Which public data set a folder is, what is said of it, and what a config changes."""

import csv
import json
import shutil

import pytest

from tests import stand_ins
from tests.components.source.test_labelling import touch
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job
from tfxray.components.layouts import public
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.config import Config

FINDINGS = ["Effusion", "Cardiomegaly", "Pneumothorax"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nih")
    stand_ins.nih(folder, [*FINDINGS, "Hernia"], images=60)
    return folder


@pytest.fixture
def nih(original, tmp_path):
    shutil.copytree(original, tmp_path / "nih")
    return tmp_path / "nih"


def find(folder, name=None, **keys):
    """What is found and said, with a config of these keys, or without one."""
    said = []
    config = Config.model_validate({"name": "x", **keys}) if keys else None
    return data_folder.find_folder(str(folder), config, said.append, name), said


def refusal(folder, name=None, **keys):
    with pytest.raises(UserError) as caught:
        find(folder, name, **keys)
    return str(caught.value)


def rules(folder, **keys):
    said = []
    config = Config.model_validate({"name": "x", **keys}) if keys else None
    found = data_folder.find_folder(str(folder), config, said.append)
    return data_folder.label_rules(config, found, said.append), said


def test_a_layout_is_found_and_named(nih):
    found, said = find(nih)
    assert found.dataset.name == "nih"
    assert said[0].startswith("this is NIH ChestX-ray14: 14 findings, official split (by patient:")
    assert said[0].endswith("using ingest.dataset: nih")


def test_a_layout_below_the_folder_is_found_and_images_beside_it_are_not_lost(nih, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    found, said = find(tmp_path)
    assert found.path == str(nih)
    assert "this is NIH ChestX-ray14 in nih:" in said[0]
    assert len(said) == 1
    (nih / "own").mkdir()
    nih.rename(tmp_path / "in")
    touch(tmp_path, "mine/ILL/a.png", "b.png")
    message = refusal(tmp_path)
    assert "holds NIH ChestX-ray14 in in, and 2 files beside it that may be images" in message
    found, said = find(tmp_path, "nih")
    assert said[1] == "2 files beside it, which may be images, are not looked at"


def test_a_mirror_of_folders_that_hold_one_each_is_followed(nih, tmp_path):
    inner = tmp_path / "example.org" / "files" / "chest"
    inner.mkdir(parents=True)
    nih.rename(inner / "1.0.0")
    (tmp_path / "example.org" / "index.html").write_text("x")
    assert find(tmp_path)[0].path == str(inner / "1.0.0")
    touch(inner / "0.9.0", "x.png")  # two ways: nobody says which
    assert find(tmp_path)[0].dataset is None


def test_two_layouts_in_one_folder_are_refused(nih, tmp_path):
    stand_ins.covid19_radiography(tmp_path / "covid", images=60)
    message = refusal(tmp_path)
    assert "holds the layouts of several public data sets" in message
    assert "(ingest.dataset: nih)" in message
    assert "(ingest.dataset: covid19_radiography)" in message
    found, _ = find(tmp_path, "nih")
    assert found.path == str(nih)


@pytest.mark.parametrize(
    "keys",
    [
        {"ingest": {"pattern": "(?P<patient>.*)"}},
        {"ingest": {"manifest": "x.csv"}},
        {"split": {"lists": {"train": "train_val_list.txt", "test": "test_list.txt"}}},
    ],
)
def test_a_config_that_says_how_labels_are_told_is_followed(nih, keys):
    found, said = find(nih, findings=FINDINGS, **keys)
    assert found == (str(nih), None)
    assert said == [
        "this looks like NIH ChestX-ray14, but is read by what the config says; ingest.dataset "
        "would name a reader"
    ]


def test_a_manifest_of_ones_own_is_followed(nih):
    (nih / "manifest.csv").write_text("path\n")
    found, said = find(nih)
    assert found.dataset is None
    assert "is read by its own manifest.csv" in said[0]


def test_none_wants_no_reader(nih):
    assert find(nih, "none") == ((str(nih), None), [])
    assert find(nih, findings=FINDINGS, ingest={"dataset": "none"})[1] == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": ["NORMAL", "PNEUMONIA"]}, "images have findings (Atelectasis,"),
        ({"findings": ["Effusion", "Silicosis"]}, "the config asks for Silicosis"),
    ],
)
def test_labels_that_a_data_set_has_not_are_refused(nih, keys, message):
    refused = refusal(nih, **keys)
    assert message in refused
    assert "tfxray datasets nih --config" in refused


def test_labels_may_be_renamed_and_left_out(nih):
    found, _ = rules(nih, findings=["Fluid", "Cardiomegaly"], ingest={"labels": {
        "Effusion": "Fluid"}})  # fmt: skip
    assert found.labels["Hernia"] == found.labels["Pneumothorax"] == ""
    rows, *_ = public.label_images(nih, found)
    assert {name for row in rows for name in row.findings} == {"Fluid", "Cardiomegaly"}


def test_what_a_user_writes_counts_more_than_the_reader(nih):
    found, _ = rules(nih, findings=FINDINGS, ingest={
        "dataset": "nih", "views": ["PA"], "columns": {"site": "View Position"},
        "defaults": {"site": "Here"}})  # fmt: skip
    assert found.views == ("PA",)
    assert found.columns["path"] == "Image Index"
    assert found.columns["site"] == "View Position"
    assert found.defaults == {"site": "Here"}


def test_the_official_split_is_taken_insisted_on_or_drawn_anew(nih):
    lists = {"train": "train_val_list.txt", "test": "test_list.txt"}
    assert rules(nih, findings=FINDINGS)[0].split_lists == lists
    assert rules(nih, findings=FINDINGS, split="official")[0].split_lists == lists
    anew, _ = rules(nih, findings=FINDINGS, split={"ignore_given": True})
    assert anew.split_lists == {}
    own, _ = rules(nih, findings=FINDINGS, split={"official": True, "eval_from_train": 0.2})
    assert (own.split_lists, own.eval_from_train) == (lists, 0.2)
    (nih / "test_list.txt").unlink()
    drawn, said = rules(nih, findings=FINDINGS)
    assert drawn.split_lists == {}
    assert "test_list.txt is not there: the patients are drawn, not split officially" in said
    with pytest.raises(UserError, match=r"lacks test_list\.txt, the official split of NIH"):
        rules(nih, findings=FINDINGS, split="official")


def test_a_set_without_an_official_split_has_none_to_insist_on(tmp_path):
    stand_ins.covid19_radiography(tmp_path, images=60)
    classes = ["Normal", "COVID", "Lung_Opacity", "Viral Pneumonia"]
    message = refusal(tmp_path, classes=classes, split="official")
    assert "which has no official split (split.official)" in message
    with pytest.raises(ValueError, match="has no official split"):
        Config.model_validate({"name": "x", "split": "official",
                               "ingest": {"dataset": "covid19_radiography"}})  # fmt: skip


def test_a_config_without_labels_has_those_of_its_data_set():
    config = Config.model_validate({"name": "x", "ingest": {"dataset": "nih"}})
    assert config.findings[:2] == ["Atelectasis", "Cardiomegaly"]
    assert len(config.findings) == 14


def test_images_without_their_table_are_no_classes(nih):
    (nih / "Data_Entry_2017_v2020.csv").unlink()
    message = refusal(nih)
    assert "It looks like a part of NIH ChestX-ray14: it lacks Data_Entry_2017*.csv*" in message
    assert "with the columns Image Index, Finding Labels" in message
    assert "it lacks" not in refusal(nih, "nih")
    assert "holds no NIH ChestX-ray14 (ingest.dataset)" in refusal(nih, "nih")
    config = Config.model_validate({"name": "x", "findings": FINDINGS})
    folder = data_folder.find_folder(str(nih), config, print)
    with pytest.raises(UserError, match="It looks like a part of NIH ChestX-ray14"):
        public.label_images(nih, data_folder.label_rules(config, folder))


def test_a_table_of_another_version_is_named_with_its_columns(nih):
    table = nih / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Finding Labels", "Findings"))
    for message in (refusal(nih), refusal(nih, "nih")):
        assert (
            "Data_Entry_2017_v2020.csv lacks the columns Finding Labels; it has: Image" in message
        )


def test_a_table_without_images_is_told(nih):
    for folder in nih.glob("images_*"):
        shutil.rmtree(folder)
    found, _ = find(nih)
    with pytest.raises(UserError) as caught:
        public.label_images(nih, data_folder.label_rules(None, found))
    assert "no path in it is a file below" in str(caught.value)
    assert "images at images_*/images/*.png or images/*.png" in str(caught.value)


@pytest.mark.parametrize(
    "images",
    [
        ["NORMAL/00000001_000.png", "PNEUMONIA/00000002_000.png"],  # NIH's names, sorted by hand
        ["NORMAL/a.png", "PNEUMONIA/b.png"],
        ["train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png",
         "test/PNEUMONIA/d.png"],
        ["COVID/a.png", "Normal/b.png"],
    ],
)  # fmt: skip
def test_an_unknown_folder_is_read_as_any(tmp_path, images):
    touch(tmp_path, *images)
    found, said = find(tmp_path)
    assert (found, said) == ((str(tmp_path), None), [])
    labels = {row.path: row.label for row in public.label_images(
        tmp_path, data_folder.label_rules(None, found)).rows}  # fmt: skip
    assert labels == {path: path.split("/")[-2] for path in images}


def test_a_part_of_a_data_set_is_counted_row_by_row(nih, tmp_path):
    gone = sorted((nih / "images_001" / "images").iterdir())
    for path in gone:
        path.unlink()
    touch(nih, "images_002/images/00009999_000.png")
    found, _ = rules(nih)
    report = job.ingest(nih, tmp_path / "out", found)
    with (tmp_path / "out" / "rejects.csv").open() as file:
        rejects = {row["name"]: (row["reason"], row["detail"]) for row in csv.DictReader(file)}
    assert rejects.pop("images_002/images/00009999_000.png") == (
        "no_label", "no row of the table names it",
    )  # fmt: skip
    assert rejects == dict.fromkeys(
        [path.name for path in gone], ("unreadable", "No such file or directory")
    )
    assert report.images == 61
    assert sum(report.written.values()) == 60 - len(gone)
    assert f"1 images have no row in the table, and {len(gone)} rows no image: rejected" in (
        report.notes
    )


def test_a_table_in_utf_16_is_known(nih):
    table = nih / "Data_Entry_2017_v2020.csv"
    table.write_bytes(table.read_text().encode("utf-16"))
    assert find(nih)[0].dataset.name == "nih"


def test_a_table_of_ones_own_may_take_the_place_of_the_sets(nih):
    table = nih / "Data_Entry_2017_v2020.csv"
    table.rename(nih / "clean.csv")
    ingest = {"dataset": "nih", "manifest": "clean.csv"}
    found, _ = rules(nih, findings=FINDINGS, ingest=ingest)
    rows, *_ = public.label_images(nih, found)
    assert len(rows) == 60
    assert all(row.findings is not None for row in rows)


def test_copies_of_one_layout_are_a_folder_like_any(tmp_path):
    for split in ("train", "test"):
        stand_ins.covid19_radiography(tmp_path / split, images=60)
        inner = tmp_path / split / "COVID-19_Radiography_Dataset"
        inner.rename(tmp_path / "in")
        (tmp_path / split).rmdir()
        (tmp_path / "in").rename(tmp_path / split)
    found, said = find(tmp_path)
    assert found.dataset is None
    assert said[0].startswith("this looks like 2 copies of COVID-19 Radiography Database, and is")


@pytest.mark.parametrize(
    ("table", "heading"),
    [("train.csv", "image_id,class_name"), ("train.csv", "image,annotation"),
     ("metadata.csv", "filename,finding")],
)  # fmt: skip
def test_a_table_of_common_headings_makes_no_data_set(tmp_path, table, heading):
    touch(tmp_path, "A/a.png", "B/b.png")
    (tmp_path / table).write_text(f"{heading}\na.png,A\n")
    assert find(tmp_path) == ((str(tmp_path), None), [])


def test_classes_on_the_command_line_keep_the_reader(tfxray, tmp_path):
    stand_ins.covid19_radiography(tmp_path / "in", images=60)
    classes = "Normal,COVID,Lung_Opacity,Viral Pneumonia"
    done = tfxray("ingest", tmp_path / "in", "--out", tmp_path / "out", "--classes", classes)
    assert done.code == 0, done.err
    assert "using ingest.dataset: covid19_radiography" in done.err
    report = json.loads((tmp_path / "out" / "ingest.json").read_text())
    assert report["classes"] == classes.split(",")
    done = tfxray("ingest", tmp_path / "in", "--out", tmp_path / "2", "--classes", "Normal,COVID")
    assert done.code == 2
    assert "'Lung_Opacity' (" in done.err
    assert "or leave their images out and have them counted: `ingest: {labels: {" in done.err
    done = tfxray("ingest", tmp_path / "in", "--out", tmp_path / "3", "--pattern", "(?P<patient>.)")
    assert "this looks like COVID-19 Radiography Database, but is read by" in done.err


@pytest.mark.parametrize(
    ("ingest", "message"),
    [
        ({"views": []}, "at least 1 item"),
        ({"columns": {"path": "{folder/{file}"}}, "braces come in pairs"),
        ({"columns": {"birth": "born"}}, "only beside columns.study_date"),
        ({"columns": {"path": []}}, "at least 1 item"),
        ({"dataset": "nih2"}, r"no such data set \(did you mean nih\?\); allowed: none, nih,"),
    ],
)
def test_keys_that_mean_nothing_are_refused(ingest, message):
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"name": "x", "classes": ["A", "B"], "ingest": ingest})
