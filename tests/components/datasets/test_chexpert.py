"""CheXpert, CheXpert Plus and BRAX."""

import pytest

from tests.components.datasets.folders import (
    lay_out,
    narrowed,
    read,
    refusal,
    undrawn,
    values,
)
from tfxray.components.datasets.chexpert import FINDINGS

TRAIN = ("patient00101/study1/view1_frontal", "patient00101/study1/view2_lateral",
         "patient00102/study1/view1_frontal", "patient00102/study2/view1_frontal",
         "patient00103/study1/view1_frontal", "patient00104/study1/view1_frontal")  # fmt: skip
VALID = ("patient64901/study1/view1_frontal", "patient64901/study1/view2_lateral")
WHOLE = [*(f"train/{name}.jpg" for name in TRAIN), *(f"valid/{name}.jpg" for name in VALID)]
# No Finding says that all are absent, but devices.
NONE = values([name for name in FINDINGS if name != "Support Devices"], others=0)
KNOWN = [
    ("patient00101", 68.0, "F", "AP", NONE | values((), Support_Devices=1)),
    ("patient00101", 68.0, "F", "LL", NONE | values((), Support_Devices=1)),
    ("patient00102", None, "M", "PA", values(
        (), Cardiomegaly=-1, Lung_Opacity=1, Edema=-1, Consolidation=-1, Atelectasis=-1,
        Pleural_Effusion=-1, Fracture=1)),
    ("patient00102", 90.0, "M", "LL", values((), Cardiomegaly=1, Pleural_Effusion=1)),
    ("patient00103", 41.0, "", "", values(
        (), Enlarged_Cardiomediastinum=0, Lung_Lesion=1, Pneumonia=1, Atelectasis=0,
        Pleural_Effusion=0, Pleural_Other=1)),
    ("patient00104", 55.0, "M", "AP", None),
    ("patient64901", 73.0, "M", "AP", values(
        FINDINGS, others=0, Enlarged_Cardiomediastinum=1, Cardiomegaly=1, Lung_Opacity=1,
        Atelectasis=1)),
    ("patient64901", 73.0, "M", "LL", values(
        FINDINGS, others=0, Enlarged_Cardiomediastinum=1, Cardiomegaly=1, Lung_Opacity=1,
        Atelectasis=1)),
]  # fmt: skip
FIRST = "CheXpert-v1.0 batch 1 (validate & csv)"


def as_read(names, views):
    """By the number of each image: its row, if its view is wanted."""
    return {
        number: narrowed(("test" if "64901" in row[0] else "train", *row), names)
        for number, row in enumerate(KNOWN)
        if row[3] in views
    }


@pytest.mark.parametrize("below", ["", "CheXpert-v1.0-small", "archive/CheXpert-v1.0"])
def test_each_row_of_chexpert_is_read(tmp_path, below):
    lay_out(tmp_path / below, "chexpert", *WHOLE)
    told = read(tmp_path)
    assert told.dataset == "chexpert"
    names = told.images.task.names
    # Edema, Consolidation and Pneumothorax are never certain here; effusion is in a lateral alone.
    assert set(FINDINGS) - set(names) == {
        "Edema", "Consolidation", "Pneumothorax", "Pleural Effusion",
    }  # fmt: skip
    expected = as_read(names, ("AP", "PA", ""))
    assert list(told.known) == [WHOLE[number] for number in expected]
    assert list(undrawn(told.known).values()) == list(expected.values())
    assert told.sites == {"Stanford Hospital"}
    assert told.left_out == {"other_view": 3}
    assert "train 4, test 1 images, given by the tables train.csv, valid.csv" in told.noted
    assert "15% of the patients in train are drawn for eval" in told.noted


def test_the_folders_of_the_four_batches_are_one_set(tmp_path):
    folder = tmp_path / "chexpertchestxrays-u20210408"
    # The second has the patients themselves; the third has them in train/.
    images = [
        f"CheXpert-v1.0 batch {'2 (train 1)' if '0010' + one in name else '3 (train 2)/train'}/"
        f"{name}.jpg"
        for one in "1" for name in TRAIN
    ] + [f"{FIRST}/valid/{name}.jpg" for name in VALID]  # fmt: skip
    lay_out(folder / FIRST, "chexpert")
    lay_out(folder, "chexpert", *images)
    (folder / "train.csv").unlink()
    (folder / "valid.csv").unlink()
    told = read(tmp_path)
    assert told.dataset == "chexpert_batches"
    expected = as_read(told.images.task.names, ("AP", "PA", ""))
    assert undrawn(told.known) == {images[number]: row for number, row in expected.items()}
    assert told.left_out == {"other_view": 3}


def test_chexpert_that_is_not_whole_is_said_in_one_message(tmp_path):
    message = refusal(lay_out(tmp_path / "a", "chexpert"), "chexpert")
    assert "lacks train/patient*" in message
    assert "train/patient*/study*/*.jpg" in message
    message = refusal(lay_out(tmp_path / "b", "brax", *WHOLE), "chexpert")
    assert "lacks train.csv" in message
    table = lay_out(tmp_path / "c", "chexpert", *WHOLE) / "train.csv"
    table.write_text(table.read_text().replace("Frontal/Lateral", "Side"))
    message = refusal(tmp_path / "c", "chexpert")
    assert "train.csv lacks the columns Frontal/Lateral; it has: Path, Sex, Age, Side" in message
    table = lay_out(tmp_path / "d", "chexpert", *WHOLE) / "train.csv"
    table.write_text(table.read_text().replace("Pleural Other", "Other"))
    message = refusal(tmp_path / "d", "chexpert")
    assert "train.csv: has columns of some findings, and none of Pleural Other" in message


