"""A table of any kind is read line by line, or what is wrong with it is said."""

import csv
import datetime
import gzip
import io
import tracemalloc
import zipfile

import openpyxl
import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.manifest import limits, workbook
from tfxray.components.manifest.table import find_swallowed, read_table

ROWS = [(2, ["a.png", "1"]), (3, ["b.png", "0"])]


def has_path(columns):
    return "path" in columns


def read(folder, content, name="table.csv", **how):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(str(path), has_path, **how)
    return table.columns, list(table.rows)


def refusal(folder, content, name="table.csv", **how):
    with pytest.raises(UserError) as caught:
        read(folder, content, name, **how)
    assert str(folder / name) in str(caught.value)
    return str(caught.value)


def book(*sheets, **states):
    """A workbook of sheets, each the rows of it."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for number, rows in enumerate(sheets):
        sheet = made.create_sheet(f"sheet {number}")
        sheet.sheet_state = states.get(f"state{number}", "visible")
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


def remade(content, method=zipfile.ZIP_DEFLATED, **parts):
    """The same archive with parts of other content: `sheet`, `workbook`, `styles`, or new ones."""
    names = {"sheet": "xl/worksheets/sheet1.xml", "workbook": "xl/workbook.xml",
             "styles": "xl/styles.xml"}  # fmt: skip
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", method) as new:
        replaced = {names.get(name, name): part for name, part in parts.items()}
        for name in dict.fromkeys([*old.namelist(), *replaced]):
            new.writestr(name, replaced[name] if name in replaced else old.read(name))
    return stream.getvalue()


def sheet_xml(rows, before=""):
    head = f'{before}<worksheet xmlns="{workbook._NAMESPACE}"><sheetData>'
    return f"{head}{rows}</sheetData></worksheet>"


PLAIN = book([["path", "label"], ["a.png", "1"], ["b.png", "0"]])


def test_rows_are_parsed_when_they_are_asked_for(tmp_path):
    (tmp_path / "table.csv").write_text('path,label\na.png,1\nb.png,"0\n')
    table = read_table(str(tmp_path / "table.csv"), has_path)
    assert next(table.rows) == ROWS[0]
    with pytest.raises(UserError, match="line 3: is no row of cells separated by comma"):
        next(table.rows)


def test_a_large_table_takes_little_more_memory_than_its_bytes(tmp_path):
    line = "images/00000001_000.png,Cardiomegaly,0,1,58,M,PA,2682,2749,0.143,0.143\n"
    content = "path,b,c,d,e,f,g,h,i,j,k\n" + line * 30_000
    (tmp_path / "table.csv").write_text(content)
    tracemalloc.start()
    table = read_table(str(tmp_path / "table.csv"), has_path)
    assert sum(1 for _ in table.rows) == 30_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * len(content) + 10 * 2**20


def test_lines_are_counted_through_blanks_and_cells_of_several(tmp_path):
    content = '\r\npath,label\r\n\r\n"a.png","1\r\n2"\r\nb.png,0\r\n'
    expected = (["path", "label"], [(4, ["a.png", "1\r\n2"]), (6, ["b.png", "0"])])
    assert read(tmp_path, content) == expected
    assert read(tmp_path, gzip.compress(content.encode()), "table.csv.gz") == expected
    declared = "sep=,\r\n" + content
    assert [line for line, _ in read(tmp_path, declared)[1]] == [5, 7]


@pytest.mark.parametrize("character", ["comma", ",", "semicolon", "tab", "pipe", "|"])
def test_a_separator_that_is_told_counts(tmp_path, character):
    letter = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}.get(character, character)
    other = ";" if letter == "," else ","
    content = f"path{letter}a{other}b{other}c\na.png{letter}1{other}2{other}3\n"
    found = read(tmp_path, content, separator=character)
    assert found == (["path", f"a{other}b{other}c"], [(2, ["a.png", f"1{other}2{other}3"])])


def test_a_separator_that_is_none_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("path\n")
    with pytest.raises(UserError, match="Name one of: comma, semicolon, tab, pipe, blanks"):
        read_table(str(tmp_path / "table.csv"), has_path, separator="colon")


def test_blanks_separate_and_quote_nothing(tmp_path):
    content = '\n 1  a.png\tpositive  bimcv \r\n\n2 b".png negative rsna\n'
    headings = ("patient", "path", "label", "source")
    columns, rows = read(tmp_path, content, "t.txt", separator="blanks", headings=headings)
    assert columns == list(headings)
    assert rows == [
        (2, ["1", "a.png", "positive", "bimcv"]), (4, ["2", 'b".png', "negative", "rsna"]),
    ]  # fmt: skip
    assert read(tmp_path, "path  label\na.png 1\n", separator="blanks") == (
        ["path", "label"], [(2, ["a.png", "1"])],
    )  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_without_headings_the_first_line_is_a_row(tmp_path, separator):
    content = f"a.png{separator}1\n\nb.png{separator}0\n"
    columns, rows = read(tmp_path, content, headings=("path", "label"))
    assert (columns, rows) == (["path", "label"], [(1, ROWS[0][1]), (3, ROWS[1][1])])
    assert read(tmp_path, b"", headings=("path",)) == (["path"], [])


def test_headings_find_the_separator_by_their_number(tmp_path):
    found = read(tmp_path, "a.png;1,2,3\n", headings=("path", "label"))
    assert found == (["path", "label"], [(1, ["a.png", "1,2,3"])])


def test_a_report_may_be_long(tmp_path):
    report = "no finding, " * 50_000
    assert read(tmp_path, f'path,report\na.png,"{report}"\n')[1] == [(2, ["a.png", report])]


def test_a_mark_that_is_not_closed_is_told_from_a_long_report(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MOST_CHARACTERS", 200_000)
    before = csv.field_size_limit(131_072)
    try:
        message = refusal(tmp_path, 'path,report\na.png,"' + "x,\n" * 100_000)
        assert "line 2: is no row" in message
        assert "none closes it" in message
        csv.field_size_limit(10**6)  # another's, which is not taken from it
        read(tmp_path, "path\na.png\n")
        assert csv.field_size_limit() == 10**6
    finally:
        csv.field_size_limit(before)


def test_a_line_that_a_cell_swallowed_is_found():
    cells = ["a.png", "1\r\nb.png,0\r\nc.png,1"]
    assert find_swallowed(7, cells, ",", lambda row: row[0] == "c.png") == 9
    assert find_swallowed(7, cells, ",", lambda row: row[0] == "d.png") is None
    assert find_swallowed(7, cells, "", lambda row: True) is None  # a workbook's


def test_a_workbook_is_read_as_its_csv_would_be(tmp_path):
    day = datetime.datetime(2020, 2, 29)
    rows = [
        [None, None], [" path ", "a", "b", "c", "d", "e"],
        ["a.png", 12.0, 0.5, day, True, None], [None],
        ["b.png", 7, -1.0, day.replace(hour=5), False, "x\ny"],
    ]  # fmt: skip
    columns, found = read(tmp_path, book(rows), "table.bin")
    assert columns == ["path", "a", "b", "c", "d", "e"]
    assert found == [
        (3, ["a.png", "12", "0.5", "2020-02-29", "TRUE"]),
        (5, ["b.png", "7", "-1", "2020-02-29 05:00:00", "FALSE", "x\ny"]),
    ]
    assert read(tmp_path, gzip.compress(PLAIN), "t.xlsx.gz") == (["path", "label"], ROWS)


def test_the_sheet_with_the_columns_is_taken(tmp_path):
    readme, right = [["read me first"], ["text"]], [["path", "label"], ["a.png", "1"]]
    assert read(tmp_path, book([], readme, right))[1] == [(2, ["a.png", "1"])]
    assert read(tmp_path, book([], readme, readme))[0] == ["read me first"]
    old = [["path", "label"], ["old.png", "1"]]
    assert read(tmp_path, book(old, right, state0="hidden"))[1] == [(2, ["a.png", "1"])]
    assert read(tmp_path, book([], right[1:]), headings=("path", "label")) == (
        ["path", "label"], [(1, ["a.png", "1"])],
    )  # fmt: skip
    for nothing in (book([]), remade(PLAIN, workbook="<nothing/>")):
        assert read(tmp_path, nothing) == ([], [])


def test_what_a_sheet_says_of_its_size_does_not_count(tmp_path):
    xml = (
        f'<worksheet xmlns="{workbook._NAMESPACE}"><dimension ref="A1:XFD1048576"/><sheetData>'
        '<row r="1"><c t="str"><v>path</v></c></row><row r="9"><c t="str"><v>a.png</v></c></row>'
        "</sheetData></worksheet>"
    )
    assert read(tmp_path, remade(PLAIN, sheet=xml)) == (["path"], [(9, ["a.png"])])


ENTITIES = '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
CELLS = '<row r="1"><c t="str"><v>path</v></c></row>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAIN[:-300], "is a damaged Excel workbook or ZIP archive"),
        (PLAIN[:400] + b"\xff" * 40 + PLAIN[440:], "is a damaged Excel workbook"),
        (b"PK\x03\x04" + bytes(range(256)) * 9, "is a damaged Excel workbook"),
        (remade(PLAIN, sheet="<worksheet><sheetData>"), "is a damaged Excel workbook"),
        (remade(PLAIN, sheet=sheet_xml(CELLS + '<row r="2"><c t="s"><v>99</v></c></row>')),
         "sheet 'sheet 0': a row after line 1 is damaged"),
        (remade(PLAIN, sheet=sheet_xml(CELLS, ENTITIES)), "declares entities"),
        (remade(PLAIN, styles=ENTITIES + "<styleSheet/>"), "declares entities"),
        (remade(PLAIN, sheet=sheet_xml('<row r="7"/><row r="3"/>')), "row 3 after row 7"),
        (remade(PLAIN, sheet=sheet_xml('<row r="99999999999"/>')), "row 99999999999 after row 0"),
        (remade(PLAIN, sheet=sheet_xml('<row r="1e999"/>')), "is a damaged Excel workbook"),
        (remade(PLAIN, sheet=sheet_xml('<row r="x"/>')), "is a damaged Excel workbook"),
        (remade(PLAIN, sheet=sheet_xml(" " * 3 * 2**20)), "was compressed to"),
        (remade(PLAIN, zipfile.ZIP_STORED, sheet=sheet_xml("<row>" + "<c/>" * 500_001 + "</row>")),
         "holds far more XML than any workbook"),
        (remade(PLAIN, zipfile.ZIP_STORED, sheet=sheet_xml("<c/>" * 500_001)), "far more XML"),
        (remade(PLAIN, zipfile.ZIP_STORED, sheet=sheet_xml("<row><row/>" + "<c/>" * 500_000)),
         "holds far more XML than any workbook"),
        (remade(PLAIN, workbook=f'<workbook xmlns="{workbook._NAMESPACE}"><sheets>'
                + '<sheet name="a" sheetId="1" id="rId1"/>' * 1_001 + "</sheets></workbook>"),
         "far more texts or sheets than any workbook"),
        (remade(PLAIN, zipfile.ZIP_STORED, sheet=sheet_xml(f"<row x='{'x' * 2 * 2**20}'/>")),
         "has a tag that does not end"),
        (remade(PLAIN, workbook='<workbook xmlns="http://purl.oclc.org/ooxml/x"/>'),
         "of the kind Strict Open XML"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 99, "an old Excel workbook (.xls), or one with a password"),
    ],
)  # fmt: skip
def test_a_workbook_that_is_damaged_or_a_bomb_is_refused(tmp_path, content, message):
    assert message in refusal(tmp_path, content)


def test_an_archive_that_is_no_workbook_is_told_so(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("manifest.csv", "path,label\n")
    assert "is a ZIP archive, but no .xlsx workbook" in refusal(tmp_path, stream.getvalue())
    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    document = remade(PLAIN, **{"[Content_Types].xml": types})
    assert "is a ZIP archive, but no .xlsx workbook" in refusal(tmp_path, document)


def test_an_encrypted_archive_is_told_so(tmp_path):
    flagged = bytearray(PLAIN)
    place = flagged.index(b"PK\x01\x02")
    flagged[place + 8] |= 1
    assert "is encrypted. Save it without a password" in refusal(tmp_path, bytes(flagged))


def test_the_limits_hold_for_a_workbook_too(tmp_path, monkeypatch):
    wide = book([["path"], *([None] * 50 + ["x"] for _ in range(20))])
    monkeypatch.setattr(limits, "MOST_CELLS", 500)
    assert "line 11: more than 500 cells" in refusal(tmp_path, wide)
    monkeypatch.setattr(limits, "MOST_BYTES", len(wide))
    assert f"holds more than {len(wide)} bytes when it is unpacked" in refusal(tmp_path, wide)
    many = remade(PLAIN, **{f"x{number}": "" for number in range(10_001)})
    monkeypatch.undo()
    assert "holds more than 10000 files" in refusal(tmp_path, many)


LINES = """{"path": "train/a.jpg", "No Finding": 1.0, "Edema": null}

