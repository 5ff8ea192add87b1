"""Reads small files that lie beside images: clinical readings, and workbooks of their sources.

A reading is a text for each X-ray of Shenzhen and Montgomery. `ClinicalReadings/CHNCXR_0001_0.txt`
has sex and age in its first line: `male 45yrs`, `femal 32yrs`, `male , 29yrs`, `female24yrs`, `male
16month`. `ClinicalReadings/MCUCXR_0001_0.txt` has `Patient's Sex: F`, `Patient's Age: 027Y`, and
where there is no report of its own, whose patient's other X-ray has it: `NO REPORT (same pt as
MCUCXR_0162_1)`.

A workbook is one of the sets of Qatar University on Kaggle: `Normal.metadata.xlsx` beside
`Normal/`, with the columns FILE NAME (`NORMAL-1` for `Normal-1.png`), FORMAT, SIZE and URL.
"""

import codecs
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings

_COLUMNS = ("FILE NAME", "URL")
_FOLDER = "ClinicalReadings"
_MOST_BYTES = 2**16  # a reading has some hundred
_MOST_LETTERS = 64  # of an age or a sex; a longer one is none
_FIRST_LINE = re.compile(r"(?P<sex>[^\W\d_]+)[\s,;:.]*(?P<age>.*)")
_SEX = re.compile(r"(?im)^\W*patient.?s\s+sex[ \t]*:[ \t]*(?P<text>.*)$")
_AGE = re.compile(r"(?im)^\W*patient.?s\s+age[ \t]*:[ \t]*(?P<text>.*)$")
_SAME_PATIENT = re.compile(r"(?i)same\s+(?:pt|patient)\.?\s+as\s+(?P<name>MCUCXR_\d+)")


def read_shenzhen(folder: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """Age and sex by the images' paths; see `labelling.label_images`.

    Args:
        folder: The data set's own.
        paths: Of its images.

    Raises:
        UserError: A reading cannot be opened.
    """
    found = {}
    for path, text in _read(folder, paths):
        line = next((line.strip() for line in text.splitlines() if line.strip()), "")
        match = _FIRST_LINE.fullmatch(line[:_MOST_LETTERS])
        # What is no sex and age is handed on as both: then it is counted as not understood.
        told = match.groupdict() if match else {"sex": line, "age": line}
        found[path] = _known(told)
    return found


def read_montgomery(folder: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """Patient, age and sex by the images' paths; see `labelling.label_images`.

    Args:
        folder: The data set's own.
        paths: Of its images.

    Raises:
        UserError: A reading cannot be opened.
    """
    found, same = {}, dict[str, str]()
    for path, text in _read(folder, paths):
        sex, age = _SEX.search(text), _AGE.search(text)
        found[path] = _known({"sex": sex["text"] if sex else "", "age": age["text"] if age else ""})
        if other := _SAME_PATIENT.search(text):
            same[_number(path)] = other["name"].upper()
    return {
        path: {**told, "patient": _first_of(_number(path), same)} for path, told in found.items()
    }


def _number(path: str) -> str:
    """What a file's name says besides the label: `MCUCXR_0001`."""
    return os.path.basename(path).upper().rpartition("_")[0]


def _first_of(number: str, same: Mapping[str, str]) -> str:
    """The X-ray after which a patient is called, whose other X-rays name each other."""
    seen = [number]
    while (number := same.get(number, number)) not in seen:
        seen.append(number)
    return min(seen[seen.index(number) :])  # they may go round in a circle


def _known(told: Mapping[str, str]) -> dict[str, str]:
    texts = {kind: text.strip(" \t\r,;:.")[:_MOST_LETTERS] for kind, text in told.items()}
    return {kind: text for kind, text in texts.items() if text}


def _read(folder: str, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The readings of those images that have one."""
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        reading = os.path.join(folder, _FOLDER, f"{stem}.txt")
        if not filesystem.is_file(reading):
            continue
        try:
            with filesystem.open_file(reading) as file:
                content = file.read(_MOST_BYTES)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UserError(f"{reading}: cannot be read: {reason}") from None
        yield path, _decode(content)


def _decode(content: bytes) -> str:
    """A text in UTF-8 or UTF-16, or in what Windows writes in Western Europe."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_sources(folder: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """The source of images, as their site, by their paths; see `labelling.label_images`.

    Args:
        folder: That of the class folders.
        paths: Of the images below it.

    Raises:
        UserError: A workbook cannot be read, lacks a column, or names two sources of one image.
    """
    tops = sorted({path.split("/")[0] for path in paths if "/" in path})
    sources = {top: _read_workbook(os.path.join(folder, f"{top}.metadata.xlsx")) for top in tops}
    found = {}
    for path in paths:
        own = sources.get(path.split("/")[0], {})
        if source := own.get(_key(os.path.splitext(os.path.basename(path))[0])):
            found[path] = {"site": source}
    return found


def _read_workbook(path: str) -> Mapping[str, str]:
    if not filesystem.is_file(path):
        return {}
    remedy = "Mend it, or take it away: it tells the sites of images, and nothing else"

    def has_columns(found: Sequence[str]) -> bool:
        return all(Headings([found]).places(name) for name in _COLUMNS)

    content = table.read_table(path, has_columns)
    if not has_columns(content.columns):
        shown = ", ".join(content.columns) or "nothing"
        raise UserError(f"{path}: needs the columns {' and '.join(_COLUMNS)}; has: {shown}. "
                        f"{remedy}")  # fmt: skip
    headings = Headings([content.columns])
    name_place, source_place = (headings.places(name)[0] for name in _COLUMNS)
    sources: dict[str, str] = {}
    for line, cells in content.rows:
        cells = [*cells, *[""] * len(content.columns)]
        name, source = cells[name_place].strip(), cells[source_place].strip()
        if name and source and sources.setdefault(_key(name), source) != source:
            raise UserError(f"{path}: line {line} names another source of an image that a line "
                            f"above it has, too. {remedy}")  # fmt: skip
    return sources


def _key(name: str) -> str:
    """What two ways of writing a file's name share: `NORMAL-1` and `Normal (1)`."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")
