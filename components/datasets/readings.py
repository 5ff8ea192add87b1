"""Reads the clinical readings beside the X-rays of Shenzhen and Montgomery, a small text for each.

`ClinicalReadings/CHNCXR_0001_0.txt` has sex and age in its first line: `male 45yrs`, `femal 32yrs`,
`male , 29yrs`, `female24yrs`, `male 16month`. `ClinicalReadings/MCUCXR_0001_0.txt` has
`Patient's Sex: F`, `Patient's Age: 027Y`, and where there is no report of its own, whose patient's
other X-ray has it: `NO REPORT (same pt as MCUCXR_0162_1)`.
"""

import codecs
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError

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
