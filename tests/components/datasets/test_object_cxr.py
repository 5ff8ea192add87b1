"""Object-CXR, as its archives unpack."""

import pytest

from tests.components.datasets.folders import lay_out, read, refusal
from tfxray.components.common.errors import UserError

IMAGES = ["train/00001.jpg", "train/00002.jpg", "train/00003.jpg", "dev/08001.jpg", "dev/08002.jpg"]
EXPECTED = {
    "train/00001.jpg": ("No Foreign Object", "train", {}),
    "train/00002.jpg": ("Foreign Object", "train", {}),
    "train/00003.jpg": ("Foreign Object", "train", {}),
    "dev/08001.jpg": ("No Foreign Object", "test", {}),
    "dev/08002.jpg": ("Foreign Object", "test", {}),
}


@pytest.mark.parametrize("below", ["", "object-CXR", "data/object-CXR"])
def test_an_empty_cell_is_an_image_without_a_foreign_object(tmp_path, below):
    lay_out(tmp_path / "in" / below, "object_cxr", *IMAGES, "test/09001.jpg")
    reading = read(tmp_path / "in")
    assert (reading.dataset, reading.rows) == ("object_cxr", EXPECTED)
    assert reading.left_out == {"excluded": 1}
    assert reading.images.task.names == ("No Foreign Object", "Foreign Object")


def test_an_image_without_a_row_is_not_one_without_a_foreign_object(tmp_path):
    reading = read(lay_out(tmp_path / "in", "object_cxr", *IMAGES[1:], "train/00009.jpg"))
    lacking = EXPECTED["train/00001.jpg"]
    assert reading.rows == {
        **{path: row for path, row in EXPECTED.items() if path != "train/00001.jpg"},
        "00001.jpg": lacking,  # a reject, when it is opened
        "train/00009.jpg": (None, None, {}),
    }
    assert "1 images have no row in the table, and 1 rows no image: rejected" in reading.notes


def test_the_column_of_images_may_be_called_as_on_the_authors_page(tmp_path):
    folder = lay_out(tmp_path / "in", "object_cxr", *(f"images/{p[-9:]}" for p in IMAGES))
    for table in ("train.csv", "dev.csv"):
        text = (folder / table).read_text().replace("image_name", "image_path")
        (folder / table).write_text(text)
    told = read(folder).rows
    assert {path[-9:]: row for path, row in told.items()} == {
        path[-9:]: row for path, row in EXPECTED.items()
    }


def test_what_is_missing_is_named_with_what_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"no path in it is a file.*images at train/\*\.jpg or dev"):
        read(lay_out(tmp_path / "in", "object_cxr"))
    folder = lay_out(tmp_path / "both", "object_cxr", *IMAGES)
    (folder / "train.csv").write_text("file,annotation\n00001.jpg,\n")
    told = refusal(folder)
    assert "train.csv lacks the columns image_name or image_path; it has: file, annotation" in told
    (folder / "train.csv").write_text("image_name,annotation\n00001.jpg,\n")
    (folder / "dev.csv").unlink()
    with pytest.raises(UserError, match=r"lacks dev\.csv\*\. Object-CXR .* has train\.csv"):
        read(folder, "object_cxr")
