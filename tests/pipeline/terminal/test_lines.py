import pytest

from tfxray.pipeline.terminal.lines import format_table

HEADINGS = ("run", "data", "AUC", "verdict", "changed")
ROWS = [
    ("20261127-093000", "chest_xray", "0.9936 [0.9886, 0.9964]", "pushed", "train.epochs=12"),
    ("20261126-093000", "", "", "failed", "train.learning_rate=0.001, model.image_size=299"),
]


@pytest.fixture
def table(monkeypatch):
    def render(columns, rows=ROWS):
        monkeypatch.setenv("COLUMNS", str(columns))
        return format_table(HEADINGS, rows, narrow=("run", "AUC"))

    return render


def test_a_wide_terminal_shows_a_row_a_line(table):
    heading, first, second = table(160)
    assert heading.split() == list(HEADINGS)
    assert all(cell in first for cell in ROWS[0])
    assert ROWS[1][-1] in second


def test_what_is_long_is_folded_where_the_rest_has_room(table):
    lines = table(85)
    assert max(map(len, lines)) <= 85
    assert ROWS[0][2] in lines[1]
    assert len(lines) == 5  # the last row's changes in three lines


@pytest.mark.parametrize("columns", [20, 40, 72])
def test_a_narrow_terminal_shows_a_row_a_block_and_no_cell_is_cut(table, columns):
    lines = table(columns)
    assert lines[0] == "run      20261127-093000"
    assert [line[9:] for line in lines if line] == [cell for row in ROWS for cell in row if cell]
    assert lines.count("") == 1


def test_hostile_cells_stay_on_their_line(table):
    for columns in (20, 160):
        lines = table(columns, [("a\nb\x1b[2J", "", "", "", "")])
        assert not any("\x1b" in line for line in lines)
        assert len(lines) == (1 if columns == 20 else 2)


def test_without_rows_the_headings_stand_alone(table):
    assert [line.split() for line in table(160, [])] == [list(HEADINGS)]
