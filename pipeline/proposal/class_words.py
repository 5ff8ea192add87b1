"""The words that people write for classes: which of them is the negative one, and which are one."""

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tfxray.components.layouts import registry
from tfxray.components.manifest import findings
from tfxray.components.metadata.words import normal_form, says_nothing, word_list

# What people call images without a finding, besides the words that the manifest's reader knows.
_NEGATIVE = word_list("""
    healthy, normal, normals, negative, negatives, control, controls, benign, neg, absent
    clear, gesund, unauffallig, normale, normaux, sano, sana, sain, saine, saudavel
""")
_POSITIVE = word_list("""
    abnormal, abnormals, unhealthy, positive, positives, pos, present, sick, ill
    diseased, disease, pathological, pathology, malignant, krank, befund, auffallig
    anormal, anormale, enfermo, malade
""")
_NOT = word_list("no, non, not, without, ohne, kein, keine, sin, sans, sem")
_CELLS = {
    **dict.fromkeys(
        ("0", "false", "no", "nein", "non", "n", "falsch", "falso", "faux"), "negative"
    ),
    **dict.fromkeys(("1", "true", "yes", "ja", "oui", "y", "j", "wahr", "si", "vrai"), "positive"),
}
# What the folders and columns of people hold besides the public data sets' classes and findings.
_OTHERS = ("covid", "covid19", "tb", "bacterial", "bacteria", "viral", "virus", "cancer", "tumor")


class Classes(NamedTuple):
    """Classes, and what words mean them.

    Attributes:
        names: The negative one first.
        labels: For `ingest.labels`: other ways of writing one, and words for nobody knows.
        told: What a user must know, and check, a line each.
    """

    names: list[str]
    labels: dict[str, str | None]
    told: list[str]


def read_classes(counts: Mapping[str, int], shown: bool = True) -> Classes:
    """The classes that words mean.

    Args:
        counts: How many images have each word.
        shown: Whether the words may be told.
    """
    told: list[str] = []
    labels: dict[str, str | None] = {}
    spellings: dict[str, list[str]] = defaultdict(list)
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        spellings[_form(word)].append(word)
    unknown = [own for form, own in spellings.items() if says_unknown(form)]
    if len(spellings) - len(unknown) < 2:  # `+` and `-` are two classes
        unknown = []
    for words in unknown:
        del spellings[_form(words[0])]
        labels |= dict.fromkeys(words)
        number = sum(counts[word] for word in words)
        own = f" ({', '.join(words)})" if shown else ""
        told.append(f"{number} images have a word for an unknown label{own}: they are left out")
    for name, *others in spellings.values():
        labels |= dict.fromkeys(others, name)
        if others and shown:
            told.append(f"{', '.join([name, *others])}: taken for one class (ingest.labels). CHECK")
    names = order_classes(own[0] for own in spellings.values())
    if shown and names and not is_negative(names[0]):
        told.append(
            f"none of the classes is known as the negative one; {names[0]} was put first. CHECK: "
            "the first one must be the class without a finding"
        )
    return Classes(names, labels, told)


def read_cells(words: Iterable[str]) -> dict[str, str | None]:
    """What the words of a column mean that says yes and no; empty where they say something else.

    Args:
        words: Such as `0` and `1`, or `TRUE` and `FALSE`.
    """
    meanings = {word: _CELLS.get(normal_form(word).removesuffix(".0")) for word in words}
    known = set(meanings.values())
    return dict(meanings) if known == {"negative", "positive"} else {}


def order_classes(names: Iterable[str]) -> list[str]:
    """Names of classes, those first that say that there is no finding.

    Those come last that say that there is one, whichever it be.
    """
    return sorted(names, key=lambda name: (not is_negative(name), _is_positive(name), name))


def is_negative(name: str) -> bool:
    """Whether a class's name says that there is no finding."""
    words = _words(name)
    if findings.says_none(name) or name.strip() == "0" or re.search(r"-\)?$", name.strip()):
        return True
    if len(words) > 1 and words[0] in _NOT and not words[1].isdigit():
        return not any(word in _NEGATIVE for word in words[1:])
    return any(word in _NEGATIVE for word in words)


def is_known(name: str) -> bool:
    """Whether a name is one that classes and findings of chest X-rays have."""
    if is_negative(name) or _is_positive(name):
        return True
    known = _known_words()
    return findings.word_key(name) in known or any(word in known for word in _words(name))


def _is_positive(name: str) -> bool:
    words = _words(name)
    denied = bool(words) and words[0] in _NOT and any(word in _NEGATIVE for word in words[1:])
    sign = bool(re.search(r"\+\)?$", name.strip()))
    return denied or sign or (not is_negative(name) and any(word in _POSITIVE for word in words))


@functools.cache
def _known_words() -> frozenset[str]:
    names = {name for own in registry.DATASETS for name in (*own.classes, *own.findings)}
    return frozenset(findings.word_key(name) for name in (*names, *_OTHERS))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", normal_form(name)) if word]


def _form(word: str) -> str:
    """What the ways of writing one class share; signs such as + may tell two apart."""
    return re.sub(r"[\s_]+", " ", normal_form(word)).strip() or word


def says_unknown(word: str) -> bool:
    """Whether a word stands for an unknown label."""
    return says_nothing(normal_form(word)) and not findings.says_none(word)


def find_separator(words: Iterable[str]) -> str:
    """The sign between the findings that a column's texts name; empty where each text is one class.

    Args:
        words: The texts. A comma or semicolon counts where a part of one stands alone elsewhere.
    """
    texts = set(words)
    if any(findings.SEPARATOR in text for text in texts):
        return findings.SEPARATOR
    alone = {text.strip().casefold() for text in texts if not findings.says_none(text)}
    for sign in (",", ";"):
        parts = {p.strip().casefold() for text in texts if sign in text for p in text.split(sign)}
        if parts & alone:
            return sign
    return ""


def count_forms(words: Iterable[str]) -> Counter[str]:
    """How often each class is named, whichever way it is written."""
    return Counter(map(_form, words))
