"""Sets of tuberculosis: labels of file names and folders, readings, lists, both hostile."""

import codecs

import pytest

from tests.components.datasets.folders import HEADINGS, lay_out, read, refusal, write_workbook
from tests.components.source.test_labelling import touch
from tfxray.components.common.errors import UserError
from tfxray.components.metadata.known import read_known

SHENZHEN_SITE = {"site": "Shenzhen No. 3 People's Hospital"}


def write_readings(folder, prefix, readings):
    """An X-ray for each reading, by number and label; None has none."""
    for name, text in readings.items():
        touch(folder, f"CXR_png/{prefix}_{name}.png")
        if text is not None:
            path = folder / "ClinicalReadings" / f"{prefix}_{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_shenzhens_names_and_readings(tmp_path):
    own = tmp_path / "ChinaSet_AllFiles"
    write_readings(own, "CHNCXR", {
        "0901_0": "male 45yrs\nnormal",
        "0902_0": "femal 32yrs\r\nnormal\r\n",
        "0903_0": "male , 29yrs  \t\nnormal",
        "0904_0": "\n\nfemale24yrs\n",
        "0905_1": "male 16month\nbilateral PTB",
        "0906_1": "female 64days\nPTB in RUL",
        "0907_1": "Male 42\nPTB",
        "0908_1": None,
    })  # fmt: skip
    touch(own, "mask/mask/CHNCXR_0901_0_mask.png", "Annotations/masks/CHNCXR_0902_0.png",
          "NLM-ChinaCXRSet-ReadMe.docx", "CXR_png/Thumbs.db", "CXR_png/preview.png")  # fmt: skip
    reading = read(tmp_path)
    assert "this is Shenzhen (NLM) in ChinaSet_AllFiles" in reading.said[0]
    told = {
        "0901_0": ("normal", {"sex": "male", "age": "45yrs"}),
        "0902_0": ("normal", {"sex": "femal", "age": "32yrs"}),
        "0903_0": ("normal", {"sex": "male", "age": "29yrs"}),
        "0904_0": ("normal", {"sex": "female", "age": "24yrs"}),
        "0905_1": ("tuberculosis", {"sex": "male", "age": "16month"}),
        "0906_1": ("tuberculosis", {"sex": "female", "age": "64days"}),
        "0907_1": ("tuberculosis", {"sex": "Male", "age": "42"}),
        "0908_1": ("tuberculosis", {}),
    }
    assert reading.rows == {
        f"CXR_png/CHNCXR_{name}.png": (label, None, {**known, **SHENZHEN_SITE})
        for name, (label, known) in told.items()
    }
    known = [read_known(row.metadata) for row in reading.images.rows]
    assert [(k.sex, k.age and round(k.age, 2), k.not_understood) for k in known] == [
        ("M", 45, ()), ("F", 32, ()), ("M", 29, ()), ("F", 24, ()), ("M", 1.33, ()),
        ("F", 0.18, ()), ("M", 42, ()), ("", None, ()),
    ]  # fmt: skip
    assert reading.left_out == {"mask": 2, "not_included": 1, "other_kind": 9}


@pytest.mark.parametrize(
    ("reading", "sex", "age", "unclear"),
    [
        ("normal", "", None, ("sex",)),
        ("1234567", "", None, ("age", "sex")),
        ("\ufffd\x00\x01 zzz", "", None, ("age", "sex")),
        (bytes(range(128, 256)) * 8, "", None, ("age", "sex")),
        ("male 45yrs\n".encode("utf-16"), "M", 45, ()),
        (codecs.BOM_UTF8 + b"male 45yrs", "M", 45, ()),
        ("männlich 45yrs".encode("cp1252"), "M", 45, ()),
        ("male 45yrs\n" + "x" * 2**20, "M", 45, ()),
        ("male" + "4" * 2**20, "M", None, ("age",)),
        ("male 999yrs", "M", None, ("age",)),
        ("", "", None, ()),
    ],
)
def test_a_hostile_reading_says_nothing_certain_and_is_counted(
    tmp_path, reading, sex, age, unclear
):
    write_readings(tmp_path, "CHNCXR", {"0001_0": reading, "0002_1": "male 45yrs"})
    known = read_known(read(tmp_path).images.rows[0].metadata)
    assert (known.sex, known.age, tuple(sorted(known.not_understood))) == (sex, age, unclear)


