"""MIMIC-CXR-JPG."""

import gzip

import pytest

from tests.components.datasets.folders import lay_out, narrowed, read, refusal, values
from tfxray.components.datasets.mimic import MIMIC_CXR_JPG

STUDIES = (
    "p18/p18000001/s58000001", "p18/p18000001/s58000001", "p19/p19000002/s58000002",
    "p19/p19000003/s58000003", "p19/p19000004/s58000004", "p19/p19000004/s58000004",
)  # fmt: skip
IMAGES = [
    f"files/{study}/aaaaaaaa-00000000-00000000-00000000-0000000{number}.jpg"
    for number, study in enumerate(STUDIES, 1)
]
NONE = values([n for n in MIMIC_CXR_JPG.findings if n != "Support Devices"], others=0)


def compress(folder):
    for path in folder.glob("*.csv"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def whole(folder):
    lay_out(folder, "mimic_cxr_jpg", *IMAGES)
    (folder / "IMAGE_FILENAMES").write_text("\n".join(IMAGES))
    return folder


def by_chexpert(names):
    """All but the lateral, and a view that is none of the three."""
    return {
        IMAGES[0]: ("train", "18000001", None, "", "PA", values(
                    (), Atelectasis=-1, Cardiomegaly=1, Pleural_Effusion=0)),
        IMAGES[2]: ("eval", "19000002", None, "", "AP", NONE | {"Support Devices": 1}),
        IMAGES[3]: ("test", "19000003", None, "", "", values(
                    (), Edema=1, Lung_Opacity=1, Pneumonia=-1, Pneumothorax=0)),
        # A study without a row of labels.
        IMAGES[4]: ("train", "19000004", None, "", "AP", None),
    }  # fmt: skip


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", ["", "mimic-cxr-jpg/2.1.0"])
def test_each_row_is_read(tmp_path, below, packed):
    folder = whole(tmp_path / below)
    if packed:
        compress(folder)
    told = read(tmp_path)
    assert told.dataset == "mimic_cxr_jpg"
    names = ("Cardiomegaly", "Edema", "Lung Opacity", "Support Devices")
    assert told.images.task.names == names
    assert told.known == {p: narrowed(row, names) for p, row in by_chexpert(names).items()}
    assert told.left_out["other_view"] == 2
    assert told.sites == {"Beth Israel Deaconess Medical Center"}
    assert "2 rows have no row of the same subject_id, study_id in mimic-cxr-2.0.0-chex" in (
        told.noted
    )
    assert "splits: train 2, eval 1, test 1 images, given by the column split of" in told.noted


def test_the_labels_of_negbio_are_read_where_they_alone_are_there(tmp_path):
    folder = whole(tmp_path)
    (folder / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    compress(folder)
    told = read(tmp_path)
    assert told.dataset == "mimic_cxr_jpg"
    assert "mimic-cxr-2.?.?-negbio.csv* is joined to it, since there is no" in told.noted
    names = ("Atelectasis", "Edema", "Lung Opacity", "Support Devices")
    assert told.images.task.names == names
    rows = told.known
    assert rows[IMAGES[0]][5] == {"Atelectasis": 1}
    assert rows[IMAGES[2]][5] == narrowed((NONE | {"Support Devices": 1},), names)[0]
    assert rows[IMAGES[3]][5] == {"Edema": 1, "Lung Opacity": 1}
    assert rows[IMAGES[4]][5] is None


def test_what_is_not_whole_is_said_in_one_message(tmp_path):
    name = "mimic_cxr_jpg"
    message = refusal(lay_out(tmp_path / "a", name), name)
    assert "no path in it is a file below" in message
    assert "images at files/p1*/p*/s*/*.jpg" in message
    (whole(tmp_path / "b") / "mimic-cxr-2.0.0-split.csv").unlink()
    assert "lacks mimic-cxr-2.?.?-split.csv*. MIMIC" in refusal(tmp_path / "b", name)
    for table in whole(tmp_path / "c").glob("*b*o.csv"):
        table.unlink()
    (tmp_path / "c/mimic-cxr-2.0.0-chexpert.csv").unlink()
    message = refusal(tmp_path / "c", name)
    assert (
        "-chexpert.csv* or mimic-cxr-2.?.?-negbio.csv*: no file matches (ingest.joins)" in message
    )
    table = whole(tmp_path / "d") / "mimic-cxr-2.0.0-metadata.csv"
    table.write_text(table.read_text().replace("dicom_id", "image"))
    message = refusal(tmp_path / "d", name)
    assert "metadata.csv lacks the columns dicom_id; it has: image, subject_id" in message
    table = whole(tmp_path / "e") / "mimic-cxr-2.0.0-chexpert.csv"
    table.write_text(table.read_text().replace("study_id", "study"))
    message = refusal(tmp_path / "e", name)
    assert "chexpert.csv: has no column 'study_id', by which tables are joined" in message
