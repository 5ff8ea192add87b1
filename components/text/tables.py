"""Tables for people and their spreadsheets: CSV files that are read as they were written."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfxray.components.common import filesystem
from tfxray.components.text import escape


@contextlib.contextmanager
def write_table(path: str, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Writes a CSV file whose cells no spreadsheet computes; `read_table` reads it.

    Names go in as the file system has them: they need not be UTF-8.

    Args:
        path: The file.
        columns: The headings.

    Yields:
        What writes a row. A text goes through `escape.for_cell`.
    """
    with (
        filesystem.create_file(path) as file,
        io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text,
    ):
        # In quotes, all of them: where `;` parts the cells, a name could begin one within itself.
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        yield lambda row: writer.writerow(
            [escape.for_cell(cell) if isinstance(cell, str) else cell for cell in row]
        )


def read_table(path: str) -> list[dict[str, str]]:
    """Reads a CSV file that `write_table` wrote: each text as it went in.

    Args:
        path: The file.

    Returns:
        The rows, by column.

    Raises:
        OSError: It cannot be read.
    """
    return list(iterate_table(path))


def iterate_table(path: str) -> Iterator[dict[str, str]]:
    """The same, row by row; see `read_table`."""
    with (
        filesystem.open_file(path) as file,
        io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text,
    ):
        for row in csv.DictReader(text):
            yield {key: escape.from_cell(cell) for key, cell in row.items()}
