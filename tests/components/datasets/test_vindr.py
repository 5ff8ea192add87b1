"""VinDr-CXR, VinBigData and VinDr-PCXR, as PhysioNet and Kaggle pack them."""

import pytest

from tests.components.datasets.folders import (
    ingest,
    lay_out,
    present,
    read,
    refusal,
    write_dicom,
)
from tfxray.components.common.errors import UserError

A, B, C, D, ONE, TWO = (f"{letter}{'0' * 31}" for letter in "abcd12")
CXR = [
    *(f"train/{name}.dicom" for name in (A, B, C, D)),
    *(f"test/{name}.dicom" for name in (ONE, TWO)),
]
CHILDREN = [
    *(f"train/{name}.dicom" for name in (A, B, C)),
    *(f"test/{name}.dicom" for name in (ONE, TWO)),
]


def test_two_of_three_readers_decide_in_train_and_a_consensus_in_test(tmp_path):
    reading = read(lay_out(tmp_path / "in", "vindr_cxr", *CXR))
    assert reading.dataset == "vindr_cxr"
    assert present(reading.rows) == {
        f"train/{A}.dicom": (set(), "train", {}),
        f"train/{B}.dicom": ({"Cardiomegaly"}, "train", {}),
        f"train/{C}.dicom": ({"Nodule-Mass", "Other diseases"}, "train", {}),
        f"train/{D}.dicom": ({"Pneumothorax?"}, "train", {}),  # of two readers, one says so
        f"test/{ONE}.dicom": ({"Other diseases", "Pneumothorax"}, "test", {}),
        f"test/{TWO}.dicom": (set(), "test", {}),
    }
    assert reading.images.task.names == (
        "Cardiomegaly", "Nodule-Mass", "Pneumothorax", "Other diseases",
    )  # fmt: skip
    # No finding of those is unknown.
    assert {len(row.findings) for row in reading.images.rows} == {4}
    assert (
        "image_labels_test.csv: has no column 'rad_id' (ingest.columns.reader), which another table"
        in reading.noted
    )
    assert "not read" not in reading.noted
    assert reading.left_out == {"mask": 1}  # annotations_train.csv, the table of the boxes


def test_any_reader_may_decide(tmp_path):
    config = {
        "findings": ["Aortic enlargement", "Cardiomegaly", "Pneumothorax"],
        "ingest": {"several": "any"},
    }
    rows = present(read(lay_out(tmp_path / "in", "vindr_cxr", *CXR), config=config).rows)
    assert rows[f"train/{B}.dicom"][0] == {"Aortic enlargement", "Cardiomegaly"}
    assert rows[f"train/{D}.dicom"][0] == {"Pneumothorax"}
    assert rows[f"train/{C}.dicom"][0] == set()


@pytest.mark.parametrize("above", ["VinDr-CXR", "physionet.org/1.0.0"])
def test_it_may_lie_below_the_folder_and_its_images_elsewhere(tmp_path, above):
    images = [f"dicom/{path.rpartition('/')[2]}" for path in CXR]
    lay_out(tmp_path / "in" / above, "vindr_cxr", *images)
    reading = read(tmp_path / "in")
    assert reading.dataset == "vindr_cxr"
    assert {path: row[1] for path, row in reading.rows.items()} == {
        f"dicom/{name}.dicom": split
        for split, names in (("train", (A, B, C, D)), ("test", (ONE, TWO)))
        for name in names
    }


def test_a_reader_of_vinbigdata_has_a_row_of_each_box(tmp_path):
    images = [*(f"train/{name}.dicom" for name in (A, B, C, D)), "test/unknown.dicom"]
    reading = read(lay_out(tmp_path / "in", "vinbigdata", *images))
    assert reading.dataset == "vinbigdata"
    assert present(reading.rows) == {
        f"train/{A}.dicom": (set(), None, {}),
        f"train/{B}.dicom": ({"Cardiomegaly"}, None, {}),
        f"train/{C}.dicom": (set(), None, {}),  # three boxes of one reader
        f"train/{D}.dicom": ({"Pleural effusion", "Nodule-Mass"}, None, {}),
    }
    assert reading.left_out == {"excluded": 1}

    config = {"findings": ["Aortic enlargement", "Nodule-Mass"], "ingest": {"several": "any"}}
    told = present(read(tmp_path / "in", config=config).rows)
    assert [told[f"train/{name}.dicom"][0] for name in (A, B, C, D)] == [
        set(), {"Aortic enlargement"}, {"Nodule-Mass"}, {"Nodule-Mass"},
    ]  # fmt: skip


