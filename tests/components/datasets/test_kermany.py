"""Kermany's set is known by its file names; folders of the same classes are read as ever."""

import pytest

from tests.components.datasets.folders import read, refusal, undrawn
from tests.components.source.test_labelling import touch
from tests.conftest import ROOT
from tfxray.components.datasets import kermany
from tfxray.components.source import labelling
from tfxray.components.source.rows import Rules
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.loader import load_config

FILES = {
    "train/NORMAL/IM-0901-0001.jpeg": ("NORMAL", "train", "IM-0901"),
    "train/NORMAL/IM-0901-0001-0002.jpeg": ("NORMAL", "train", "IM-0901"),
    "train/NORMAL/NORMAL2-IM-0901-0001.jpeg": ("NORMAL", "train", "NORMAL2-IM-0901"),
    "train/PNEUMONIA/person901_bacteria_1.jpeg": ("PNEUMONIA", "train", "bacteria-901"),
    "train/PNEUMONIA/person901_bacteria_2.jpeg": ("PNEUMONIA", "train", "bacteria-901"),
    "train/PNEUMONIA/person901_virus_3.jpeg": ("PNEUMONIA", "train", "virus-901"),
    "val/NORMAL/NORMAL2-IM-0902-0001.jpeg": ("NORMAL", "train", "NORMAL2-IM-0902"),
    "val/PNEUMONIA/person902_bacteria_4.jpeg": ("PNEUMONIA", "train", "bacteria-902"),
    "test/NORMAL/IM-0903-0001.jpeg": ("NORMAL", "test", "IM-0903"),
    "test/PNEUMONIA/person903_virus_5.jpeg": ("PNEUMONIA", "test", "virus-903"),
}
RECIPES = sorted(path for path in (ROOT / "configs").glob("*.yaml") if "person" in path.read_text())


def write_kermany(folder, *below):
    """As Kaggle's archive has it: twice, and with macOS's own files."""
    places = below or ("chest_xray", "chest_xray/chest_xray")
    touch(folder, *(f"{place}/{name}" for place in places for name in FILES))
    hidden = [name.replace("/IM-", "/._IM-").replace("/person", "/._person") for name in FILES]
    touch(folder, *(f"{places[0]}/__MACOSX/chest_xray/{name}" for name in hidden),
          f"{places[0]}/test/NORMAL/.DS_Store")  # fmt: skip


def test_kermanys_archive_is_read_once_and_val_joins_train(tmp_path):
    write_kermany(tmp_path)
    reading = read(tmp_path)
    assert reading.said[0].startswith(
        "this is Kermany's chest X-rays of children in chest_xray: 2 classes"
    )
    assert reading.images.task.names == ("NORMAL", "PNEUMONIA")
    assert undrawn(reading.rows) == {
        path: (label, split, {"patient": patient})
        for path, (label, split, patient) in FILES.items()
    }
    splits = {}
    for row in reading.images.rows:
        splits.setdefault(row.metadata["patient"], set()).add(row.split)
    assert all(len(each) == 1 for each in splits.values())
    assert reading.left_out == {"copy": 10, "hidden": 11}
    assert "10% of the patients in train and eval are drawn for eval" in reading.noted


@pytest.mark.parametrize("place", ["chest_xray/chest_xray", "."])
def test_kermany_may_lie_deeper_or_be_the_folder_itself(tmp_path, place):
    write_kermany(tmp_path, place)
    reading = read(tmp_path)
    assert len(reading.images.rows) == 10


def test_the_users_share_for_eval_and_a_split_of_ones_own_count_more(tmp_path):
    write_kermany(tmp_path)
    config = {"classes": ["NORMAL", "PNEUMONIA"], "split": {"eval_from_train": 0.9}}
    reading = read(tmp_path, config=config)
    assert {row.eval_share for row in reading.images.rows} == {0.9}
    config = {"classes": ["NORMAL", "PNEUMONIA"], "split": {"ignore_given": True}}
    reading = read(tmp_path, config=config)
    assert {row.split for row in reading.images.rows} == {None}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_keep_their_own_pattern_and_only_hear_of_it(tmp_path, recipe):
    write_kermany(tmp_path, ".")
    config = load_config(recipe)
    reading = read(tmp_path, config=config)
    assert reading.said[0].startswith(
        "this looks like Kermany's chest X-rays of children, but is read by"
    )
    if config.classes == ["NORMAL", "PNEUMONIA"]:
        assert config.ingest.pattern == kermany.PATTERN


