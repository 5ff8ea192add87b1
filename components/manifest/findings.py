"""Reads what is said of the findings of an image: a column each, or one text that names some."""

import re
from collections.abc import Mapping, Sequence

from tfxray.components.common.contract import UNKNOWN

SEPARATOR = "|"
# What a cell of a finding's own column may hold; CheXpert and MIMIC-CXR write 1.0, 0.0 and -1.0.
_PRESENT = ("1", "1.0", "true", "yes", "positive", "present")
_ABSENT = ("0", "0.0", "false", "no", "negative", "absent")
_UNCERTAIN = ("-1", "-1.0", "uncertain", "u")
_VALUES = {
    **dict.fromkeys(_PRESENT, 1),
    **dict.fromkeys(_ABSENT, 0),
    **dict.fromkeys(_UNCERTAIN, UNKNOWN),
}
ALLOWED = "1, 0 and -1 (uncertain), or yes, no and uncertain, or nothing"
# A text that says so has none of them.
NONE = ""
_NOTHING = ("nofinding", "nofindings", "normal", "none", "noneofthese")


def read_cell(text: str) -> int | None:
    """What a cell of a finding's own column says: 1, 0 or -1; None where it is none of these."""
    return _VALUES.get(text.strip().casefold())


def read_text(
    text: str, names: Sequence[str], meaning: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    """What a text that names an image's findings says.

    Args:
        text: Such as `Effusion|Edema`, or `No Finding`.
        names: Of the findings.
        meaning: The finding that a word means, empty for none of them: the config's
            `ingest.labels`.

    Returns:
        1 for each that is named, 0 for all others; and the words that mean nothing, or that
        contradict the rest, as `No Finding` does beside a finding. No word at all tells nothing.
    """
    by_word = {word_key(name): name for name in names} | {
        word_key(w): m for w, m in meaning.items()
    }
    values, unknown, none = dict.fromkeys(names, 0), [], []
    for word in filter(None, (part.strip() for part in text.split(SEPARATOR))):
        name = by_word.get(word_key(word))
        if name in values:
            values[name] = 1
        elif name is None and word_key(word) in _NOTHING:
            none.append(word)
        elif name != NONE:
            unknown.append(word)
    if none and (unknown or any(values.values())):
        unknown += none
    return values, unknown


def describe(values: Mapping[str, int]) -> str:
    """Findings in a line: what is present, and what is uncertain."""
    present = [name for name, value in values.items() if value == 1]
    uncertain = [f"{name}?" for name, value in values.items() if value == UNKNOWN]
    return SEPARATOR.join([*present, *uncertain]) or "none"


def word_key(word: str) -> str:
    """What two ways of writing a finding share: `Pleural Thickening` and `Pleural_Thickening`."""
    return re.sub(r"[\W_]+", "", word.casefold())
