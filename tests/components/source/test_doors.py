"""Tables of others are read by the config alone: what readers of public sets use is open to all."""

import json

import pytest

from tests.components.source.test_labelling import touch
from tfxray.components.common.errors import UserError
from tfxray.components.manifest.layout import Join
from tfxray.components.source import labelling
from tfxray.components.source.rows import Rules

FINDINGS = ("Edema", "Mass")
PATH = (("path", "path"),)


def label(folder, tables, images, **rules):
    """Labels images by tables, each a text by its name."""
    touch(folder, *images)
    for name, text in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return labelling.label_images(folder, Rules(**rules))


def refusal(*args, **rules):
    with pytest.raises(UserError) as caught:
        label(*args, **rules)
    return str(caught.value)


def told(labelled):
    return {row.path: row.label or row.findings for row in labelled.rows}


def test_several_tables_give_the_split_of_their_rows(tmp_path):
    labelled = label(
        tmp_path,
        {"a.csv": "path,label\n1.png,N\n2.png,P\n", "b.csv": "path;label\n3.png;N\n4.png;P\n"},
        ["1.png", "2.png", "3.png", "4.png"],
        classes=("N", "P"),
        manifest={"train": "a.csv", "test": "b.csv"},
    )
    assert [(r.path, r.label, r.split) for r in labelled.rows if r.split == "test"] == [
        ("3.png", "N", "test"),
        ("4.png", "P", "test"),
    ]
    assert {r.split for r in labelled.rows if r.path in ("1.png", "2.png")} <= {"train", "eval"}


def test_one_image_in_two_tables_must_be_said_to_be_the_same(tmp_path):
    tables = {"a.csv": "path,label\n1.png,N\n2.png,P\n", "b.csv": "path,label\n1.png,P\n"}
    message = refusal(
        tmp_path, tables, ["1.png", "2.png"], classes=("N", "P"), manifest=["a.csv", "b.csv"]
    )
    assert "line 2 of a.csv and line 2 of b.csv of 1.png" in message
    assert "ingest.several" in message


def test_a_table_without_headings_separated_by_blanks(tmp_path):
    labelled = label(
        tmp_path,
        {"train.txt": "7 a.png N  cohen\n8\tb.png P rsna\n"},
        ["a.png", "b.png"],
        classes=("N", "P"),
        manifest="*.txt",
        separator="blanks",
        headings=("patient", "path", "label", "site"),
    )
    assert [(r.path, r.label, r.metadata) for r in labelled.rows] == [
        ("a.png", "N", {"patient": "7", "site": "cohen"}),
        ("b.png", "P", {"patient": "8", "site": "rsna"}),
    ]


def test_a_glob_that_two_files_match_is_refused(tmp_path):
    tables = {"train_A.txt": "path,label\na.png,N\n", "train_B.txt": "path,label\na.png,N\n"}
    message = refusal(tmp_path, tables, ["a.png"], classes=("N", "P"), manifest="train_*.txt")
    assert "2 files match: train_A.txt, train_B.txt" in message
    assert "no file matches (ingest.manifest)" in refusal(
        tmp_path, {}, ["a.png"], manifest="labels_*.csv"
    )


JOINED = {
    "images.csv": "dicom,subject,study\nx1,10000032,7\nx2,10000032,8\nx3,11000001,9\n",
    "studies.csv": "study,subject,Edema,Mass\n7,10000032,1.0,\n8,10000032,-1.0,1.0\n",
    "views.csv": "dicom,view,code\nx1,PA,\nx2,,lateral\nx3,AP,\n",
}
PATHS = ["p10/p10000032/x1.jpg", "p10/p10000032/x2.jpg", "p11/p11000001/x3.jpg"]
JOINS = (
    Join(
        "studies.csv",
        (
            ("subject", "subject"),
            ("study", "study"),
        ),
    ),
    Join("views.csv", (("dicom", "dicom"),)),
)
COLUMNS = {
    "path": "p{subject:.2}/p{subject}/{dicom}.jpg", "patient": "subject", "view": ["view", "code"],
}  # fmt: skip


def test_tables_are_joined_and_paths_made_of_cells(tmp_path):
    labelled = label(
        tmp_path, JOINED, PATHS, findings=FINDINGS, manifest="images.csv", columns=COLUMNS,
        joins=JOINS,
    )  # fmt: skip
    assert [(r.path, r.findings, r.metadata) for r in labelled.rows] == [
        (PATHS[0], {"Edema": 1}, {"patient": "10000032", "view": "PA"}),
        (PATHS[1], {"Edema": -1, "Mass": 1}, {"patient": "10000032", "view": "lateral"}),
        (PATHS[2], None, {"patient": "11000001", "view": "AP"}),
    ]
    assert any("1 rows have no row of the same subject, study" in n for n in labelled.listing.notes)


def test_a_join_that_does_not_fit_is_refused(tmp_path):
    rules = {"findings": FINDINGS, "manifest": "images.csv", "columns": COLUMNS}
    message = refusal(
        tmp_path, JOINED, PATHS, joins=(Join("views.csv", (("image", "image"),)),), **rules
    )
    assert "views.csv: has no column 'image'" in message
    assert "dicom, view, code" in message
    twice = JOINED | {"views.csv": JOINED["views.csv"] + "x1,AP,\n"}
    message = refusal(tmp_path, twice, PATHS, joins=JOINS, **rules)
    assert "views.csv: lines 2 and 5 have the same dicom and tell different things" in message
    message = refusal(
        tmp_path, JOINED, PATHS, joins=(Join("gone.csv", (("dicom", "dicom"),)),), **rules
    )
    assert "gone.csv: no such manifest (ingest.joins)" in message


