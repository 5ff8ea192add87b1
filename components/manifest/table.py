"""Reads a table as it is found: its encoding, its separator, its lines; or a workbook; or JSON."""

import codecs
import contextlib
import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.manifest import json_lines, limits, workbook

BLANKS = " "  # several of them, or tabs, are one separator; a quotation mark is a character
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", BLANKS: "blanks"}
_FOUND = (",", ";", "\t", "|")  # without being told: blanks are in most texts
_JSON = (".json", ".jsonl")
_NO_TABLES = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls), or one with a password",
    b"%PDF": "a PDF", b"PAR1": "a Parquet file", b"\x89HDF": "an HDF5 file",
}  # fmt: skip
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32",
          b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
_SAVE = "Save it as CSV in UTF-8, or as .xlsx"
_CHUNK = 2**20
_HEAD = 2**16


class Table(NamedTuple):
    """A table.

    Attributes:
        columns: Its headings, without outer blanks.
        rows: The line where each begins, from 1, and its cells. They can be read once, and are
            parsed then: so a caller need not hold those that it does not keep.
        encoding: By which it was read.
        separator: Of its cells; empty where there is none, as in a workbook and in JSON.
    """

    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]
    encoding: str
    separator: str


def read_table(
    path: str,
    has_columns: Callable[[Sequence[str]], bool],
    separator: str | None = None,
    headings: Sequence[str] = (),
) -> Table:
    """Reads a table of text, an Excel workbook (.xlsx), or JSON with an object for each row.

    It may be compressed by gzip. The encoding of a text is that of its byte order mark; else UTF-8,
    UTF-16 or, where it is none of both, cp1252, in which Excel writes CSV files in Western Europe.

    Args:
        path: On any of Beam's file systems.
        has_columns: Tells whether headings are those that are looked for. The separator is the one
            by which they are, and the sheet of a workbook the first one that has them.
        separator: Of the cells of a text, by its name in `SEPARATORS` or as it is; None to find it.
        headings: Those of a table that has none. Its first line is then a row.

    Raises:
        UserError: It is no table. Names the line. Also while its rows are read.
    """
    told = _known_separator(separator)
    content = _read(path)
    if content.startswith(workbook.MARK):
        columns, rows = workbook.read_sheet(path, content, has_columns, headings)
        return Table([column.strip() for column in columns], rows, "utf-8", "")
    encoding = _find_encoding(path, content)
    if _is_json(path, content, encoding):
        if headings:
            raise UserError(
                f"{path}: its objects name their columns themselves, and headings are given. Take "
                "the headings out"
            )
        columns, rows = json_lines.read_objects(path, content.decode(encoding))
        return Table([column.strip() for column in columns], rows, encoding, "")
    text = _Text(path, content, encoding)
    only = told or text.declared
    candidates = (only,) if only else _FOUND
    tops = {candidate: text.first_row(candidate) for candidate in candidates}
    if headings:
        matches = [s for s in candidates if len(tops[s]) == len(headings)]
    else:
        matches = [s for s in candidates if has_columns(tops[s])]
    found = max(matches or candidates, key=lambda s: len(tops[s]))
    rows = text.records(found)
    columns = list(headings) if headings else next(rows, (1, []))[1]
    return Table([column.strip() for column in columns], rows, encoding, found)


def read_headings(path: str) -> list[str]:
    """The first line of a table of text, without reading the rest.

    Args:
        path: On any of Beam's file systems.

    Returns:
        Its cells, by the separator that makes most of them; empty where it is no text.
    """
    try:
        with filesystem.open_file(path) as file:
            head = file.read(_HEAD)
        if head.startswith(b"\x1f\x8b"):
            head = zlib.decompressobj(wbits=31).decompress(head, _HEAD)
        # The end of the head may be within a letter, of one to four bytes.
        end = head.rfind(b"\n") + 1
        for cut in (end, end + 1, end + 3):
            with contextlib.suppress(UserError):
                encoding = _find_encoding(path, head[:cut])
                head = head[:cut]
                break
        else:
            return []
    except (OSError, zlib.error):
        return []
    text = _Text(path, head, encoding)
    return max((text.first_row(separator) for separator in _FOUND), key=len)


def _known_separator(separator: str | None) -> str | None:
    for character, name in SEPARATORS.items():
        if separator in (character, name):
            return character
    if separator is None:
        return None
    raise UserError(f"{separator!r} is no separator. Name one of: {', '.join(SEPARATORS.values())}")


