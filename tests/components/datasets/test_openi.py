"""Open-I: Kaggle's tables, and the reports in XML."""

import shutil

import pytest

from tests.components.datasets.folders import lay_out, present, read, refusal, write_dicom
from tfxray.components.common.errors import UserError

SITE = {"site": "Indiana University"}
KAGGLE = [
    f"images/images_normalized/{name}.dcm.png"
    for name in (
        "1_IM-0001-4001", "1_IM-0001-3001", "2_IM-0002-1001", "2_IM-0002-2001", "3_IM-0003-1001",
        "4_IM-0004-1001", "5_IM-0005-1001", "6_IM-0006-1001",
    )
]  # fmt: skip
FRONTAL = [KAGGLE[number] for number in (0, 2, 5, 6)]
XML = [
    f"NLMCXR_png/{name}.png"
    for name in (
        "CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0652-1001", "CXR3_IM-1384-1001",
        "CXR4_IM-2050-1001", "CXR5_IM-2117-1003002",
    )
]  # fmt: skip


@pytest.mark.parametrize("below", ["", "chest-xrays-indiana-university", "kaggle/input"])
def test_the_frontals_have_the_problems_of_their_report(tmp_path, below):
    lay_out(tmp_path / "in" / below, "openi", *KAGGLE)
    reading = read(tmp_path / "in")
    assert reading.dataset == "openi"
    assert present(reading.rows) == {
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
    folder = lay_out(tmp_path / "in", "openi", *KAGGLE)
    config = {"findings": ["Lung", "Cardiomegaly"], "ingest": {"views": ["LL", "unknown"]}}
    rows = present(read(folder, config=config).rows)
    assert {path: row[0] for path, row in rows.items()} == {
        KAGGLE[0]: set(), KAGGLE[1]: set(), KAGGLE[2]: {"Cardiomegaly"},
        KAGGLE[3]: {"Cardiomegaly"}, KAGGLE[5]: {"Lung"}, KAGGLE[6]: {"Cardiomegaly"},
        KAGGLE[7]: None,
    }  # fmt: skip
    assert rows[KAGGLE[1]][2] == {"patient": "1", "view": "Lateral", **SITE}


@pytest.mark.parametrize("below", ["", "Open-I", "nlm/Open-I"])
def test_reports_in_xml_tell_labels_and_patients(tmp_path, below):
    lay_out(tmp_path / "in" / below, "openi_xml", *XML, "NLMCXR_png/CXR9_IM-0009-1001.png")
    reading = read(tmp_path / "in")
    assert reading.dataset == "openi_xml"
    assert present(reading.rows) == {
        XML[0]: (set(), None, {"patient": "1", **SITE}),
        XML[1]: (set(), None, {"patient": "1", **SITE}),
        XML[2]: ({"Cardiomegaly", "Catheters Indwelling"}, None, {"patient": "2", **SITE}),
        XML[4]: ({"Opacity"}, None, {"patient": "4", **SITE}),
        XML[5]: (None, None, {"patient": "5", **SITE}),  # no word at all: a reject
        "NLMCXR_png/CXR9_IM-0009-1001.png": (None, None, SITE),  # no report
    }
    assert reading.left_out == {"dropped": 1, "other_kind": 5}  # the reports are no images


def test_dicom_files_are_named_otherwise_than_in_the_reports(tmp_path):
    folder = lay_out(tmp_path / "in", "openi_xml")
    names = ("1/1_IM-0001-3001.dcm", "2/2_IM-0652-1001.dcm", "4/4_IM-2050-1001.dcm")
    write_dicom(folder, {name: {} for name in names})
    rows = present(read(folder).rows)
    assert {path: (row[0], row[2]["patient"]) for path, row in rows.items()} == {
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
    folder = lay_out(tmp_path / "in", "openi_xml", *XML)
    (folder / "ecgen-radiology" / "2.xml").write_bytes(content)
    assert "2.xml: is no report in XML. Unpack NLMCXR_reports" in refusal(folder)


def test_an_endless_report_is_refused(tmp_path):
    folder = lay_out(tmp_path / "in", "openi_xml", *XML)
    (folder / "ecgen-radiology" / "2.xml").write_bytes(b"<eCitation>" + b" " * 2**20)
    assert "2.xml: holds more than 1048576 bytes" in refusal(folder)


def test_what_is_missing_is_named_with_what_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"no path in it is a file.*images at images/images_norm"):
        read(lay_out(tmp_path / "tables", "openi"))
    folder = lay_out(tmp_path / "both", "openi", *KAGGLE)
    reports = folder / "indiana_reports.csv"
    reports.write_text(reports.read_text().replace("Problems", "Findings found", 1))
    message = refusal(folder, "openi")
    assert "indiana_reports.csv lacks the columns Problems; it has" in message
    reports.unlink()
    assert "lacks indiana_reports.csv*. Open-I" in refusal(folder, "openi")


def test_reports_without_their_images_and_images_without_reports(tmp_path):
    folder = lay_out(tmp_path / "in", "openi_xml", "images/first.png", "images/second.png")
    assert "tells of none of the images. Their names are those of" in refusal(folder)
    shutil.rmtree(folder / "ecgen-radiology")
    with pytest.raises(
        UserError, match=r"holds no Open-I.*has ecgen-radiology/\*\.xml, and images"
    ):
        read(folder, "openi_xml")
