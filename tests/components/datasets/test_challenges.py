"""RSNA's and SIIM-ACR's challenges, as Kaggle packs them."""

import csv

import pytest

from tests.components.datasets.folders import ingest, lay_out, read, refusal, write_dicom
from tfxray.components.common.errors import UserError

# Numbers of images, as RSNA writes them.
FIRST, SECOND, THIRD, FOURTH = (f"{n}0000000-0000-4000-8000-00000000000{n}" for n in range(1, 5))
RSNA = [
    *(f"stage_2_train_images/{name}.dcm" for name in (FIRST, SECOND, THIRD, FOURTH)),
    "stage_2_test_images/50000000-0000-4000-8000-000000000005.dcm",
]
THREE = {
    "classes": ["Normal", "No Lung Opacity / Not Normal", "Lung Opacity"],
    "ingest": {
        "dataset": "rsna_pneumonia",
        "manifest": "stage_2_detailed_class_info.csv",
        "columns": {"label": "class"},
    },
}


def siim(number):
    """The path of an image in its study and its series."""
    end = f"8323329.{number}.1517875200.{number}00001"
    kinds = [f"1.2.276.0.7230010.3.1.{kind}.{end}" for kind in (2, 3, 4)]
    return f"dicom-images-train/{'/'.join(kinds)}.dcm"


SIIM = [siim(7), siim(8), siim(9), siim(10)]


@pytest.mark.parametrize("below", ["", "rsna-pneumonia-detection-challenge", "kaggle/input"])
def test_an_image_of_rsna_has_a_row_of_each_box(tmp_path, below):
    lay_out(tmp_path / "in" / below, "rsna_pneumonia", *RSNA)
    reading = read(tmp_path / "in")
    assert reading.dataset == "rsna_pneumonia"
    assert reading.images.task.names == ("No Lung Opacity", "Lung Opacity")
    assert reading.rows == {
        f"stage_2_train_images/{name}.dcm": (label, None, {"patient": name})
        for name, label in (
            (FIRST, "No Lung Opacity"),
            (SECOND, "No Lung Opacity"),
            (THIRD, "Lung Opacity"),
            (FOURTH, "Lung Opacity"),
        )
    }
    assert "stage_2_train_labels.csv: 1 rows repeat another row and count once" in reading.notes
    # The test images, and the other table.
    assert reading.left_out == {"excluded": 1, "other_kind": 1}


def test_a_config_gives_rsna_three_classes(tmp_path):
    reading = read(lay_out(tmp_path / "in", "rsna_pneumonia", *RSNA), config=THREE)
    assert reading.rows == {
        f"stage_2_train_images/{name}.dcm": (label, None, {"patient": name})
        for name, label in (
            (FIRST, "Normal"),
            (SECOND, "No Lung Opacity / Not Normal"),
            (THIRD, "Lung Opacity"),
            (FOURTH, "Lung Opacity"),
        )
    }
    assert reading.left_out == {"excluded": 1, "other_kind": 1}


def test_classes_that_rsna_lacks_are_refused_with_those_that_it_has(tmp_path):
    folder = lay_out(tmp_path / "in", "rsna_pneumonia", *RSNA)
    config = {"classes": ["NORMAL", "PNEUMONIA"]}
    assert "labels are No Lung Opacity, Lung Opacity; the config asks" in refusal(
        folder, config=config
    )
    own = {"labels": {"0": "NORMAL", "1": "PNEUMONIA"}}
    reading = read(folder, config={**config, "ingest": own})
    assert sorted(row[0] for row in reading.rows.values()) == ["NORMAL"] * 2 + ["PNEUMONIA"] * 2


def test_the_tags_of_rsna_tell_age_sex_and_view(tmp_path):
    folder = lay_out(tmp_path / "in", "rsna_pneumonia")
    tags = [
        {"PatientAge": "62", "PatientSex": "M", "ViewPosition": "AP"},
        {"PatientAge": "7", "PatientSex": "F", "ViewPosition": "PA"},
        {"PatientAge": "155", "PatientSex": "F", "ViewPosition": "AP"},
        {"PatientAge": "40", "PatientSex": "M", "ViewPosition": "LL"},
    ]
    names = (FIRST, SECOND, THIRD, FOURTH)
    write_dicom(
        folder,
        {
            path: {"PatientID": name, **own}
            for path, name, own in zip(RSNA, names, tags, strict=False)
        },
    )
    report, records = ingest(folder, tmp_path / "out")
    assert records == [
        ("No Lung Opacity", 62.0, "M", "AP", ""),
        ("No Lung Opacity", 7.0, "F", "PA", ""),
        ("Lung Opacity", None, "F", "AP", ""),
    ]
    assert (report.rejected, report.left_out["other_view"]) == (0, 1)
    assert report.not_understood == {"age": 1}
    assert list(csv.DictReader((tmp_path / "out" / "rejects.csv").open())) == []


@pytest.mark.parametrize("below", ["", "siim", "siim/pneumothorax"])
def test_an_image_of_siim_has_a_pneumothorax_if_it_has_a_mask(tmp_path, below):
    images = [*SIIM, "dicom-images-test/1/2/3.dcm"]
    lay_out(tmp_path / "in" / below, "siim_acr", *images)
    reading = read(tmp_path / "in")
    assert reading.dataset == "siim_acr"
    assert reading.rows == {
        siim(7): ("No Pneumothorax", None, {}),
        siim(8): ("No Pneumothorax", None, {}),  # ` -1`
        siim(9): ("Pneumothorax", None, {}),  # two masks
        siim(10): ("Pneumothorax", None, {}),
    }
    assert reading.left_out == {"excluded": 1}
    assert "train-rle.csv: 1 images have several rows that tell different things" in reading.notes


def test_images_of_siim_may_lie_in_one_folder_and_lack_a_row(tmp_path):
    images = [f"images/{path.rpartition('/')[2]}" for path in SIIM]
    reading = read(lay_out(tmp_path / "in", "siim_acr", *images, "images/strange.dcm"))
    assert [reading.rows[path][0] for path in images] == [
        "No Pneumothorax", "No Pneumothorax", "Pneumothorax", "Pneumothorax",
    ]  # fmt: skip
    assert reading.rows["images/strange.dcm"] == (None, None, {})
    assert "1 images have no row in the table, and 0 rows no image: rejected" in reading.notes


@pytest.mark.parametrize(
    ("dataset", "table", "heading", "images"),
    [
        ("rsna_pneumonia", "stage_2_train_labels.csv", "Target", RSNA),
        ("siim_acr", "train-rle.csv", "EncodedPixels", SIIM),
    ],
)
def test_what_is_missing_is_named_with_what_is_expected(tmp_path, dataset, table, heading, images):
    folder = lay_out(tmp_path / "in", dataset)
    with pytest.raises(UserError, match=rf"no path in it is a file.* has {table}\* with the col"):
        read(folder)
    lay_out(tmp_path / "both", dataset, *images)
    path = tmp_path / "both" / table
    path.write_text(path.read_text().replace(heading, "renamed", 1))
    with pytest.raises(UserError, match=rf"{table} lacks the columns {heading}; it has: .*renamed"):
        read(tmp_path / "both", dataset)
    path.unlink()
    with pytest.raises(UserError, match=rf"holds no .*has {table}\* with the columns .*{heading}"):
        read(tmp_path / "both", dataset)
