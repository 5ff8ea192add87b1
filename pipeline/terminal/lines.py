"""Lines of text for the terminal: what is in them is shown, and never obeyed."""

import logging
import shutil
from collections.abc import Collection, Iterable, Sequence

import click

from tfxray.components.common.errors import UserError
from tfxray.components.text import escape

# A column of text that is folded more narrowly than this cannot be read.
_READABLE = 16


def echo(text: object, err: bool = False) -> None:
    """Prints one line, whatever names are in it.

    Args:
        text: Of any origin; see `escape.for_screen`.
        err: To stderr.
    """
    click.echo(escape.for_screen(str(text)), err=err)


def echo_lines(lines: Iterable[str], err: bool = False) -> None:
    """Prints several lines; see `echo`."""
    for line in lines:
        echo(line, err)


def echo_json(value: object) -> None:
    """Prints a result for a program: one line of JSON, see `escape.to_json`."""
    click.echo(escape.to_json(value))


def format_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], narrow: Collection[str]
) -> list[str]:
    """A table as lines, as wide as the terminal.

    Where the terminal has no room for the columns side by side, each row is a block of lines, one
    for each of its cells that is not empty.

    Args:
        headings: Of the columns.
        rows: Cells of any origin; see `escape.for_screen`.
        narrow: The columns whose cells stay on one line.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[escape.for_screen(cell) for cell in row] for row in rows]
    width = shutil.get_terminal_size((160, 24)).columns
    if _least_width(headings, cells, narrow) > width:
        return _format_blocks(headings, cells)
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading in narrow, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().rstrip().splitlines()]


def _least_width(
    headings: Sequence[str], rows: Sequence[Sequence[str]], narrow: Collection[str]
) -> int:
    """How many characters a table needs so that it can be read, with a blank between columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    needed = (
        width if heading in narrow else min(width, _READABLE)
        for heading, width in zip(headings, widths, strict=True)
    )
    return sum(needed) + len(headings) - 1


def _format_blocks(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    width = max(map(len, headings))
    lines: list[str] = []
    for row in rows:
        told = [(heading, cell) for heading, cell in zip(headings, row, strict=True) if cell]
        lines += ["", *(f"{heading:<{width}}  {cell}" for heading, cell in told)]
    return lines[1:]


def error_lines(error: UserError) -> list[str]:
    """What a person is told of an error, line by line."""
    first, *rest = error.lines or ("",)
    return [f"error: {first}", *rest]


def indent_lines(text: str) -> str:
    """Text of several lines for a log: what begins at the margin is the log's own."""
    return "\n    ".join(map(escape.for_screen, text.splitlines()))


class LogFormatter(logging.Formatter):
    """Keeps names from passing for lines of the log, and for orders to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`; all lines of a record but its first are indented."""
        return indent_lines(super().format(record))