LOOK_ALIKES = {
    "two classes in split folders": [
        f"{split}/{label}/{number}.jpeg"
        for split in ("train", "val", "test") for label in ("NORMAL", "PNEUMONIA")
        for number in (1, 2)
    ],
    "persons who have no virus": [
        f"{split}/{label}/person{number}.jpeg"
        for split in ("train", "val", "test") for label in ("NORMAL", "PNEUMONIA")
        for number in (1, 2)
    ],
    "kermany's names in class folders alone": [
        "NORMAL/IM-0001-0001.jpeg", "PNEUMONIA/person1_virus_2.jpeg",
        "PNEUMONIA/person1_bacteria_3.jpeg",
    ],
    "covid, three classes in split folders": [
        f"{split}/{label}/0{number}.jpeg"
        for split in ("train", "test", "val")
        for label in ("Covid", "Normal", "Viral Pneumonia") for number in (1, 2)
    ],
    "covid, four classes with names of one's own": [
        f"{label}/images/x{number}.png"
        for label in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia") for number in (1, 2)
    ],
    "tuberculosis with names of one's own": [
        "Normal/a-1.png", "Normal/a-2.png", "Tuberculosis/b-1.png", "Tuberculosis/b-2.png",
    ],
    "health, sick and tb": ["imgs/health/1.png", "imgs/sick/2.png", "imgs/tb/3.png"],
    "Train and Test of COVID-19": [
        f"{split}/{label}/{number}.png"
        for split in ("Train", "Val", "Test") for label in ("COVID-19", "Non-COVID", "Normal")
        for number in (1, 2)
    ],
    "lists beside images": ["train.txt", "test.txt", "a/1.png", "b/2.png"],
    "a flat folder of Shenzhen's in classes": [
        "normal/CHNCXR_0001_0.png", "ill/CHNCXR_0002_1.png",
    ],
}  # fmt: skip


@pytest.mark.parametrize("files", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_a_look_alike_is_read_as_any_folder(tmp_path, files):
    touch(tmp_path, *files)
    said = []
    place = data_folder.find_folder(str(tmp_path), None, said.append)
    assert place == data_folder.Folder(str(tmp_path), None)
    assert not said
    rules = data_folder.label_rules(None, place)
    assert rules == Rules(whole=False)  # as `tfxray ingest` has ever had them
    reading = read(tmp_path)
    assert reading.images == labelling.label_images(tmp_path, rules)
    assert all(row.metadata == {} for row in reading.images.rows)


def test_class_folders_beside_a_table_called_metadata_are_read_as_ever(tmp_path):
    touch(tmp_path, "Normal/1.png", "Pneumonia/2.png")
    (tmp_path / "metadata.csv").write_text("patientid,sex,age,view,filename\n1,F,3,PA,1.png\n")
    reading = read(tmp_path)
    assert [row.label for row in reading.images.rows] == ["Normal", "Pneumonia"]
    assert (reading.said, reading.notes) == ([], ["splits: drawn by patient (none are given)"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/NORMAL/IM-1-1.jpeg", "train/PNEUMONIA/1.jpeg"],
         "lacks train/PNEUMONIA/person[0-9]*_virus_* or train/PNEUMONIA/person[0-9]*_bacteria_*"),
        (["a.png"], "holds no Kermany's chest X-rays of children"),
    ],
)  # fmt: skip
def test_another_folder_is_not_read_as_kermanys(tmp_path, files, message):
    touch(tmp_path, *files)
    assert message in refusal(tmp_path, "kermany")


def test_a_name_that_is_none_is_refused(tmp_path):
    touch(tmp_path, "a.png")
    assert "'kermani' is no data set that tfxray knows" in refusal(tmp_path, "kermani")