def test_rows_of_other_words_are_left_out_with_their_images(tmp_path):
    labelled = label(
        tmp_path,
        {"m.csv": "folder,file,finding,modality\nimages,a.png,N,X-ray\nimages,b.png,P,X-Ray\n"
         "images,c.png,P,CT\nvolumes,d.nii.gz,P,CT\n"},
        ["images/a.png", "images/b.png", "images/c.png"],
        classes=("N", "P"), manifest="m.csv", keep={"modality": ("x-ray",)},
        columns={"path": "{folder}/{file}", "label": "finding"},
    )  # fmt: skip
    assert told(labelled) == {"images/a.png": "N", "images/b.png": "P"}
    assert labelled.listing.count_left_out()["not_kept"] == 1


def test_views_unknown_values_defaults_and_ages_by_dates(tmp_path):
    table = """path,label,view,birth,seen,age
a.png,N,PA,1931.0,20150101,
b.png,P,L,1931,2015-01-01,
c.png,P,COSTAL,,,40
d.png,P,,19500702,20200701,0
e.png,N,AP,,,0
"""
    rules = {
        "classes": ("N", "P"), "manifest": "m.csv", "columns": {"study_date": "seen"},
        "unknown": {"age": ("0",)}, "defaults": {"site": "North"},
    }  # fmt: skip
    args = (tmp_path, {"m.csv": table}, ["a.png", "b.png", "c.png", "d.png", "e.png"])
    labelled = label(*args, views=("PA", "AP", "unknown"), **rules)
    assert [(row.path, row.metadata) for row in labelled.rows] == [
        ("a.png", {"age": "84", "view": "PA", "site": "North"}),
        ("d.png", {"site": "North"}),
        ("e.png", {"view": "AP", "site": "North"}),
    ]
    assert labelled.listing.count_left_out()["other_view"] == 2
    everything = label(*args, **rules)
    assert [row.metadata.get("age") for row in everything.rows] == ["84", "84", "40", None, None]


def test_a_folder_that_the_disk_lacks_is_taken_off(tmp_path):
    table = "path,label\nSet-v1.0-small/train/a.png,N\nSet-v1.0/train/b.png,P\n"
    labelled = label(
        tmp_path, {"m.csv": table}, ["train/a.png", "train/b.png"], classes=("N", "P"),
        manifest="m.csv", strip=("Set-v1.0*",), ignore_given=True,
    )  # fmt: skip
    assert told(labelled) == {"train/a.png": "N", "train/b.png": "P"}


def test_lines_of_json_are_a_table(tmp_path):
    lines = [{"image": "a.png", "Edema": 1.0, "Mass": None}, {"image": "b.png", "Edema": None,
                                                              "Mass": 1.0}]  # fmt: skip
    labelled = label(
        tmp_path, {"m.json": "\n".join(map(json.dumps, lines))}, ["a.png", "b.png"],
        findings=FINDINGS, manifest="m.json", columns={"path": "image"},
    )  # fmt: skip
    assert told(labelled) == {"a.png": {"Edema": 1}, "b.png": {"Mass": 1}}


def test_tables_are_joined_by_columns_of_other_names(tmp_path):
    tables = {"m.csv": "id,Edema\na.png,1\nb.png,0\n", "more.csv": "name,age\na.png,61\nc.png,5\n"}
    rules = {"findings": ("Edema",), "manifest": "m.csv", "columns": {"path": "id"}}
    args = (tmp_path, tables, ["a.png", "b.png"])
    labelled = label(*args, joins=(Join("more.csv", (("id", "name"),)),), **rules)
    assert [row.metadata for row in labelled.rows] == [{"age": "61"}, {}]
    assert "m.csv: 1 rows have no row of the same name in more.csv" in labelled.listing.notes
    message = refusal(*args, joins=(Join("more.csv", (("Edema", "name"),)),), **rules)
    assert "more.csv: no row of the manifest has a row of the same name here" in message


def test_a_join_that_tells_nothing_new_is_refused(tmp_path):
    better = "path,Edema,Mass\na.png,0,1\nb.png,0,0\n"
    tables = {"m.csv": "path,Edema,Mass\na.png,1,0\nb.png,0,1\n", "better.csv": better}
    rules = {"findings": FINDINGS, "manifest": "m.csv", "joins": (Join("better.csv", PATH),)}
    message = refusal(tmp_path, tables, ["a.png", "b.png"], **rules)
    assert "better.csv: tells nothing (ingest.joins): its columns Edema, Mass are in" in message
    tables["better.csv"] = better.replace("Edema", "age")
    labelled = label(tmp_path, tables, ["a.png", "b.png"], **rules)
    note = "m.csv: better.csv: not read, since another table has them: Mass"
    assert note in labelled.listing.notes
    assert told(labelled)["a.png"] == {"Edema": 1, "Mass": 0}


def test_keep_that_leaves_nothing_is_refused(tmp_path):
    table = "path,label,kind\na.png,N,X-ray\nb.png,P,X-ray\n"
    message = refusal(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], classes=("N", "P"), manifest="m.csv",
        keep={"kind": ("CT",)},
    )  # fmt: skip
    assert "m.csv: no row has the words of ingest.keep (kind: CT)" in message


def test_a_split_lists_files_whatever_their_extensions_letters(tmp_path):
    lists = {"train.txt": "a.png\nb.png\n", "test.txt": "c.png\nd.png\n"}
    labelled = label(
        tmp_path, lists, ["N/a.PNG", "P/b.PNG", "N/c.PNG", "P/d.png"], classes=("N", "P"),
        split_lists={"train": "train.txt", "test": "test.txt"},
    )  # fmt: skip
    assert [row.path for row in labelled.rows if row.split == "test"] == ["N/c.PNG", "P/d.png"]