def test_children_have_findings_of_their_own(tmp_path):
    reading = read(lay_out(tmp_path / "in" / "vindr-pcxr/1.0.0", "vindr_pcxr", *CHILDREN))
    assert reading.rows == read(tmp_path / "in", "vindr_pcxr").rows
    assert present(reading.rows) == {
        f"train/{A}.dicom": (set(), "train", {}),
        f"train/{B}.dicom": ({"Bronchitis", "Brocho-pneumonia"}, "train", {}),
        f"train/{C}.dicom": ({"Diagphramatic hernia"}, "train", {}),
        f"test/{ONE}.dicom": (set(), "test", {}),
        f"test/{TWO}.dicom": ({"Bronchitis"}, "test", {}),
    }  # fmt: skip
    assert reading.dataset == "vindr_pcxr"


def test_tags_tell_the_age_of_children_and_those_that_say_nothing_are_counted(tmp_path):
    folder = lay_out(tmp_path / "in", "vindr_pcxr")
    tags = [
        {"PatientAge": "018M", "PatientSex": "F", "ViewPosition": ""},
        {"PatientAge": "010D", "PatientSex": "M", "ViewPosition": "AP"},
        {"PatientAge": "000Y", "PatientSex": "O", "ViewPosition": "PA"},
        {"PatientAge": "", "PatientSex": "", "ViewPosition": "LL"},
        {"PatientAge": "003Y", "PatientSex": "M", "ViewPosition": "PA"},
    ]
    nobody = {"PatientID": ""}
    paths = zip(CHILDREN, tags, strict=True)
    write_dicom(folder, {path: {**nobody, **own} for path, own in paths})
    report, records = ingest(folder, tmp_path / "out")
    assert records == [
        ({"Bronchitis", "Brocho-pneumonia"}, 0.03, "M", "AP", ""),
        (set(), 1.5, "F", "", ""),
        ({"Bronchitis"}, 3.0, "M", "PA", ""),
        ({"Diagphramatic hernia"}, None, "", "PA", ""),
    ]
    assert (report.rejected, report.left_out["other_view"]) == (0, 1)
    assert report.not_understood == {"age": 1}  # O stands for another sex, or none
    assert not report.patients_known


def test_an_image_without_a_row_and_a_row_without_an_image_are_told(tmp_path):
    folder = lay_out(tmp_path / "in", "vindr_pcxr", *CHILDREN[1:], "train/strange.dicom")
    reading = read(folder)
    assert "1 images have no row in the table, and 1 rows no image: rejected" in reading.notes
    assert reading.rows["train/strange.dicom"] == (None, None, {})


@pytest.mark.parametrize(
    ("dataset", "table", "heading"),
    [
        ("vindr_cxr", "annotations/image_labels_train.csv", "rad_id"),
        ("vinbigdata", "train.csv", "class_name"),
        ("vindr_pcxr", "image_labels_test.csv", "image_id"),
    ],
)
def test_a_renamed_column_is_named_with_what_is_expected(tmp_path, dataset, table, heading):
    folder = lay_out(tmp_path / "in", dataset, *CXR)
    path = folder / table
    path.write_text(path.read_text().replace(heading, "renamed", 1))
    message = refusal(folder, dataset)
    assert f"lacks the columns {heading}; it has: " in message
    assert f"(ingest.dataset: {dataset}) has " in message
    assert f"{table}* with the columns image_id" in message


@pytest.mark.parametrize("dataset", ["vindr_cxr", "vinbigdata", "vindr_pcxr"])
def test_a_table_without_images_says_where_they_are_expected(tmp_path, dataset):
    with pytest.raises(UserError, match=r"no path in it is a file.*images at train/\*\.dicom"):
        read(lay_out(tmp_path / "in", dataset))


def test_images_without_a_table_are_no_such_data_set(tmp_path):
    folder = lay_out(tmp_path / "in", "vinbigdata", *CXR)
    (folder / "train.csv").unlink()
    with pytest.raises(UserError, match=r"holds no VinBigData.*has train\.csv\* with the columns"):
        read(folder, "vinbigdata")