def test_montgomerys_readings_tell_whose_x_rays_are_one_patients(tmp_path):
    own = tmp_path / "NLM" / "MontgomerySet"
    report = "Patient's Sex: {}\nPatient's Age: {}\n{}\n"
    write_readings(own, "MCUCXR", {
        "0901_0": report.format("F ", "027Y", "normal"),
        "0902_0": report.format("O", "013Y", "normal"),
        "0903_1": report.format("M", "000Y", "infiltrate in RUL").replace("\n", "\r\n"),
        "0904_1": report.format("M", "041Y", "NO REPORT (same pt as MCUCXR_0903_1)"),
        "0905_1": report.format("M", "041Y", "NO REPORT (same pt as MCUCXR_0904_1)"),
        "0906_1": report.format("M", "060Y", "(same pt as MCUCXR_0907_1)"),
        "0907_1": report.format("M", "061Y", "(same pt as MCUCXR_0906_1)"),
        "0908_1": None,
    })  # fmt: skip
    names = ["MCUCXR_0901_0.png", "MCUCXR_0903_1.png"]
    touch(own, *(f"ManualMask/{side}Mask/{name}" for side in ("left", "right") for name in names),
          "CXR_png/Thumbs.db", "ManualMask/leftMask/Thumbs.db")  # fmt: skip
    reading = read(tmp_path)
    assert "this is Montgomery County (NLM) in NLM/MontgomerySet" in reading.said[0]
    told = {
        "0901_0": ("normal", {"patient": "MCUCXR_0901", "sex": "F", "age": "027Y"}),
        "0902_0": ("normal", {"patient": "MCUCXR_0902", "sex": "O", "age": "013Y"}),
        "0903_1": ("tuberculosis", {"patient": "MCUCXR_0903", "sex": "M", "age": "000Y"}),
        "0904_1": ("tuberculosis", {"patient": "MCUCXR_0903", "sex": "M", "age": "041Y"}),
        "0905_1": ("tuberculosis", {"patient": "MCUCXR_0903", "sex": "M", "age": "041Y"}),
        "0906_1": ("tuberculosis", {"patient": "MCUCXR_0906", "sex": "M", "age": "060Y"}),
        "0907_1": ("tuberculosis", {"patient": "MCUCXR_0906", "sex": "M", "age": "061Y"}),
        "0908_1": ("tuberculosis", {}),
    }
    assert reading.rows == {
        f"CXR_png/MCUCXR_{name}.png": (label, None, {**known, "site": "Montgomery County"})
        for name, (label, known) in told.items()
    }
    known = [read_known(row.metadata) for row in reading.images.rows]
    assert [(k.sex, k.age) for k in known[:4]] == [("F", 27), ("", 13), ("M", None), ("M", 41)]
    assert reading.left_out == {"mask": 5, "other_kind": 8}


def test_one_folder_of_both_nlm_sets_is_read_as_the_one_that_is_named(tmp_path):
    write_readings(tmp_path, "CHNCXR", {"0001_0": "male 4", "0002_1": "male 5"})
    write_readings(tmp_path, "MCUCXR", {"0001_0": "x", "0002_1": "y"})
    with pytest.raises(UserError, match=r"layouts of several public data sets: .*shenzhen.*montgo"):
        read(tmp_path)
    reading = read(tmp_path, "montgomery")
    assert [row[2]["patient"] for row in reading.rows.values()] == ["MCUCXR_0001", "MCUCXR_0002"]
    assert reading.left_out["not_included"] == 2


def write_tbx11k(folder, with_lists=True):
    touch(folder, *(f"imgs/{name}" for name in (
        "health/h0011.png", "health/h0021.png", "sick/s0012.png", "sick/s0022.png",
        "tb/tb0013.png", "tb/tb0014.png", "tb/tb0023.png", "tb/tb0099.png",
        "test/test_0001.png", "extra/da/train/tb/tbda-p-0001.png",
    )), "annotations/json/TBX11K_train.json")  # fmt: skip
    if with_lists:
        lay_out(folder / "lists", "tbx11k")
        (folder / "lists" / "all_test.txt").write_text("test/test_0001.png\n")