{"path": "train/b.jpg", "Edema": true, "AP/PA": "AP", "n": 12345678901234567890123}
{}
{"path": "träin/c.jpg", "Edema": false}
"""


@pytest.mark.parametrize(
    ("content", "name", "numbers"),
    [
        (LINES, "t.json", [1, 3, 5]),
        (LINES.replace("\n", "\r\n"), "t.JSONL", [1, 3, 5]),
        (b"\xef\xbb\xbf" + LINES.encode(), "t.jsonl", [1, 3, 5]),
        (LINES.encode("utf-16"), "t.json", [1, 3, 5]),
        (gzip.compress(LINES.encode()), "t.json.gz", [1, 3, 5]),
        ("[\n" + LINES.replace("}\n{", "},\n{").replace("}\n\n", "},\n") + "]\n", "t.json",
         [2, 3, 5]),
    ],
)  # fmt: skip
def test_json_is_a_table_of_its_keys(tmp_path, content, name, numbers):
    columns, rows = read(tmp_path, content, name)
    assert columns == ["path", "No Finding", "Edema", "AP/PA", "n"]
    assert [line for line, _ in rows] == numbers
    assert [cells for _, cells in rows] == [
        ["train/a.jpg", "1.0", "", "", ""],
        ["train/b.jpg", "", "true", "AP", "12345678901234567890123"],
        ["träin/c.jpg", "", "false", "", ""],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"path": "a"}\n{"path": ["a"]}\n', "line 2: a value holds other values"),
        ('{"path": "a"}\n{"path": {}}\n', "line 2: a value holds other values"),
        ('{"path": ' + "[" * 200_000, "line 1: a value holds other values"),
        ('{"path": "a"}\n{"path": "a\n', "line 2: is no JSON: "),
        ('{"path": "a"},\n{"path": "a"}\n', "line 1: begins no object"),
        ('{"path": "a"}\n\n3\n', "line 3: begins no object"),
        ('{"path": "a", "path": "b"}', "line 1: an object has one key twice"),
        ('[{"path": "a"}\n{"path": "b"}]', "line 2: neither a comma nor the array's end"),
        ('[{"path": "a"},\n', "line 2: the array does not end the file"),
        ('[{"path": "a"}]\n[]', "line 1: the array does not end the file"),
        ('[["path"], ["a"]]', "line 1: begins no object"),
        ('{"' + '": 1, "'.join(map(str, range(20_000))) + '": 1}', "more than 18278 keys so far"),
    ],
)
def test_json_that_is_no_table_is_refused_by_line(tmp_path, content, message):
    assert message in refusal(tmp_path, content, "t.json")


def test_json_has_its_headings_itself_and_few_cells(tmp_path, monkeypatch):
    assert "headings are given" in refusal(tmp_path, LINES, "t.json", headings=("path",))
    assert read(tmp_path, "[]", "t.json") == ([], [])
    monkeypatch.setattr(limits, "MOST_CELLS", 19)
    assert "4 objects by 5 keys are more than 19 cells" in refusal(tmp_path, LINES, "t.json")
