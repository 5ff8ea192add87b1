"""PadChest."""

import gzip

import pytest

from tests.components.datasets.folders import lay_out, read, refusal, values

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
PLACES = dict(zip("abcdefghijklm", ("0", "0", "7", "7", *["54"] * 9), strict=True))
IMAGES = [f"{place}/9{n:03d}_{name}.png" for n, (name, place) in enumerate(PLACES.items())]
FLAT = [f"images-224/{image.rpartition('/')[2]}" for image in IMAGES]
NAMES = ("atelectasis", "cardiomegaly", "pleural effusion", "pneumonia")
NONE = values(NAMES, others=0)
READ = {
    "a": ("70000000000000000000000000000000000001", 84.0, "F", "PA",
          NONE | values((), pneumonia=1, pleural_effusion=1)),
    "c": ("81", 22.0, "M", "AP", NONE),
    # A kind of atelectasis, and a sentence that is normal.
    "d": ("82", None, "", "AP", NONE | {"atelectasis": 1}),
    # `unchanged` tells nothing; and nobody is born after the study.
    "h": ("86", None, "F", "", None),
    # Nothing, an empty word, and pandas' word for nothing: nobody has said that it is normal.
    "i": ("87", 50.0, "", "PA", None),
    "j": ("88", 50.0, "F", "PA", None),
    "k": ("89", 50.0, "F", "PA", None),
    "m": ("91", 50.0, "F", "AP", NONE | {"cardiomegaly": 1}),
}  # fmt: skip


@pytest.mark.parametrize("images", [IMAGES, FLAT])
@pytest.mark.parametrize("below", ["", "PC", "bimcv/PC"])
def test_each_row_is_read(tmp_path, below, images):
    folder = lay_out(tmp_path / below, "padchest", *images)
    if below:
        table = folder / TABLE
        table.with_name(f"{TABLE}.gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()
    told = read(tmp_path)
    assert told.dataset == "padchest"
    assert told.images.task.names == NAMES
    expected = {path: READ.get(path[-5]) for path in images}
    assert told.known == {p: (None, *row) for p, row in expected.items() if row}
    # b is a lateral, g and l are other views; e and f are not to be used.
    assert {k: n for k, n in told.left_out.items() if k != "other_kind"} == {
        "other_view": 3, "dropped": 2,
    }  # fmt: skip
    assert told.sites == {"Hospital San Juan de Alicante"}
    assert "no image has air trapping" in told.noted
    assert "splits: drawn by patient" in told.noted


def test_any_word_of_the_table_may_be_asked_for(tmp_path):
    lay_out(tmp_path / "x", "padchest", *IMAGES)
    config = {
        "ingest": {"dataset": "padchest", "labels": {"atelectasis": "Collapse"}},
        "findings": ["COPD signs", "Collapse"],
    }
    rows = read(tmp_path / "x", config=config).known
    # A kind follows its finding to the new name.
    assert rows[IMAGES[3]][5] == {"COPD signs": 1, "Collapse": 1}
    assert rows[IMAGES[0]][5] == {"COPD signs": 0, "Collapse": 0}
    config = {
        "ingest": {"dataset": "padchest"},
        "findings": ["laminar atelectasis", "pneumonia"],
    }
    rows = read(tmp_path / "x", config=config).known
    assert rows[IMAGES[3]][5] == {"laminar atelectasis": 1, "pneumonia": 0}


def test_what_is_not_whole_is_said_in_one_message(tmp_path):
    message = refusal(lay_out(tmp_path / "a", "padchest"), "padchest")
    assert "no path in it is a file below" in message
    table = lay_out(tmp_path / "b", "padchest", *IMAGES) / TABLE
    table.write_text(table.read_text().replace(",Labels,", ",Findings,"))
    assert "lacks the columns Labels; it has: , ImageID" in refusal(tmp_path / "b", "padchest")
    table.unlink()
    message = refusal(tmp_path / "b", "padchest")
    assert "holds no PadChest (ingest.dataset). PadChest (ingest.dataset: padchest) has" in message
    table = lay_out(tmp_path / "c", "padchest", *IMAGES) / TABLE
    table.write_text(
        table.read_text().replace("\"['pneumonia', ' pleural effusion']\"", "pneumonia")
    )
    message = refusal(tmp_path / "c", "padchest")
    assert "words that are none of the findings (column Labels of PADCHEST_" in message
    assert "pneumonia (1), first of " in message