def test_tbx11ks_lists_give_its_split(tmp_path):
    write_tbx11k(tmp_path / "TBX11K")
    reading = read(tmp_path)
    assert {path: told[:2] for path, told in reading.rows.items()} == {
        "imgs/health/h0011.png": ("health", "train"),
        "imgs/health/h0021.png": ("health", "test"),
        "imgs/sick/s0012.png": ("sick", "train"),
        "imgs/sick/s0022.png": ("sick", "test"),
        "imgs/tb/tb0013.png": ("tb", "train"),
        "imgs/tb/tb0014.png": ("tb", "train"),
        "imgs/tb/tb0023.png": ("tb", "test"),
        "imgs/tb/tb0099.png": (None, None),
    }
    assert {row.eval_share for row in reading.images.rows} == {0.15}  # drawn when images are read
    assert all(row.metadata == {} for row in reading.images.rows)
    assert reading.left_out == {"excluded": 2, "mask": 1, "other_kind": 4}
    assert "1 images are in none of the lists in split.lists: rejected" in reading.notes


def test_tbx11k_without_its_lists_is_drawn_and_says_so(tmp_path):
    write_tbx11k(tmp_path, with_lists=False)
    reading = read(tmp_path)
    assert {row.split for row in reading.images.rows} == {None}
    assert len(reading.images.rows) == 8
    assert "lists/TBX11K_train.txt, lists/TBX11K_val.txt is not there" in reading.said[1]


def write_qatar(folder):
    touch(folder, "Normal/Normal-1.png", "Normal/Normal-2.png", "Tuberculosis/Tuberculosis-1.png",
          "README.md.txt")  # fmt: skip
    write_workbook(folder / "Normal.metadata.xlsx", [
        HEADINGS, ["NORMAL-1", "PNG", "512*512", "https://example.com/rsna"],
        ["Normal-9", "PNG", "512*512", "https://example.com/other"],
    ])  # fmt: skip


def test_qatars_folders_and_workbooks(tmp_path):
    write_qatar(tmp_path / "TB_Chest_Radiography_Database")
    reading = read(tmp_path)
    assert reading.rows == {
        "Normal/Normal-1.png": ("Normal", None, {"site": "https://example.com/rsna"}),
        "Normal/Normal-2.png": ("Normal", None, {}),
        "Tuberculosis/Tuberculosis-1.png": ("Tuberculosis", None, {}),
    }
    assert reading.left_out == {"other_kind": 2}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([["FILE", "LINK"], ["a", "b"]], "needs the columns FILE NAME and URL; has: FILE, LINK"),
        ([HEADINGS, ["Normal-1", "", "", "a"], ["NORMAL-1", "", "", "b"]],
         "line 3 names another source"),
    ],
)  # fmt: skip
def test_a_workbook_that_is_none_is_named(tmp_path, lines, message):
    write_qatar(tmp_path)
    write_workbook(tmp_path / "Normal.metadata.xlsx", lines)
    told = refusal(tmp_path, "tb_qatar")
    assert "Normal.metadata.xlsx" in told
    assert message in told


def test_indias_first_letter_tells(tmp_path):
    own = tmp_path / "DatasetA"
    touch(own, "Training/nx01.jpg", "Training/px02.jpg", "Testing/nx3.jpg", "Testing/px4.jpg")
    reading = read(tmp_path)
    assert {path: told[:2] for path, told in reading.rows.items()} == {
        "Training/nx01.jpg": ("normal", "train"), "Training/px02.jpg": ("tuberculosis", "train"),
        "Testing/nx3.jpg": ("normal", "test"), "Testing/px4.jpg": ("tuberculosis", "test"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("shenzhen", ["ClinicalReadings/CHNCXR_0001_0.txt"],
         "has CXR_png/CHNCXR_[0-9]*_[01].png"),
        ("montgomery", ["ManualMask/leftMask/MCUCXR_0001_0.png"],
         "has CXR_png/MCUCXR_[0-9]*_[01].png"),
        ("tbx11k", ["lists/TBX11K_train.txt", "imgs/tb/tb1.png"],
         "lacks imgs/health/h[0-9]*.png"),
        ("tb_qatar", ["Normal/Normal-1.png"], "lacks Tuberculosis/Tuberculosis-[0-9]*.png"),
        ("tb_india", ["Training/nx1.jpg"], "lacks Training/px[0-9]*"),
    ],
)  # fmt: skip
def test_half_a_copy_is_refused_by_what_it_lacks(tmp_path, name, files, message):
    touch(tmp_path, *files)
    told = refusal(tmp_path, name)
    assert message in told
    assert f"ingest.dataset: {name}" in told
