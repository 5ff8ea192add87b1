"""NIH ChestX-ray14, Kaggle's sample of it, and NIH-CXR-LT."""

import pytest

from tests.components.datasets.folders import (
    lay_out,
    narrowed,
    read,
    refusal,
    undrawn,
    values,
)
from tfxray.components.datasets.nih import NIH, NIH_CXR_LT, NIH_SAMPLE

NAMES = ("00000101_000", "00000101_001", "00000102_000", "00000103_000", "00000104_000")
IN_PARTS = [
    f"images_{part:03d}/images/{name}.png"
    for part, name in zip((1, 1, 2, 12, 12), NAMES, strict=True)
]


def all_14(**told):
    return values(NIH.findings, others=0) | told


SHOWN = [
    ("train", "101", 57.0, "M", "PA", all_14(Cardiomegaly=1, Effusion=1)),
    ("train", "101", 58.0, "M", "AP", all_14()),
    ("train", "102", 0.0, "F", "PA", all_14(Pleural_Thickening=1)),
    ("test", "103", 81.0, "F", "AP", all_14(Hernia=1, Infiltration=1, Mass=1)),
    ("test", "104", 33.0, "M", "PA", all_14()),
]


# It asks for findings some of which no image of the sample has.
OFFICIAL = {
    "ingest": {"dataset": "nih"},
    "findings": ["Cardiomegaly", "Hernia", "Mass"],
    "split": "official",
}


@pytest.mark.parametrize(
    ("below", "images"),
    [
        ("", IN_PARTS),
        ("data", IN_PARTS),
        ("nih/ChestXray-NIHCC", [f"images/{name}.png" for name in NAMES]),
    ],
)
def test_each_row_of_2020_is_read(tmp_path, below, images):
    lay_out(tmp_path / below, "nih", *images)
    told = read(tmp_path)
    assert told.dataset == "nih"
    assert "NIH ChestX-ray14" in told.said[0]
    assert "using ingest.dataset: nih" in told.said[0]
    # What no image of the sample has is left out of the findings, and said.
    names = ("Cardiomegaly", "Effusion", "Infiltration", "Mass", "Pleural_Thickening", "Hernia")
    assert told.images.task.names == names
    assert list(undrawn(told.known).values()) == [narrowed(row, names) for row in SHOWN]
    assert list(told.known) == images
    assert told.sites == {"NIH Clinical Center"}
    assert told.left_out == {"other_kind": 3}
    assert "train 3, test 2 images, given by the lists train_val_list.txt" in told.noted


def test_the_table_of_2017_has_a_comma_more_and_ages_that_nobody_reaches(tmp_path):
    images = [f"images_001/images/0000020{n}_000.png" for n in (1, 2, 3)]
    told = read(lay_out(tmp_path, "nih_2017", *images))
    assert told.dataset == "nih"
    names = ("Nodule", "Pneumothorax", "Emphysema")
    assert told.known == {
        images[0]: (None, "201", None, "M", "PA", values(names, others=0, Nodule=1)),
        images[1]: (None, "202", 46.0, "F", "AP",
                    values(names, others=0, Emphysema=1, Pneumothorax=1)),
        images[2]: (None, "203", 29.0, "F", "PA", values(names, others=0)),
    }  # fmt: skip
    assert "train_val_list.txt, test_list.txt is not there: the patients are drawn" in told.said[1]
    assert "splits: drawn by patient" in told.noted


def test_the_official_split_needs_its_lists(tmp_path):
    images = [f"images/0000020{n}_000.png" for n in (1, 2, 3)]
    lay_out(tmp_path, "nih_2017", *images)
    message = refusal(tmp_path, config=OFFICIAL)
    assert "lacks train_val_list.txt, test_list.txt, the off" in message


def test_a_config_asks_for_some_of_the_findings(tmp_path):
    told = read(lay_out(tmp_path / "x", "nih", *IN_PARTS), config=OFFICIAL)
    assert told.known[IN_PARTS[0]][5] == {"Cardiomegaly": 1, "Hernia": 0, "Mass": 0}
    assert told.known[IN_PARTS[2]][5] == {"Cardiomegaly": 0, "Hernia": 0, "Mass": 0}


