"""Reads a sheet of an Excel workbook (.xlsx). It is a ZIP archive, and may be anybody's."""

import datetime
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.parsers import expat

from tfxray.components.common.errors import UserError
from tfxray.components.manifest import limits

MARK = b"PK\x03\x04"  # of all ZIP archives
_INSTEAD = "Save it as .xlsx or as CSV in UTF-8"
_DAMAGED = f"is a damaged Excel workbook or ZIP archive. {_INSTEAD} again"
# XML that Excel writes becomes a tenth or twentieth by compression. Below so many bytes, nothing
# is a bomb.
_MOST_RATIO, _FEW_BYTES = 200, 2**20
_MOST_MEMBERS = 10_000
_MOST_SHEETS = 1_000
_MOST_ROWS = 2**20  # Excel's own
_MOST_TEXTS = 2**24
_MOST_ELEMENTS = 500_000  # that openpyxl holds at once: those of a row, of the styles
_LONGEST_TAG = 2**20
_CHUNK = 2**16
_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_STRICT = "http://purl.oclc.org/ooxml/"


def read_sheet(
    path: str,
    content: bytes,
    has_columns: Callable[[Sequence[str]], bool],
    headings: Sequence[str] = (),
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Reads the first sheet that has the columns which are looked for, or else the first one.

    The first row that is not blank has the headings. Of a formula, what it last gave is read.

    Args:
        path: Its file's, for errors.
        content: The file's bytes.
        has_columns: Tells whether headings are those that are looked for.
        headings: Those of a sheet that has none. Its first row is then a row.

    Returns:
        The headings, and the rows that are not blank: the number of each, and its cells.

    Raises:
        UserError: It is no workbook, is damaged or encrypted, or takes far more memory than its
            size says. While rows are read, too.
    """
    _check_archive(path, content)
    first: tuple[list[str], Iterator[tuple[int, list[str]]]] | None = None
    for sheet in _sheets(path, content):
        rows = _rows(path, sheet)
        top = next(rows, None)
        columns = list(headings) if headings else top[1] if top else []
        found = (columns, _with_first(top, rows) if headings and top else rows)
        if top and (headings or has_columns(columns)):
            return found
        if top and not first:
            first = found
    return first or (list(headings), iter(()))


def _with_first(
    top: tuple[int, list[str]], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield top
    yield from rows


def _sheets(path: str, content: bytes) -> list[Any]:
    """Its sheets, those that are seen first."""
    # It takes 0.3 s to import, and most manifests are CSV.
    from openpyxl import load_workbook

    # It warns of what it leaves out, such as pictures and rules for colours: nothing that is read.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        return sorted(book.worksheets, key=lambda sheet: sheet.sheet_state != "visible")
    except OSError:  # openpyxl's word for an archive without a workbook
        raise UserError(
            f"{path}: is a ZIP archive, but no .xlsx workbook. Unpack it, or save the table as "
            ".xlsx or as CSV in UTF-8"
        ) from None
    except Exception:  # it raises whatever it stumbles over: KeyError, TypeError, ParseError
        raise UserError(f"{path}: {_DAMAGED}") from None


def _rows(path: str, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what a sheet says of its size may be wrong
    number = cells_read = 0
    rows = sheet.iter_rows(values_only=True)
    while True:
        try:
            values = next(rows, None)
        except Exception:  # see _sheets
            raise UserError(
                f"{path}: sheet {sheet.title!r}: a row after line {number} is damaged. {_INSTEAD} "
                "again"
            ) from None
        if values is None:
            return
        number += 1
        cells_read += len(values)
        if cells_read > limits.MOST_CELLS:
            raise UserError(
                f"{path}: sheet {sheet.title!r}: line {number}: more than {limits.MOST_CELLS} "
                "cells up to here, which no manifest needs. Take out columns and rows"
            )
        cells = [_text(value) for value in values]
        if any(cell.strip() for cell in cells):
            yield number, cells


def _text(value: Any) -> str:
    """A cell as CSV would have it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    # Excel has no whole numbers: 12 may be stored as 12.0. From 15 digits on it rounds.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time()
        return value.date().isoformat() if at_midnight else value.isoformat(sep=" ")
    return str(value)


def _check_archive(path: str, content: bytes) -> None:
    """Sees before anything is parsed that it may be parsed."""
    # Zipfile makes an object of each, whether or not they are there.
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:
        raise UserError(f"{path}: holds more than {_MOST_MEMBERS} files. No workbook does")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_sizes(path, members)
            if "[Content_Types].xml" not in archive.namelist():
                raise UserError(
                    f"{path}: is a ZIP archive, but no .xlsx workbook. Unpack it, or save the "
                    "table as .xlsx or as CSV in UTF-8"
                )
            for member in members:
                with archive.open(member) as file:
                    _Weigher(path, member.filename).weigh(file)
    # In the second line: a compression that Python lacks, and headers that make no sense.
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError,
        NotImplementedError, RuntimeError, ValueError, OverflowError,
    ):  # fmt: skip
        raise UserError(f"{path}: {_DAMAGED}") from None


