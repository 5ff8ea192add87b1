"""Reads a table of JSON: an object for each row."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.components.manifest import limits

_BLANK = re.compile(r"[ \t\r\n]*")


class _Repeated(ValueError):
    """An object has a key twice."""


def read_objects(path: str, text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Reads a table of JSON: objects one after the other, one a line, or in one array.

    Numbers stay as they are written, `true` and `false` too, and `null` is empty.

    Args:
        path: Its file's, for errors.
        text: What the file holds.

    Returns:
        The keys of all objects in the order in which they appear, and the rows: the line where each
        begins, and its cells.

    Raises:
        UserError: It is no such table. Names the line.
    """
    columns: dict[str, None] = {}
    rows = 0
    # All keys must be known before the first row is. To read twice is cheaper than to keep all.
    for line, values in _objects(path, text):
        columns.update(dict.fromkeys(values))
        rows += 1
        if len(columns) > limits.MOST_COLUMNS:
            raise UserError(
                f"{path}: line {line}: more than {limits.MOST_COLUMNS} keys so far. Give all "
                "objects the same keys"
            )
    if rows * len(columns) > limits.MOST_CELLS:
        raise UserError(
            f"{path}: {rows} objects by {len(columns)} keys are more than {limits.MOST_CELLS} "
            "cells. Leave out keys that no manifest needs"
        )
    return list(columns), _rows(path, text, list(columns))


def _rows(path: str, text: str, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    for line, values in _objects(path, text):
        if any(value.strip() for value in values.values()):
            yield line, [values.get(column, "") for column in columns]


def _objects(path: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each object, and the line where it begins."""
    decoder = json.JSONDecoder(
        parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once
    )
    place = _after_blanks(text, 0)
    in_array = text.startswith("[", place)
    place = _after_blanks(text, place + in_array)
    line, counted = 1, 0
    while place < len(text) and not (in_array and text[place] == "]"):
        line, counted = line + _count_lines(text, counted, place), place
        if text[place] != "{":
            raise UserError(f"{path}: line {line}: begins no object. {_what(in_array)}")
        try:
            values, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            where = 1 + _count_lines(text, 0, error.pos)
            raise UserError(f"{path}: line {where}: is no JSON: {error.msg}") from None
        except _Repeated:
            raise UserError(
                f"{path}: line {line}: an object has one key twice. Keep one of them"
            ) from None
        except RecursionError:
            raise UserError(_nested(path, line)) from None
        yield (
            line,
            {
                key: value if isinstance(value, str) else _cell(path, line, value)
                for key, value in values.items()
            },
        )
        place = _after_blanks(text, place)
        if in_array and text.startswith(",", place):
            place = _after_blanks(text, place + 1)
        elif in_array and not text.startswith("]", place):
            where = 1 + _count_lines(text, 0, place)
            raise UserError(
                f"{path}: line {where}: neither a comma nor the array's end follows an object. "
                f"{_what(in_array)}"
            )
    if in_array and (place >= len(text) or text[_after_blanks(text, place + 1) :]):
        where = 1 + _count_lines(text, 0, place)
        raise UserError(f"{path}: line {where}: the array does not end the file. {_what(in_array)}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Repeated
    return values


def _what(in_array: bool) -> str:
    held = "One array of objects" if in_array else "Objects, one a line, or an array of them"
    return f"{held} and nothing else make a table"


def _nested(path: str, line: int) -> str:
    return (
        f"{path}: line {line}: a value holds other values. A table has texts, numbers, true, false "
        "and null"
    )


def _cell(path: str, line: int, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise UserError(_nested(path, line))


def _after_blanks(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _count_lines(text: str, start: int, end: int) -> int:
    """Ends of lines in a part of a text. On old Macs, it was a carriage return alone."""
    pairs = text.count("\r\n", start, end)
    return text.count("\n", start, end) + text.count("\r", start, end) - pairs
