"""Reads what is said of the findings of an image: a column each, or one text that names some."""

import ast
import dataclasses
import re
from collections.abc import Mapping, Sequence

from tfxray.components.common.contract import UNKNOWN

SEPARATOR = "|"
# By their names in `ingest.label_separator`; a list is one as Python or JSON write it.
LIST = "list"
SEPARATORS = {"pipe": "|", "comma": ",", "semicolon": ";", "slash": "/", LIST: LIST}
# What a cell of a finding's own column may hold; CheXpert and MIMIC-CXR write 1.0, 0.0 and -1.0.
_PRESENT = ("1", "1.0", "true", "yes", "positive", "present")
_ABSENT = ("0", "0.0", "false", "no", "negative", "absent")
_UNCERTAIN = ("-1", "-1.0", "uncertain", "u")
_CELLS = {
    **dict.fromkeys(_PRESENT, 1),
    **dict.fromkeys(_ABSENT, 0),
    **dict.fromkeys(_UNCERTAIN, UNKNOWN),
}
ALLOWED = "1, 0 and -1 (uncertain), or yes, no and uncertain, or nothing"
# What programs write in the place of a list that is not there; PadChest has `nan`.
_NO_LIST = ("", "nan", "none", "null")
# What `ingest.values` may say that a word means.
DROP = "drop"
MEANINGS: Mapping[str, int | None] = {
    "positive": 1, "negative": 0, "uncertain": UNKNOWN, "unknown": None, DROP: None,
}  # fmt: skip
OTHER = "*"  # any word that is not named
# What `ingest.labels` may say that a word means: none of the findings; or nothing at all.
NONE, SILENT = "", "?"
_NOTHING = ("nofinding", "nofindings", "normal", "none", "noneofthese")


class Dropped(Exception):
    """What is said of an image means that it is left out."""


@dataclasses.dataclass(frozen=True)
class Words:
    """How the words for classes and findings are read; see the config's `ingest`.

    Attributes:
        labels: The class or finding that a word means, or several findings with `|` between them;
            empty for none of the findings, `?` for a word that tells nothing, None for an image
            that is left out. The word `*` stands for any other one.
        separator: Between the words of a text, or `list`.
        parts: Between the parts of a word, of which each counts: `/` for `Pneumonia/Viral`.
        values: What a cell of a finding's own column means, one of `MEANINGS`; `*` stands for any
            other text, and an empty one for an empty cell.
        blank: What an empty cell means, likewise, if `values` do not say so.
    """

    labels: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    separator: str = SEPARATOR
    parts: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    blank: str = "unknown"


def is_cell(text: str, values: Mapping[str, str]) -> bool:
    """Whether a cell of a finding's own column says something that is understood."""
    return _meaning(text, values) is not None or text.strip().casefold() in _CELLS


def read_cell(text: str, words: Words | None = None) -> int | None:
    """What a cell of a finding's own column says.

    Args:
        text: Its text.
        words: What the config says of such texts.

    Returns:
        1, 0 or -1; None where it says nothing, or something else.

    Raises:
        Dropped: The image is left out.
    """
    words = words or Words()
    meaning = _meaning(text, words.values)
    if meaning is None and not text.strip():
        meaning = words.blank
    if meaning is None:
        return _CELLS.get(text.strip().casefold())
    if meaning == DROP:
        raise Dropped
    return MEANINGS[meaning]


def _meaning(text: str, values: Mapping[str, str]) -> str | None:
    if not values:
        return None
    key = text.strip().casefold()
    for word, meaning in values.items():
        if word.casefold() == key:
            return meaning
    return values.get(OTHER) if key and key not in _CELLS else None


def split_text(text: str, separator: str) -> list[str]:
    """The words of a text that names findings.

    Args:
        text: Such as `Effusion|Edema`, or `['edema', ' pleural effusion']`.
        separator: Between them, or `list`.

    Raises:
        ValueError: It is to be a list, and is none.
    """
    if separator != LIST:
        return [word for part in text.split(separator) if (word := part.strip())]
    if text.strip().casefold() in _NO_LIST:
        return []
    try:
        words = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        words = None
    if not isinstance(words, list | tuple | set) or not all(isinstance(w, str) for w in words):
        raise ValueError("is no list of words such as ['edema', 'pleural effusion']")
    return [word for part in words if (word := part.strip())]


def read_text(
    text: str, names: Sequence[str], words: Words | None = None
) -> tuple[dict[str, int], list[str]]:
    """What a text that names an image's findings says.

    Args:
        text: Such as `Effusion|Edema`, or `No Finding`.
        names: Of the findings.
        words: What the config says of such texts.

    Returns:
        1 for each that is named, 0 for all others; and the words that mean nothing, or that
        contradict the rest, as `No Finding` does beside a finding. There is neither where no word
        tells anything.

    Raises:
        Dropped: The image is left out.
        ValueError: See `split_text`.
    """
    words = words or Words()
    by_word: dict[str, str | None] = {word_key(name): name for name in names}
    by_word |= {word_key(w): m for w, m in words.labels.items()}
    values, unknown, none = dict.fromkeys(names, 0), [], []
    silent = True
    for word in split_text(text, words.separator):
        told = _meanings(word, by_word, words.parts)
        if told == [SILENT]:
            continue
        silent = False
        if not told and word_key(word) in _NOTHING:
            none.append(word)
        elif not told and OTHER not in words.labels:
            unknown.append(word)
        other = [words.labels[OTHER]] if OTHER in words.labels and not none else []
        for meaning in told or other:
            if meaning is None:
                raise Dropped
            for name in meaning.split(SEPARATOR):
                if name in values:
                    values[name] = 1
                elif name != NONE:
                    unknown.append(word)
    if none and (unknown or any(values.values())):
        unknown += none
    return {} if silent else values, unknown


def _meanings(word: str, by_word: Mapping[str, str | None], parts: str) -> list[str | None]:
    """What a word means; where its parts count, what each of them means."""
    for candidates in ([word], word.split(parts) if parts else []):
        if told := [by_word[k] for part in candidates if (k := word_key(part)) in by_word]:
            return told
    return []


def says_none(word: str) -> bool:
    """Whether a word says by itself that there is no finding."""
    return word_key(word) in _NOTHING


def named_in(labels: Mapping[str, str | None]) -> set[str]:
    """The classes and findings that the words of a config mean.

    Args:
        labels: See `Words`.
    """
    told = {text for text in labels.values() if text and text != SILENT}
    return {name for text in told for name in text.split(SEPARATOR)}


def describe(values: Mapping[str, int]) -> str:
    """Findings in a line: what is present, and what is uncertain."""
    present = [name for name, value in values.items() if value == 1]
    uncertain = [f"{name}?" for name, value in values.items() if value == UNKNOWN]
    return SEPARATOR.join([*present, *uncertain]) or "none"


def word_key(word: str) -> str:
    """What two ways of writing a finding share: `Pleural Thickening` and `Pleural_Thickening`."""
    return re.sub(r"[\W_]+", "", word.casefold())
