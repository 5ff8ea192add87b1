"""A manifest is read as it is found, or its lines are named."""

import codecs
import gzip
import re
import unicodedata

import pytest

from tests.components.source.test_labelling import touch
from tests.dicoms import encode
from tfxray.components.common.errors import UserError
from tfxray.components.manifest.layout import Join
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")
IMAGES = ("NORMAL/a.png", "NORMAL/b.png", "PNEUMONIA/c.png", "PNEUMONIA/d.png")
TABLE = """path,label,patient,site
NORMAL/a.png,NORMAL,p1,Zürich
NORMAL/b.png,NORMAL,p2,Genève
PNEUMONIA/c.png,PNEUMONIA,p3,Zürich
PNEUMONIA/d.png,PNEUMONIA,p4,Genève
"""


def read(folder, table, name="manifest.csv", images=IMAGES, **rules):
    """Labels images by a manifest."""
    touch(folder, *images)
    folder.mkdir(exist_ok=True)
    content = table if isinstance(table, bytes) else table.encode()
    (folder / name).write_bytes(content)
    return labelling.label_images(folder, labelling.Rules(CLASSES, **rules))


def refusal(folder, table, **rules):
    with pytest.raises(UserError) as caught:
        read(folder, table, **rules)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        codecs.BOM_UTF8 + TABLE.encode(),
        TABLE.encode("utf-16"),
        codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        TABLE.encode("utf-32"),
        TABLE.encode("cp1252"),
        gzip.compress(TABLE.encode(), mtime=0),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", "|").encode(),
        b"sep=;\r\n" + TABLE.replace(",", ";").encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.replace(",", ", ").encode(),
        re.sub(r"([^,\n]+)", r' "\1"', TABLE).encode(),
        ("\n\n" + TABLE + ",,,\n\n").encode(),
        TABLE.replace("path,label,patient,site", " Path ,LABEL,Patient ID,Site").encode(),
        TABLE.replace("NORMAL/", ".\\NORMAL\\").encode(),
        (TABLE + "NORMAL/a.png,NORMAL,p1,Zürich\n").encode(),
    ],
)
def test_a_table_is_read_whatever_wrote_it(tmp_path, content):
    rows, *_ = read(tmp_path, content)
    assert [(row.path, row.label, row.metadata["patient"]) for row in rows] == [
        (path, path.split("/")[0], f"p{number}") for number, path in enumerate(IMAGES, 1)
    ]
    assert [row.metadata["site"] for row in rows] == ["Zürich", "Genève"] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 a workbook", "is a damaged Excel workbook or ZIP archive"),
        (b"\xd0\xcf\x11\xe0 an old one", "is an old Excel workbook (.xls)"),
        (gzip.compress(TABLE.encode(), mtime=0)[:40], "is no whole gzip file"),
        (b"path,label\n\x81\x8d,NORMAL\n", "is neither UTF-8 nor UTF-16 nor cp1252"),
        (TABLE + 'NORMAL/a.png,"NORMAL,p1\n', "line 6: is no row of cells separated by comma"),
        (TABLE.replace(",NORMAL,p1", ',"NORMAL,p1'), "line 2: is no row of cells"),
        (TABLE.replace("p1,Zürich", 'p1,"Zürich').replace("p3,", 'p3",'),
         "line 2: a quotation mark opens a cell that swallows line 3"),
        (TABLE + "NORMAL/a.png,NORMAL,p1,Zürich,x\n", "1 rows have more cells than"),
        (TABLE + ",NORMAL,p5,Bern\n", "1 rows name no image: line 6"),
        (TABLE.replace("site", "Label"), "2 columns are called label"),
        (TABLE + "NORMAL/a.png,PNEUMONIA,p1,Zürich\n", "lines 2 and 6 of NORMAL/a.png"),
        (TABLE + "./NORMAL//a.png,NORMAL,p9,Zürich\n", "lines 2 and 6 of NORMAL/a.png"),
        (TABLE + "a.png,NORMAL,,Zürich\n", "lines 2 and 6 of NORMAL/a.png"),
        (TABLE + "/elsewhere/NORMAL/a.png,NORMAL,,\n", "1 rows have absolute paths"),
        (TABLE + "C:\\x\\a.png,NORMAL,,\nhttps://x.org/a.png,NORMAL,,\n", "outside of"),
        (TABLE.replace("/", "/x/"), "no path in it is a file"),
    ],
)  # fmt: skip
def test_a_table_that_misleads_is_refused_by_line(tmp_path, content, message):
    assert message in refusal(tmp_path, content)


