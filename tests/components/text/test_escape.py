"""Names that strangers gave, on every way out: shown as they are, obeyed nowhere, lost nowhere."""

import csv
import json
import os
import subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from markdown_it import MarkdownIt

from tests import pages
from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.text import escape, tables

ESC, BELL, CSI, NUL = "\x1b", "\x07", "\x9b", "\0"
OVERRIDE, ISOLATE, LINE, BOM = "\u202e", "\u2067", "\u2028", "\ufeff"
NO_UTF8 = b"caf\xe9.png".decode("utf-8", "surrogateescape")
OBEYED = [
    f"{ESC}[2J.png", f"{ESC}]0;title{BELL}", f"{CSI}31mred", f"a{NUL}b", "line\nbreak", "\x85",
    "back\rover", f"{OVERRIDE}gnp.exe", f"{ISOLATE}x", f"two{LINE}lines", f"{BOM}x", NO_UTF8,
    "\b\b\bok",
]  # fmt: skip
ORDINARY = ["a b.png", "é ñ 実験\u3000漢.png", "😀.png", "مرحبا", r"C:\scans\1.png", "100 %"]

# What OWASP's page on CSV injection lists, and where it may hide.
COMPUTED = [
    '=HYPERLINK("http://x";"y")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", '"=1"',
    "'=1", "''", "'", "＝1＋1", "=", "-", "\ufeff=1", "\xa0=1", "(=1",
]  # fmt: skip
FIRST = set("=+-@\t\r\n＝＋－＠")
TEXTS = [*COMPUTED, *ORDINARY, "a;=1+1", 'x","=1', "a\tb", "NORMAL/=1.png", "", "1.5", NO_UTF8]

# By CommonMark and GitHub's extension of it.
MARKUP = [
    "[a](http://x)", "![x](http://x/y.png)", "<script>alert(1)</script>", "<http://x>", "&#39;",
    "&lt;b&gt;", "**b** __c__ `d` ~~e~~", "a | b", "\\", "\\|", "a\n\n# heading", "# h", "> q",
    "- item", "+ item", "1. item", "1)", "---", "===", "[a]: http://x", "<!-- x", "Youden's",
    "a\n| b | c |", f"{ESC}[31m", "    code", "[^1]", '"q"',
]  # fmt: skip


@pytest.mark.parametrize("text", OBEYED)
def test_a_terminal_gets_one_line_and_nothing_to_obey(text):
    shown = escape.for_screen(text)
    assert shown.isprintable()
    shown.encode()  # as any terminal's encoding can
    assert "\\" in shown


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_seen_stays(text):
    assert escape.for_screen(text) == text


def test_a_command_that_is_copied_names_the_very_file():
    """bash says what it reads; a system has no name with NUL in it."""
    names = [name for name in [*OBEYED, *ORDINARY, "it's\n\\012", "a'b", "$x `y`", ""]
             if NUL not in name]  # fmt: skip
    words = [escape.for_shell(name) for name in names]
    assert all(escape.for_screen(word) == word for word in words)
    script = f"printf '%s\\0' {' '.join(words)}".encode()
    read = subprocess.run(["bash"], input=script, capture_output=True, check=True).stdout
    assert read.split(b"\0")[:-1] == [os.fsencode(name) for name in names]


def read_cells(path, separator):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [cell for row in csv.reader(file, delimiter=separator) for cell in row]


def test_no_spreadsheet_computes_a_cell_and_no_text_is_lost(tmp_path):
    path = str(tmp_path / "table.csv")
    with tables.write_table(path, ("name", "detail")) as write_row:
        for text in TEXTS:
            write_row((text, text))
    cells = read_cells(path, ",")
    assert len(cells) == 2 + 2 * len(TEXTS)
    for cell in cells:
        assert cell.strip(" \"'\ufeff\xa0(")[:1] not in FIRST or cell.startswith("'"), cell
    assert [(row["name"], row["detail"]) for row in tables.read_table(path)] == [
        (text, text) for text in TEXTS
    ]


def test_a_name_begins_no_cell_within_itself(tmp_path):
    """Where a country's spreadsheet parts the cells by `;`, it does so in our files, too."""
    path = str(tmp_path / "table.csv")
    with tables.write_table(path, ("name", "score")) as write_row:
        write_row(("a;=1+1.png", 0.5))
        write_row(("b\t=1+1.png", 0.5))
    for separator in ";\t":
        assert not [cell for cell in read_cells(path, separator) if cell.startswith("=")]


def test_numbers_stay_numbers(tmp_path):
    path = str(tmp_path / "table.csv")
    with tables.write_table(path, ("name", "drop")) as write_row:
        write_row(("a", -0.5))
    assert pd.read_csv(path)["drop"][0] == -0.5


def test_the_held_out_scores_come_back_as_they_were(tmp_path):
    frame = pages.table()
    names = [text for text in TEXTS if text not in (NO_UTF8, "")]
    for column in (contract.FILENAME, contract.SITE, contract.PATIENT):
        frame[column] = [names[i % len(names)] for i in range(len(frame))]
    frame.loc[0, contract.SCORE] = np.nan
    heldout_scores.write_scores(pa.Table.from_pandas(frame), tmp_path)
    pd.testing.assert_frame_equal(heldout_scores.read_scores(tmp_path), frame)
    (tmp_path / heldout_scores.FILE).unlink()
    pd.testing.assert_frame_equal(heldout_scores.read_scores(tmp_path), frame)
    with (tmp_path / heldout_scores.SPREADSHEET).open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            assert not [cell for cell in row if cell[:1] in FIRST]


def markdown_of(text):
    """Tokens of a list, a sentence and a table with a text, by CommonMark and with tables."""
    listed = f"- {text}\n- of {text} it is said: {text}\n\n"
    document = f"{listed}| a | b |\n|---|---|\n| {text} | 1 |\n"
    return [
        token
        for block in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document)
        for token in (block, *(block.children or ()))
    ]


@pytest.mark.parametrize("text", [*MARKUP, *OBEYED, *COMPUTED])
def test_markdown_shows_a_name_and_makes_nothing_of_it(text):
    plain = [(token.type, token.tag) for token in markdown_of("x") if token.type != "text"]
    tokens = markdown_of(escape.for_markdown(text))
    kinds = [(token.type, token.tag) for token in tokens if token.type != "text"]
    assert [kind for kind in kinds if kind[0] != "text_special"] == plain
    shown = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
    assert " ".join(escape.for_screen(text).split()) in " ".join(shown.split())


@pytest.mark.parametrize(
    "text", ["http://x.example/y", "www.example.com", "mailto:x.y", "a.b@c.example"]
)
def test_an_address_is_no_link_on_github_either(text):
    """GitHub's own extension: an address is a link without brackets, unless it is broken up."""
    escaped = escape.for_markdown(text)
    assert not [begin for begin in ("http:/", "www.", "mailto:", "@c") if begin in escaped]


def test_json_is_ascii_and_holds_no_number_that_other_programs_refuse():
    value = {"name": NO_UTF8 + ESC + OVERRIDE, "auc": float("nan"), "limits": (np.inf, 1.5)}
    text = escape.to_json(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"name": value["name"], "auc": None, "limits": [None, 1.5]}
