"""Reads a table of text as it is found: its encoding, its separator, its lines."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_MOST_BYTES = 2**30  # of a table; of one with a million rows and reports there are fewer
_NO_TABLES = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive", b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"%PDF": "a PDF", b"PAR1": "a Parquet file", b"\x89HDF": "an HDF5 file",
}  # fmt: skip
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32",
          b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
_CSV = "Save it as CSV in UTF-8"


class Table(NamedTuple):
    """A table of text.

    Attributes:
        columns: As its line of headings has them, without outer blanks.
        rows: The line where each begins, from 1, and its cells.
        encoding: By which it was read.
        separator: Of its cells.
    """

    columns: list[str]
    rows: list[tuple[int, list[str]]]
    encoding: str
    separator: str


def read_table(path: str, has_columns: Callable[[Sequence[str]], bool]) -> Table:
    """Reads a table with a line of headings.

    It may be compressed by gzip. Its encoding is that of its byte order mark; else UTF-8, UTF-16
    or, where it is none of both, cp1252, in which Excel writes CSV files in Western Europe.

    Args:
        path: On any of Beam's file systems.
        has_columns: Tells whether headings are those that are looked for. The separator is the one
            by which they are.

    Raises:
        UserError: It is no table. Names the line.
    """
    text, encoding = _decode(path, _read(path))
    if "\0" in text:
        raise UserError(f"{path}: is no text: it holds bytes of zero. {_CSV}")
    text, declared = _declared_separator(text)
    candidates = [declared] if declared else list(SEPARATORS)
    headings = {separator: _headings(text, separator) for separator in candidates}
    matches = [s for s in candidates if has_columns(headings[s])] or candidates
    separator = max(matches, key=lambda s: len(headings[s]))
    lines = _records(path, text, separator, 2 if declared else 1)
    columns = [cell.strip() for cell in next(lines, (1, []))[1]]
    return Table(columns, list(lines), encoding, separator)


def _read(path: str) -> bytes:
    try:
        with filesystem.open_file(path) as file:
            content = file.read(_MOST_BYTES + 1)
        if content.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as inflated:
                content = inflated.read(_MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path}: is no whole gzip file. Compress it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or 'unknown'}") from None
    if len(content) > _MOST_BYTES:
        raise UserError(f"{path}: holds more than {_MOST_BYTES} bytes, which no manifest needs")
    for mark, what in _NO_TABLES.items():
        if content.startswith(mark):
            raise UserError(f"{path}: is {what}, not a table of text. {_CSV}")
    return content


def _decode(path: str, content: bytes) -> tuple[str, str]:
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    candidates = [marked] if marked else ["utf-8", "cp1252"]
    if not marked and b"\0" in content[:1000]:  # UTF-16 without its mark
        candidates = ["utf-16-le" if content[1:1000:2].count(0) > content[:1000:2].count(0)
                      else "utf-16-be"]  # fmt: skip
    for encoding in candidates:
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise UserError(
        f"{path}: is neither UTF-8 nor UTF-16 nor cp1252 (Windows in Western Europe). {_CSV}"
    )


def _declared_separator(text: str) -> tuple[str, str | None]:
    """Excel's own first line, `sep=;`, and what follows it."""
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and first[4:5] in SEPARATORS:
        return rest, first[4]
    return text, None


def _headings(text: str, separator: str) -> list[str]:
    try:
        return next(([c.strip() for c in row] for row in _reader(text, separator) if any(row)), [])
    except csv.Error:
        return []


def _reader(text: str, separator: str):  # type: ignore[no-untyped-def]  # csv's type has no name
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=separator != "\t")


def _records(
    path: str, text: str, separator: str, first_line: int
) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line where it begins."""
    reader = _reader(text, separator)
    line = first_line
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + first_line
    except csv.Error as error:
        reason = str(error)  # csv quotes no cell
        if "unexpected end" in reason or "field limit" in reason:
            reason = "a quotation mark opens a cell, and none closes it"
        raise UserError(
            f"{path}: line {line}: is no row of cells separated by {SEPARATORS[separator]}: "
            f"{reason}"
        ) from None


def find_swallowed(table: Table, is_row: Callable[[list[str]], bool]) -> Iterator[tuple[int, int]]:
    """Lines that a pair of quotation marks, which do not belong together, made part of a cell.

    Args:
        table: As it was read.
        is_row: Tells whether cells are a row of their own.

    Yields:
        The line where the row begins, and the one that it swallowed.
    """
    for line, cells in table.rows:
        number = line
        for cell in cells:
            if "\n" not in cell and "\r" not in cell:
                continue
            for other in cell.splitlines()[1:]:
                number += 1
                if is_row(next(csv.reader([other], delimiter=table.separator), [])):
                    yield line, number