def test_columns_of_any_name_are_mapped(tmp_path):
    table = TABLE.replace("path,label,patient,site", "Image Index,Finding Labels,Who,Where")
    columns = {"path": "image index", "label": "Finding_Labels", "patient": "Who"}
    rows, _, listing = read(tmp_path, table, columns=columns)
    assert [row.metadata for row in rows] == [{"patient": f"p{n}"} for n in (1, 2, 3, 4)]
    assert "manifest.csv: columns that are not read: Where" in listing.notes
    assert "no column 'Path' (ingest.columns.path); has: Image Index" in refusal(
        tmp_path, table, columns={"path": "Path"}
    )
    assert "needs a column `path`; has: Image Index" in refusal(tmp_path, table)
    with pytest.raises(UserError, match="the config says how to read one"):
        read(tmp_path / "other", table, name="table.csv", columns=columns)


@pytest.mark.parametrize(
    ("cells", "rules"),
    [
        (("a.png", "b.png", "c.png", "d.png"), {}),
        (("a", "b", "c", "d"), {"extension": "png"}),
        (("a.jpg", "b.JPEG", "c.dcm", "d"), {"extension": ".png"}),
        (("a.PNG", "NORMAL/b.Png", "PNEUMONIA/c.PNG", "d.png"), {}),
        (tuple(f"archive/{path}" for path in IMAGES), {"root": "archive"}),
        (tuple(f"/mnt/x/{path}" for path in IMAGES), {"root": "/mnt/x/"}),
        (tuple(f"in/{path}" for path in IMAGES), {}),
        (tuple(f"{{source}}/{path}" for path in IMAGES), {}),
    ],
)
def test_paths_of_a_table_are_found(tmp_path, cells, rules):
    source = tmp_path / "in"
    source.mkdir()
    lines = [f"{c},{p.split('/')[0]}" for c, p in zip(cells, IMAGES, strict=True)]
    table = "\n".join(["path,label", *lines]).replace("{source}", str(source))
    rows, *_ = read(source, table, **rules)
    assert [(row.path, row.label) for row in rows] == [(p, p.split("/")[0]) for p in IMAGES]


def test_a_root_below_the_folder_is_put_before_the_paths(tmp_path):
    images = [f"images/{path}" for path in IMAGES]
    rows, *_ = read(tmp_path, TABLE, images=images, root="images")
    assert [row.path for row in rows] == images
    # Bare names are looked for below it alone.
    touch(tmp_path, "other/a.png")
    rows, *_ = read(tmp_path, TABLE.replace("NORMAL/", "", 1), images=images, root="images")
    assert [row.path for row in rows] == images


def test_a_bare_name_of_several_files_is_refused_with_their_places(tmp_path):
    images = (*IMAGES, "PNEUMONIA/a.png")
    message = refusal(tmp_path, "path,label\na.png,NORMAL\nc.png,PNEUMONIA\n", images=images)
    assert "line 2 means NORMAL/a.png and PNEUMONIA/a.png" in message
    rules = {"images": images, "exclude": ("PNEUMONIA/a.png",)}
    rows, *_ = read(tmp_path, "path,label\na.png,NORMAL\nc.png,PNEUMONIA\n", **rules)
    assert [row.path for row in rows] == ["NORMAL/a.png", "PNEUMONIA/c.png"]