def _check_sizes(path: str, members: list[zipfile.ZipInfo]) -> None:
    if any(member.flag_bits & 1 for member in members):
        raise UserError(f"{path}: is encrypted. Save it without a password")
    if sum(member.file_size for member in members) > limits.MOST_BYTES:
        raise UserError(
            f"{path}: holds more than {limits.MOST_BYTES} bytes when it is unpacked, which no "
            "manifest needs"
        )
    for member in members:
        if member.file_size > max(_FEW_BYTES, _MOST_RATIO * member.compress_size):
            raise UserError(
                f"{path}: a part of it has {member.file_size} bytes, and was compressed to "
                f"{member.compress_size}. No workbook is: {_INSTEAD} again"
            )


class _Weigher:
    """Counts what openpyxl would hold in memory of one part: up to 100 bytes for each of XML."""

    def __init__(self, path: str, name: str):
        self.path = path
        self.is_xml = name.endswith((".xml", ".rels"))
        self.depth = self.held = self.row = self.texts = self.sheets = 0

    def weigh(self, file: Any) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        fed = 0
        try:
            while chunk := file.read(_CHUNK):
                fed += len(chunk)
                parser.Parse(chunk)
                if fed - parser.CurrentByteIndex > _LONGEST_TAG:
                    self._refuse("has a tag that does not end")
            parser.Parse(b"", True)
        except expat.ExpatError:
            if self.is_xml:
                raise UserError(f"{self.path}: {_DAMAGED}") from None
            while file.read(_CHUNK):  # a picture; its checksum is looked at nevertheless
                pass

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.held += 1
        if self.depth <= 3:  # cells lie deeper, and there are millions of them
            self._start_outer(name, attributes)
        if self.held > _MOST_ELEMENTS:
            self._refuse("holds far more XML than any workbook")

    def _start_outer(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 3 and name == f"{_NAMESPACE} row":
            self.held = 0  # openpyxl has let go of the row before
            number = int(float(attributes.get("r", self.row + 1)))
            if not self.row < number <= _MOST_ROWS:
                # openpyxl would pass over it, or fill the gap.
                self._refuse(f"has row {number} after row {self.row}")
            self.row = number
        elif self.depth == 2 and name == f"{_NAMESPACE} si":
            self.held = 0
            self.texts += 1
        elif self.depth == 3 and name == f"{_NAMESPACE} sheet":
            self.sheets += 1
        elif self.depth == 1 and name.startswith(_STRICT):
            raise UserError(
                f"{self.path}: is a workbook of the kind Strict Open XML. Save it as the usual "
                ".xlsx, or as CSV in UTF-8"
            )
        if self.texts > _MOST_TEXTS or self.sheets > _MOST_SHEETS:
            self._refuse("holds far more texts or sheets than any workbook")

    def _end(self, _name: str) -> None:
        self.depth -= 1

    def _refuse_doctype(self, *_declared: Any) -> None:
        self._refuse("declares entities")

    def _refuse(self, what: str) -> None:
        raise UserError(f"{self.path}: {what}, as Excel never writes it. {_INSTEAD} again")