def test_the_sample_of_kaggle_has_ages_with_units(tmp_path):
    images = ["sample/images/00000301_005.png", "sample/images/00000302_026.png",
              "sample/images/00000303_000.png"]  # fmt: skip
    told = read(lay_out(tmp_path / "archive", "nih_sample", *images).parent)
    assert told.dataset == "nih_sample"
    names = ("Atelectasis", "Infiltration", "Emphysema", "Pleural_Thickening")
    assert set(told.images.task.names) == set(names) <= set(NIH_SAMPLE.findings)
    assert told.known == {
        images[0]: (None, "00000301", 60.0, "M", "AP",
                    values(names, others=1) | {"Atelectasis": 0}),
        images[1]: (None, "00000302", 1.5, "F", "PA", values(names, others=0)),
        images[2]: (None, "00000303", None, "M", "PA",
                    values(names, others=0) | {"Atelectasis": 1}),
    }  # fmt: skip
    assert "splits: drawn by patient" in told.noted


@pytest.mark.parametrize("folder", ["images", "images_004/images"])
def test_nih_cxr_lt_has_a_table_of_each_split(tmp_path, folder):
    images = [f"{folder}/00000{name}.png" for name in ("401_000", "401_001", "402_000", "403_000")]
    told = read(lay_out(tmp_path, "nih_cxr_lt", *images))
    assert told.dataset == "nih_cxr_lt"
    assert len(NIH_CXR_LT.findings) == 19
    names = [name for name in NIH_CXR_LT.findings if name in told.images.task.names]
    zero = values(names, others=0)
    assert told.known == {
        images[0]: ("train", "00000401", None, "", "",
                    zero | values((), Atelectasis=1, Tortuous_Aorta=1)),
        images[1]: ("train", "00000401", None, "", "", zero),
        images[2]: ("eval", "00000402", None, "", "",
                    zero | values((), Pleural_Thickening=1, Pneumomediastinum=1)),
        images[3]: ("test", "00000403", None, "", "", zero | values(
                    (), Subcutaneous_Emphysema=1, Calcification_of_the_Aorta=1)),
    }  # fmt: skip
    assert told.sites == {"NIH Clinical Center"}
    assert "train 2, eval 1, test 1 images, given by the tables miccai2023" in told.noted


def test_what_is_not_whole_is_said_in_one_message(tmp_path):
    image = IN_PARTS[0]
    assert "no path in it is a file below" in refusal(lay_out(tmp_path / "a", "nih"), "nih")
    message = refusal(lay_out(tmp_path / "b", "nih_sample", image), "nih")
    assert "holds no NIH ChestX-ray14" in message
    assert "Data_Entry_2017*.csv* with the columns Image Index, Finding Labels" in message
    table = lay_out(tmp_path / "c", "nih", image) / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Finding Labels", "Labels"))
    message = refusal(tmp_path / "c", "nih")
    assert "Data_Entry_2017_v2020.csv lacks the columns Finding Labels; it has: Image" in message
    lay_out(tmp_path / "d", "nih_cxr_lt", image)
    (tmp_path / "d/miccai2023_nih-cxr-lt_labels_val.csv").unlink()
    message = refusal(tmp_path / "d", "nih_cxr_lt")
    assert "lacks miccai2023_nih-cxr-lt_labels_val.csv" in message
    table = lay_out(tmp_path / "e", "nih", image) / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Patient Age", "Age in Years"))
    message = refusal(tmp_path / "e", "nih")
    # Patient Gender is near it, and is the sex.
    assert "has no column 'Patient Age' (ingest.columns.age); has: Image Index" in message


def test_images_without_a_row_and_rows_without_an_image_are_rejected(tmp_path):
    told = read(lay_out(tmp_path, "nih", *IN_PARTS[1:], "images_012/images/00000999_000.png"))
    assert told.dataset == "nih"
    assert "1 images have no row in the table, and 1 rows no image: rejected" in told.noted
    assert told.known["images_012/images/00000999_000.png"][5] is None
    assert "00000101_000.png" in told.known
