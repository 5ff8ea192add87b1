r"""Text that strangers wrote, on its way out: to a screen, a shell, a log, a table, Markdown.

Names of files, sites, classes and patients come with the data. None of them may become more than
text where it is shown. The pages in HTML have Jinja's own escaping; these are the other ways out.
"""

import json
import math
import os
import re
import shlex
import unicodedata
from typing import Any

# Control and format characters (escape codes, bidi overrides), lone surrogates, separators of
# lines: what a terminal obeys, cannot encode, or shows as nothing. Spaces of any width may stay.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# A spreadsheet computes a cell that begins so, also behind blanks and quotes; and may drop a tab or
# a line's end before it looks (OWASP, CSV Injection). The wide forms are those of East Asian input.
_COMPUTED = re.compile(r"\W*?[=+\-@＝＋－＠]|[\t\r\n]")
_AS_TEXT = "'"  # what a spreadsheet's user types, too, to have a cell taken as text

# What makes markup of what follows, anywhere in a line. By CommonMark, a backslash before any
# ASCII punctuation takes its meaning. `:` and `www.` begin GitHub's links without brackets.
_MARKUP = re.compile(r"[\\`*_\[\]#~@$]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
# Not all other dialects know a backslash before these.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"})
# GitHub makes a link of a mail address even behind a backslash: a word joiner, unseen, parts it.
_ADDRESS, _JOINER = re.compile(r"(?<=[\w.+-]\\@)(?=\w)"), "&#8288;"
# An address that neither HTML nor Markdown takes for anything else.
_WEB = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9./_~?=%+-]*)?")
# What begins a list or a heading, where a line begins.
_BLOCK = re.compile(r"\d+(?=[.)](\s|$))|(?=[-+=])")


def for_screen(text: str) -> str:
    r"""Text as one line that a terminal, a log or a page shows as it is, and obeys nowhere.

    Args:
        text: Of any origin.

    Returns:
        The same, with what is unseen in Python's notation: a line's end as `\n`, ESC as `\x1b`.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSEEN else char
        for char in text
    )


def for_shell(text: str) -> str:
    r"""Text as one word of a command that a person copies into a shell.

    What is unseen is written as bash, zsh and ksh read it (ANSI-C quoting): a line's end as `\012`.

    Args:
        text: A path, or another word that a system can hand to a command.
    """
    if for_screen(text) == text:
        return shlex.quote(text)
    return f"$'{''.join(map(_in_quotes, text))}'"


def _in_quotes(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if for_screen(char) == char:
        return char
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))


def for_cell(text: str) -> str:
    """Text as a spreadsheet's cell that is not computed; `from_cell` gives it back as it was.

    Args:
        text: Of any origin.

    Returns:
        The same; behind an apostrophe where it would be computed, or begins with an apostrophe.
    """
    escaped = text.startswith(_AS_TEXT) or _COMPUTED.match(text)
    return f"{_AS_TEXT}{text}" if escaped else text


def from_cell(text: str) -> str:
    """The text of a cell that `for_cell` wrote."""
    return text.removeprefix(_AS_TEXT)


def for_markdown(text: str) -> str:
    r"""Text within a line of Markdown, as CommonMark and GitHub then show it.

    Args:
        text: Of any origin.

    Returns:
        The same, with each character that would make markup behind a backslash or as an entity.
    """
    # Markdown shows any blanks as one, and takes four at the beginning for code.
    line = _MARKUP.sub(r"\\\g<0>", " ".join(for_screen(text).split())).translate(_ENTITIES)
    line = _ADDRESS.sub(_JOINER, line)
    if begin := _BLOCK.match(line):
        line = f"{begin[0]}\\{line[begin.end() :]}"
    return line


def link_address(text: str) -> str:
    """A text as the address of a link.

    Args:
        text: Of any origin.

    Returns:
        The same where it is a plain address of the web, by https; else nothing.
    """
    return text if _WEB.fullmatch(text) else ""


def to_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON in ASCII that every program reads.

    Args:
        value: Of dictionaries, lists, texts and numbers; what is none of these becomes text.
        indent: As of `json.dumps`.

    Returns:
        JSON, with null for numbers that are not finite: JSON has none, and Python's `NaN` ends
        other programs.
    """
    return json.dumps(_finite(value), indent=indent, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
