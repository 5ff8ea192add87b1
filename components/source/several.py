"""Joins what several rows, or several readers, say of one image."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tfxray.components.common.contract import UNKNOWN

# How they are joined: not at all, by anybody's word, or by more than half of the readers.
REFUSE, ANY, MAJORITY = "refuse", "any", "majority"
RULES = (REFUSE, ANY, MAJORITY)

Values = Mapping[str, int]


def join_findings(said: Sequence[tuple[str, Values | None]], rule: str) -> dict[str, int] | None:
    """What rows that tell findings say together.

    Several rows of one reader always add up, as boxes in an image do. A row without a reader
    counts as one of its own.

    Args:
        said: Each row's reader, and 1, 0 or -1 of those findings of which it says something.
        rule: `any` or `majority`.

    Returns:
        By `any`, 1 where a row has 1, else -1 where one has -1. By `majority`, 1 or 0 where more
        than half of the readers who say something say so, else -1. None where nobody says
        anything.
    """
    readers: dict[str, list[Values]] = {}
    for number, (reader, values) in enumerate(said):
        if values is not None:
            readers.setdefault(reader or f"\0{number}", []).append(values)
    if not readers:
        return None
    union = [_union(rows) for rows in readers.values()]
    if rule == ANY:
        return _union(union)
    names = dict.fromkeys(name for values in union for name in values)
    return {name: _majority([v[name] for v in union if name in v]) for name in names}


def _union(rows: Sequence[Values]) -> dict[str, int]:
    joined: dict[str, int] = {}
    for values in rows:
        for name, value in values.items():
            known = joined.setdefault(name, value)
            if value != known:
                joined[name] = 1 if 1 in (value, known) else UNKNOWN
    return joined


def _majority(values: Sequence[int]) -> int:
    counts = Counter(values)
    return next((v for v in (1, 0) if counts[v] > len(values) / 2), UNKNOWN)


def join_labels(
    said: Sequence[tuple[str, str | None]], classes: Sequence[str], rule: str
) -> str | None:
    """What rows that tell a class say together.

    Args:
        said: Each row's reader, and its class, or None.
        classes: All of them, the negative one first.
        rule: See `join_findings`. `any` takes the class that comes last among the classes.

    Returns:
        None where nobody says anything, or no class has the majority.
    """
    readers: dict[str, list[str]] = {}
    for number, (reader, label) in enumerate(said):
        if label:
            readers.setdefault(reader or f"\0{number}", []).append(label)
    order = {name: place for place, name in enumerate(classes)}
    votes = [max(labels, key=lambda name: order.get(name, -1)) for labels in readers.values()]
    if not votes:
        return None
    if rule == ANY:
        return max(votes, key=lambda name: order.get(name, -1))
    label, count = Counter(votes).most_common(1)[0]
    return label if count > len(votes) / 2 else None
