"""Open-I: Kaggle's tables, and the reports in XML."""

import shutil

import pytest

from tests.components.datasets.folders import place, read, write_dicom
from tfxray.components.common.errors import UserError

SITE = {"site": "Indiana University"}
KAGGLE = [
    f"images/images_normalized/{name}.dcm.png"
    for name in (
        "1_IM-0001-4001", "1_IM-0001-3001", "2_IM-0002-1001", "2_IM-0002-2001", "3_IM-0003-1001",
        "4_IM-0004-1001", "5_IM-0005-1001", "6_IM-0006-1001",
    )
]  # fmt: skip
FRONTAL = [KAGGLE[place] for place in (0, 2, 5, 6)]
XML = [
    f"NLMCXR_png/{name}.png"
    for name in (
        "CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0652-1001", "CXR3_IM-1384-1001",
        "CXR4_IM-2050-1001", "CXR5_IM-2117-1003002",
    )
]  # fmt: skip


@pytest.mark.parametrize("below", ["", "chest-xrays-indiana-university", "kaggle/input"])
def test_the_frontals_have_the_problems_of_their_report(tmp_path, below):
    place("openi", tmp_path / "in" / below, KAGGLE)
    reading = read(tmp_path / "in")
    assert reading.dataset == "openi"
    assert reading.rows == {
        FRONTAL[0]: (set(), None, {"patient": "1", **SITE}),
        FRONTAL[1]: ({"Cardiomegaly", "Catheters Indwelling"}, None, {"patient": "2", **SITE}),
        FRONTAL[2]: (set(), None, {"patient": "4", **SITE}),  # Lung: a place alone
        FRONTAL[3]: ({"Cardiomegaly", "Opacity"}, None, {"patient": "5", **SITE}),
        KAGGLE[7]: (None, None, {"patient": "6", **SITE}),  # it has no report: a reject
    }
    # Two laterals, and one that nobody coded; the two tables are read.
    assert reading.left_out == {"other_view": 2, "dropped": 1}
    assert "indiana_projections.csv: 1 rows have no row of the same uid in indiana_reports.csv" in (
        reading.notes
    )


def test_a_config_may_ask_for_laterals_and_for_any_word(tmp_path):
    folder = place("openi", tmp_path / "in", KAGGLE)
    config = {"findings": ["Lung", "Cardiomegaly"], "ingest": {"views": ["LL", "unknown"]}}
    reading = read(folder, config)
    told = {path: row[0] for path, row in reading.rows.items()}
    assert told == {
        KAGGLE[0]: set(), KAGGLE[1]: set(), KAGGLE[2]: {"Cardiomegaly"},
        KAGGLE[3]: {"Cardiomegaly"}, KAGGLE[5]: {"Lung"}, KAGGLE[6]: {"Cardiomegaly"},
        KAGGLE[7]: None,
    }  # fmt: skip
    assert reading.rows[KAGGLE[1]][2] == {"patient": "1", "view": "Lateral", **SITE}


@pytest.mark.parametrize("below", ["", "Open-I", "nlm/Open-I"])
def test_reports_in_xml_tell_labels_and_patients(tmp_path, below):
    place("openi_xml", tmp_path / "in" / below, [*XML, "NLMCXR_png/CXR9_IM-0009-1001.png"])
    reading = read(tmp_path / "in")
    assert reading.dataset == "openi_xml"
    assert reading.rows == {
        XML[0]: (set(), None, {"patient": "1", **SITE}),
        XML[1]: (set(), None, {"patient": "1", **SITE}),
        XML[2]: ({"Cardiomegaly", "Catheters Indwelling"}, None, {"patient": "2", **SITE}),
        XML[4]: ({"Opacity"}, None, {"patient": "4", **SITE}),
        XML[5]: (None, None, {"patient": "5", **SITE}),  # no word at all: a reject
        "NLMCXR_png/CXR9_IM-0009-1001.png": (None, None, SITE),  # no report
    }
    assert reading.left_out == {"dropped": 1, "other_kind": 5}  # the reports are no images


def test_dicom_files_are_named_otherwise_than_in_the_reports(tmp_path):
    folder = place("openi_xml", tmp_path / "in")
    names = ("1/1_IM-0001-3001.dcm", "2/2_IM-0652-1001.dcm", "4/4_IM-2050-1001.dcm")
    write_dicom(folder, {name: {} for name in names})
    assert {path: (row[0], row[2]["patient"]) for path, row in read(folder).rows.items()} == {
        names[0]: (set(), "1"),
        names[1]: ({"Cardiomegaly", "Catheters Indwelling"}, "2"),
        names[2]: ({"Opacity"}, "4"),
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<eCitation><MeSH>",
        b'<?xml version="1.0" encoding="nonsense"?><eCitation/>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><eCitation>&b;</eCitation>',
        b"\0" * 100,
    ],
)
def test_a_damaged_or_hostile_report_is_named(tmp_path, content):
    folder = place("openi_xml", tmp_path / "in", XML)
    (folder / "ecgen-radiology" / "2.xml").write_bytes(content)
    with pytest.raises(UserError, match=r"2\.xml: is no report in XML\. Unpack NLMCXR_reports"):
        read(folder)


def test_an_endless_report_is_refused(tmp_path):
    folder = place("openi_xml", tmp_path / "in", XML)
    (folder / "ecgen-radiology" / "2.xml").write_bytes(b"<eCitation>" + b" " * 2**20)
    with pytest.raises(UserError, match=r"2\.xml: holds more than 1048576 bytes"):
        read(folder)


def test_what_is_missing_is_named_with_what_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"no path in it is a file.*images at images/images_norm"):
        read(place("openi", tmp_path / "tables"))
    folder = place("openi", tmp_path / "both", KAGGLE)
    reports = folder / "indiana_reports.csv"
    reports.write_text(reports.read_text().replace("Problems", "Findings found", 1))
    with pytest.raises(UserError, match=r"indiana_reports\.csv lacks the columns Problems; it has"):
        read(folder, name="openi")
    reports.unlink()
    with pytest.raises(UserError, match=r"lacks indiana_reports\.csv\*\. Open-I"):
        read(folder, name="openi")


def test_reports_without_their_images_and_images_without_reports(tmp_path):
    folder = place("openi_xml", tmp_path / "in", ["images/first.png", "images/second.png"])
    with pytest.raises(UserError, match=r"tells of none of the images\. Their names are those of"):
        read(folder)
    shutil.rmtree(folder / "ecgen-radiology")
    with pytest.raises(
        UserError, match=r"holds no Open-I.*has ecgen-radiology/\*\.xml, and images"
    ):
        read(folder, name="openi_xml")