@pytest.mark.parametrize(("of_file", "of_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_are_the_same_in_any_form_of_unicode(tmp_path, of_file, of_table):
    names = ["Männer/é.png", "Frauen/ü.png"]
    touch(tmp_path, *(unicodedata.normalize(of_file, name) for name in names))
    lines = [f"{unicodedata.normalize(of_table, name)},p{n}" for n, name in enumerate(names)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,patient", *lines]))
    classes = tuple(unicodedata.normalize(of_table, name) for name in ("Frauen", "Männer"))
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(classes))
    assert [(row.label, row.metadata["patient"]) for row in rows] == [
        (classes[0], "p1"), (classes[1], "p0"),
    ]  # fmt: skip


def test_a_listed_image_without_a_label_has_none(tmp_path):
    table = "path,label\n{},\n{},NORMAL\n{},  \n{},PNEUMONIA\n".format(*IMAGES)
    rows, *_ = read(tmp_path, table)
    assert [row.label for row in rows] == [None, "NORMAL", None, "PNEUMONIA"]
    # A column without any value says nothing, and the folders do.
    rows, *_ = read(tmp_path, "path,label\n" + "".join(f"{path},\n" for path in IMAGES))
    assert [row.label for row in rows] == ["NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"]


def test_what_only_one_of_table_and_folder_has_is_counted_and_named(tmp_path):
    images = (*IMAGES, "NORMAL/x1.png", "PNEUMONIA/x2.png")
    rows, _, listing = read(tmp_path, TABLE + "NORMAL/gone.png,NORMAL,p5,Bern\n", images=images)
    assert rows[-1].path == "NORMAL/gone.png"
    assert listing.count_left_out() == {"not_in_manifest": 2}
    notes = "\n".join(listing.notes)
    assert "1 rows name files that are not there: line 6" in notes
    assert "2 images have no row in the manifest: NORMAL/x1.png, PNEUMONIA/x2.png" in notes


def test_a_row_that_ends_early_is_noted(tmp_path):
    rows, _, listing = read(tmp_path, TABLE.replace(",p4,Genève", ""))
    assert rows[-1].metadata == {}
    note = "manifest.csv: 1 rows end before the columns that are read: line 5"
    assert note in listing.notes


def test_rows_that_repeat_another_are_counted(tmp_path):
    _, _, listing = read(tmp_path, TABLE + "NORMAL/a.png,NORMAL,p1,Zürich\n" * 2)
    assert "manifest.csv: 2 rows repeat another row and count once" in listing.notes


SPLITS = """path,label,split
NORMAL/a.png,NORMAL,train
NORMAL/b.png,NORMAL,{}
PNEUMONIA/c.png,PNEUMONIA,validate
PNEUMONIA/d.png,PNEUMONIA,Test
"""


def test_the_column_split_is_taken_whole_or_refused(tmp_path):
    rows, _, listing = read(tmp_path, SPLITS.format("TRAINING"))
    assert [row.split for row in rows] == ["train", "train", "eval", "test"]
    assert listing.notes[-1].endswith("given by the column split of manifest.csv")
    message = refusal(tmp_path, SPLITS.format("holdout"))
    assert "the column split has words ('holdout') that are none of [train" in message
    assert "line 3" in message
    assert "1 rows name no split where others do: line 3" in refusal(tmp_path, SPLITS.format(""))
    rows, *_ = read(tmp_path, SPLITS.format("holdout"), ignore_given=True)
    assert {row.split for row in rows} == {None}


def test_a_split_that_is_ignored_makes_no_rows_of_one_image_differ(tmp_path):
    table = SPLITS.format("train") + "NORMAL/a.png,NORMAL,test\n"
    assert "tell different things, for 1 images" in refusal(tmp_path, table)
    rows, _, listing = read(tmp_path, table, ignore_given=True)
    assert len(rows) == 4
    assert "manifest.csv: 1 rows repeat another row and count once" in listing.notes
    assert "manifest.csv: columns that are not read: split" in listing.notes


@pytest.mark.parametrize("names", ["whole", "bare"])
def test_rows_of_excluded_files_are_neither_rejected_nor_checked(tmp_path, names):
    more = ["old/e.png", "old/more/e.png"]  # of two files, too: neither is meant
    lines = SPLITS.format("train").splitlines()
    cells = [line.split(",") for line in [*lines, *(f"{path},NORMAL,holdout" for path in more[:1])]]
    table = "\n".join(
        ",".join([path if names == "whole" else path.split("/")[-1], *rest])
        for path, *rest in cells
    )
    rows, _, listing = read(tmp_path, table, images=(*IMAGES, *more), exclude=("old",))
    assert [row.path for row in rows] == list(IMAGES)
    assert listing.count_left_out() == {"excluded": 2}
    assert not any("not there" in note for note in listing.notes)


def test_beside_dicom_a_refusal_quotes_no_name(tmp_path):
    import numpy as np

    content = encode(np.zeros((32, 32), np.uint8), bits=8)
    for name in ("NORMAL/doe", "PNEUMONIA/roe", "PNEUMONIA/doe"):
        touch(tmp_path, name)
        (tmp_path / name).write_bytes(content)
    lines = ("NORMAL/doe,NORMAL", "NORMAL/doe,PNEUMONIA")
    for rows, message in (
        (lines, "lines 2 and 3"),
        (("doe,NORMAL",), "line 2 means 2 files"),
        (("jane/doe,NORMAL",), "no path in it is a file"),
    ):
        (tmp_path / "manifest.csv").write_text("\n".join(["path,label", *rows]))
        with pytest.raises(UserError) as caught:
            labelling.label_images(tmp_path, labelling.Rules(CLASSES))
        assert message in str(caught.value)
        assert "doe" not in str(caught.value)


def test_of_several_tables_some_may_lack_a_column(tmp_path):
    (tmp_path / "more.csv").write_text("file,label\nPNEUMONIA/c.png,PNEUMONIA\n")
    rules = {"manifest": ("manifest.csv", "more.csv"), "columns": {"path": "file", "age": "years"}}
    table = "file,label,years\nNORMAL/a.png,NORMAL,62\n"
    rows, _, listing = read(tmp_path, table, **rules)
    assert {row.path: dict(row.metadata) for row in rows} == {
        "NORMAL/a.png": {"age": "62"}, "PNEUMONIA/c.png": {},
    }  # fmt: skip
    assert any(
        "more.csv: has no column 'years' (ingest.columns.age), which another table has" in note
        for note in listing.notes
    )
    assert "has no column 'years' (ingest.columns.age); has: file, label" in refusal(
        tmp_path, "file,label\nNORMAL/a.png,NORMAL\n", **rules
    )
    assert "more.csv: has no column 'name' (ingest.columns.path); has: file, label" in refusal(
        tmp_path, "name,label\nNORMAL/a.png,NORMAL\n",
        **{**rules, "columns": {"path": "name"}},
    )  # fmt: skip


def test_an_empty_cell_may_be_a_class_and_a_missing_row_is_none(tmp_path):
    labels = {"": "NORMAL", "*": "PNEUMONIA"}
    table = "path,label\nNORMAL/a.png,\nNORMAL/b.png,a box\nPNEUMONIA/c.png,two boxes\n"
    rows, *_ = read(tmp_path, table, labels=labels, dataset="some")
    assert {row.path: row.label for row in rows} == {
        "NORMAL/a.png": "NORMAL", "NORMAL/b.png": "PNEUMONIA", "PNEUMONIA/c.png": "PNEUMONIA",
        "PNEUMONIA/d.png": None,
    }  # fmt: skip


def test_splits_by_table_are_ignored_where_the_config_says_so(tmp_path):
    (tmp_path / "test.csv").write_text("path,label\nPNEUMONIA/c.png,PNEUMONIA\n")
    tables = {"train": "manifest.csv", "test": "test.csv"}
    table = "path,label\nNORMAL/a.png,NORMAL\n"
    for ignored, splits in ((False, ["train", "test"]), (True, [None, None])):
        rows, *_ = read(tmp_path, table, manifest=tables, ignore_given=ignored)
        assert [row.split for row in rows] == splits


def test_a_path_is_found_below_folders_that_the_table_does_not_name(tmp_path):
    images = [f"part {n}/{path}" for n, path in enumerate(IMAGES)]
    rows, _, listing = read(tmp_path / "a", TABLE, images=images)
    assert [row.path for row in rows] == images
    assert [row.label for row in rows] == [path.split("/")[0] for path in IMAGES]
    assert "manifest.csv: 4 paths were found below folders that it does not name" in listing.notes
    two = [*images, f"part 9/{IMAGES[0]}"]
    touch(tmp_path / "b", *two)
    (tmp_path / "b/part 9" / IMAGES[0]).write_bytes(b"another")
    message = refusal(tmp_path / "b", TABLE, images=())
    assert f"line 2 means part 0/{IMAGES[0]} and part 9/{IMAGES[0]}" in message


def test_several_folders_are_taken_off_a_path(tmp_path):
    table = TABLE.replace("\nN", "\nset-1/train/N").replace("\nP", "\nset-1/P")
    rows, *_ = read(tmp_path, table, strip=("set-*/train", "set-*"))
    assert [row.path for row in rows] == list(IMAGES)


def test_words_of_the_column_split_may_mean_another_one(tmp_path):
    table = "path,label,split\n" + "".join(
        f"{path},{path.split('/')[0]},{word}\n"
        for path, word in zip(IMAGES, ("Train", "VALID", "train", "held out"), strict=True)
    )
    words = {"valid": "test", "held out": "eval"}
    rows, *_ = read(tmp_path, table, split_words=words)
    assert [row.split for row in rows] == ["train", "test", "train", "eval"]
    assert "say in split.words what they mean" in refusal(tmp_path, table)


def test_of_several_tables_the_first_that_is_there_is_joined(tmp_path):
    touch(tmp_path, *IMAGES)
    (tmp_path / "more-b.csv").write_text(
        "path,label\n" + "".join(f"{path},{path.split('/')[0]}\n" for path in IMAGES)
    )
    joins = (Join(("more-a*.csv", "more-b*.csv"), (("path", "path"),)),)
    table = "path\n" + "\n".join(IMAGES)
    rows, _, listing = read(tmp_path, table, joins=joins)
    assert [row.label for row in rows] == [path.split("/")[0] for path in IMAGES]
    note = "manifest.csv: more-b*.csv is joined to it, since there is no more-a*.csv"
    assert note in listing.notes
    (tmp_path / "more-b.csv").unlink()
    message = refusal(tmp_path, table, joins=joins)
    assert "more-a*.csv or more-b*.csv: no file matches (ingest.joins)" in message