@pytest.mark.parametrize(
    "places",
    [
        ("PNG/train", "PNG/valid"),
        ("PNG/png_chexpert_plus_chunk_0/PNG/train", "PNG/png_chexpert_plus_chunk_4/PNG/valid"),
        ("train", "valid"),
    ],
)
def test_each_row_of_chexpert_plus_is_read(tmp_path, places):
    train, valid = places
    names = [f"{train}/patient0050{n}" for n in ("1/study1/view1_frontal", "2/study1/view1_frontal",
             "2/study1/view2_lateral", "3/study1/view1_frontal")]  # fmt: skip
    names.append(f"{valid}/patient64905/study1/view1_frontal")
    lay_out(tmp_path / "x", "chexpert_plus", *(f"{name}.png" for name in names))
    lay_out(tmp_path / "x", "chexpert_plus", "DICOM/train/patient00501/study1/view1_frontal.dcm")
    told = read(tmp_path)
    assert told.dataset == "chexpert_plus"
    assert told.images.task.names == ("Cardiomegaly", "Edema", "Support Devices")
    assert undrawn(told.known) == {
        f"{names[0]}.png": ("train", "patient00501", 62.0, "M", "AP",
                            {"Cardiomegaly": 0, "Edema": 0}),
        f"{names[1]}.png": ("train", "patient00502", None, "F", "PA", {"Edema": 1}),
        # No row in the table of labels.
        f"{names[3]}.png": ("train", "patient00503", 35.0, "M", "AP", None),
        f"{names[4]}.png": ("test", "patient64905", 90.0, "F", "AP",
                            {"Cardiomegaly": 1, "Support Devices": 1}),
    }  # fmt: skip
    assert told.left_out == {"not_included": 1, "other_view": 1}
    assert "1 rows have no row of the same path_to_image in report_fixed.json" in told.noted
    assert told.sites == {"Stanford Hospital"}


def test_chexpert_plus_without_labels_is_refused(tmp_path):
    image = "PNG/train/patient00501/study1/view1_frontal.png"
    (lay_out(tmp_path / "a", "chexpert_plus", image) / "report_fixed.json").unlink()
    message = refusal(tmp_path / "a", "chexpert_plus")
    assert "report_fixed.json: no file matches (ingest.joins). CheXpert Plus" in message
    assert "no path in it is a file" in refusal(
        lay_out(tmp_path / "b", "chexpert_plus"), "chexpert_plus"
    )
    table = lay_out(tmp_path / "c", "chexpert_plus", image) / "df_chexpert_plus_240401.csv"
    table.write_text(table.read_text().replace("ap_pa", "side", 1))
    assert "lacks the columns ap_pa; it has: path_to_image" in refusal(
        tmp_path / "c", "chexpert_plus"
    )


@pytest.mark.parametrize("below", ["", "brax/1.1.0"])
def test_each_row_of_brax_is_read(tmp_path, below):
    images = [f"images/id_{p}/Study_{s}/Series_{k}/image-{k[0]}-{k[0]}.png" for p, s, k in (
              ("aa", "1.1", "1.1"), ("aa", "1.1", "2.2"), ("bb", "3.3", "3.3"),
              ("cc", "4.4", "4.4"))]  # fmt: skip
    lay_out(tmp_path / below, "brax", *images, "Anonymized_DICOMs/id_aa/x.dcm")
    told = read(tmp_path)
    assert told.dataset == "brax"
    names = ("Cardiomegaly", "Lung Opacity", "Support Devices")
    assert told.images.task.names == names
    assert told.known == {
        images[0]: (None, "aa", 85.0, "F", "PA", {"Cardiomegaly": 0, "Lung Opacity": 0}),
        images[2]: (None, "bb", 30.0, "M", "AP", {"Cardiomegaly": 1, "Support Devices": 1}),
        images[3]: (None, "cc", 5.0, "", "", {"Lung Opacity": 1}),
    }
    assert told.left_out == {"not_included": 1, "other_view": 1}
    assert told.sites == {"Hospital Israelita Albert Einstein"}
    assert "splits: drawn by patient" in told.noted


def test_brax_that_is_not_whole_is_said_in_one_message(tmp_path):
    assert "no path in it is a file" in refusal(lay_out(tmp_path / "a", "brax"), "brax")
    table = lay_out(tmp_path / "b", "brax", "images/x.png") / "master_spreadsheet_update.csv"
    table.write_text(table.read_text().replace("PngPath", "Png"))
    assert "lacks the columns PngPath; it has: DicomPath, Png" in refusal(tmp_path / "b", "brax")
    table.unlink()
    assert "holds no BRAX (ingest.dataset)" in refusal(tmp_path / "b", "brax")