def _read(path: str) -> bytes:
    try:
        with filesystem.open_file(path) as file:
            content = _read_most(file)
        if content.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as inflated:
                content = _read_most(inflated)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path}: is no whole gzip file. Compress it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or 'unknown'}") from None
    if len(content) > limits.MOST_BYTES:
        raise UserError(
            f"{path}: holds more than {limits.MOST_BYTES} bytes, which no manifest needs"
        )
    for mark, what in _NO_TABLES.items():
        if content.startswith(mark):
            raise UserError(f"{path}: is {what}, not a table of text. {_SAVE}")
    return content


def _read_most(file: IO[bytes] | gzip.GzipFile) -> bytes:
    """What a file holds, or more than a table may."""
    held = io.BytesIO()
    # In parts: to read up to a number of bytes claims memory for all of them.
    while held.tell() <= limits.MOST_BYTES and (part := file.read(_CHUNK)):
        held.write(part)
    return held.getvalue()


def _find_encoding(path: str, content: bytes) -> str:
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    candidates = [marked] if marked else ["utf-8", "cp1252"]
    if not marked and b"\0" in content[:1000]:  # UTF-16 without its mark
        candidates = ["utf-16-le" if content[1:1000:2].count(0) > content[:1000:2].count(0)
                      else "utf-16-be"]  # fmt: skip
    for encoding in candidates:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            # In parts: as a whole, a text may take four times as much memory.
            for start in range(0, len(content), _CHUNK):
                if "\0" in decoder.decode(content[start : start + _CHUNK]):
                    raise UserError(f"{path}: is no text: it holds bytes of zero. {_SAVE}")
            decoder.decode(b"", final=True)
            return encoding
        except UnicodeDecodeError:
            continue
    raise UserError(
        f"{path}: is neither UTF-8 nor UTF-16 nor cp1252 (Windows in Western Europe). {_SAVE}"
    )


def _open(content: bytes, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding, newline="")


def _is_json(path: str, content: bytes, encoding: str) -> bool:
    stem, extension = os.path.splitext(path.lower())
    if extension == ".gz":
        extension = os.path.splitext(stem)[1]
    start = _open(content, encoding).read(1000).lstrip() if extension in _JSON else ""
    return start.startswith(("{", "["))


class _Text:
    """The lines of a table of text, read as often as they are asked for."""

    def __init__(self, path: str, content: bytes, encoding: str):
        self.path, self.content, self.encoding = path, content, encoding
        first = _open(content, encoding).readline(100)
        # Excel's own first line: `sep=;`.
        told = first.lower().startswith("sep=") and first[4:5] in _FOUND
        self.declared = first[4] if told else None

    def first_row(self, separator: str) -> list[str]:
        try:
            rows = self._split(separator)
            return next(([cell.strip() for cell in row] for _, row in rows if any(row)), [])
        except csv.Error:
            return []

    def records(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Each record that is not blank, with the line where it begins."""
        begins = 1  # of the next one
        try:
            for ends, cells in self._split(separator):
                if any(cell.strip() for cell in cells):
                    yield begins, cells
                begins = ends + 1
        except csv.Error as error:
            reason = str(error)  # csv quotes no cell
            if "unexpected end" in reason or "field limit" in reason:
                reason = "a quotation mark opens a cell, and none closes it"
            raise UserError(
                f"{self.path}: line {begins}: is no row of cells separated by "
                f"{SEPARATORS[separator]}: {reason}"
            ) from None

    def _split(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """The cells of each record, and the line where it ends."""
        lines = _open(self.content, self.encoding)
        skipped = 1 if self.declared else 0
        if skipped:
            lines.readline()
        if separator == BLANKS:
            for number, line in enumerate(lines, skipped + 1):
                stripped = line.strip(" \t\r\n")
                yield number, re.split(r"[ \t]+", stripped) if stripped else []
            return
        # Reports are longer than csv allows. All of the process shares the limit: it only grows.
        csv.field_size_limit(max(csv.field_size_limit(), limits.MOST_CHARACTERS))
        reader = csv.reader(
            lines, delimiter=separator, strict=True, skipinitialspace=separator != "\t"
        )
        for cells in reader:
            yield reader.line_num + skipped, cells


def find_swallowed(
    line: int, cells: Sequence[str], separator: str, is_row: Callable[[list[str]], bool]
) -> int | None:
    """A line that a pair of quotation marks, which do not belong together, made part of a cell.

    Args:
        line: Where the row begins.
        cells: The row's.
        separator: The table's.
        is_row: Tells whether cells are a row of their own.

    Returns:
        The first line that the row swallowed, if it did.
    """
    if not separator:  # a line's end in a workbook's or in JSON's cell is meant
        return None
    number = line
    for cell in cells:
        if "\n" not in cell and "\r" not in cell:
            continue
        for other in re.split(r"\r\n|\r|\n", cell)[1:]:
            number += 1
            if is_row(next(csv.reader([other], delimiter=separator), [])):
                return number
    return None
