"""What a record says of its image: a class, or findings; read as others write it, and as we do."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.guard.rejects import Rejected
from tfxray.components.manifest import findings

Features = Mapping[str, tf.train.Feature]
Label = str | Mapping[str, int]  # a class; or 1, 0 or -1 of findings
# Where a record says what its class is: one class, by a number or a name.
CLASS = (contract.LABEL, contract.TEXT)
_ALLOWED = (0, 1, UNKNOWN)


def class_of(values: Mapping[str, object], classes: Sequence[str]) -> str:
    """The class of a record, by its number and its text.

    Args:
        values: See `record_check.read_values`.
        classes: In the order of their labels.

    Raises:
        Rejected: Neither is there, or it is none of the classes; or they do not agree.
    """
    text, number = values.get(contract.TEXT), values.get(contract.LABEL)
    if text is None and number is None:
        raise Rejected("no_label")
    by_number = number
    if isinstance(number, str) and number not in classes and number.strip().isdecimal():
        told = f"{contract.LABEL} is the text {shown(number)!r}, where a number is an int64"
        raise Rejected("unknown_label", told)
    if isinstance(number, int):
        by_number = classes[number] if 0 <= number < len(classes) else None
    allowed = f"allowed: 0 to {len(classes) - 1}, for [{', '.join(classes)}]"
    if number is not None and by_number not in classes:
        raise Rejected("unknown_label", f"{contract.LABEL} is {shown(number)}; {allowed}")
    if None not in (text, number) and text != by_number:
        raise Rejected(
            "unknown_label",
            f"{contract.LABEL} and {contract.TEXT} name different classes; {allowed}. If one of "
            "them alone is right, name it in ingest.features: "
            f"{{{contract.TEXT}: {contract.TEXT}}}",
        )
    name = by_number if text is None else text
    if name not in classes:
        raise Rejected("unknown_label", f"{contract.TEXT} is {shown(name)}; {allowed}")
    return str(name)


def shown(label: object) -> str:
    """A label for a message: short, and nothing that a terminal obeys."""
    text = str(label)[:60]
    return text if text.isprintable() else ascii(text)


def findings_of(
    features: Features, mapping: Mapping[str, str], task: Task, words: findings.Words
) -> dict[str, int]:
    """The findings of a record.

    Args:
        features: The record's. Each finding has a feature of its own (`finding/NAME`), a single 1,
            0 or -1; or `image/class/label` is a vector of them, in the order of the config; or
            `image/class/text` names those that are present, with `|` between them.
        mapping: The name there of each feature of the contract that has another. If it names one of
            the three, that one counts alone.
        task: The findings.
        words: See `findings.read_text`.

    Returns:
        1, 0 or -1 of those of which something is known.

    Raises:
        Rejected: Nothing is known of any; or a value is none of these.
    """
    own = {name: contract.finding(name) for name in task.names}
    named = {kind for kind in CLASS if kind in mapping}
    named |= {"own"} if any(feature in mapping for feature in own.values()) else set()
    kinds = named or {"own", *CLASS}
    values: dict[str, int] = {}
    if "own" in kinds:
        for name, feature in own.items():
            content = _numbers(features, mapping.get(feature, feature))
            if len(content) > 1:
                raise Rejected("malformed", f"{feature} holds {len(content)} values, not one")
            values |= {name: content[0]} if content else {}
    if not values and contract.LABEL in kinds:
        theirs = mapping.get(contract.LABEL, contract.LABEL)
        if content := _numbers(features, theirs):
            if len(content) != len(own):
                raise Rejected(
                    "malformed",
                    f"{theirs} holds {len(content)} values; a vector of the {len(own)} findings is "
                    "needed, in the order of the config",
                )
            values = dict(zip(own, content, strict=True))
    if not values and contract.TEXT in kinds:
        values = _of_text(features, mapping.get(contract.TEXT, contract.TEXT), task, words)
    if not values:
        raise Rejected("no_label")
    return values


def _of_text(features: Features, theirs: str, task: Task, words: findings.Words) -> dict[str, int]:
    content = features[theirs].bytes_list.value if theirs in features else ()
    if not content:
        return {}
    try:
        text = findings.SEPARATOR.join(part.decode() for part in content)
    except UnicodeDecodeError:
        raise Rejected("malformed", f"{theirs} is not UTF-8") from None
    try:
        values, unknown = findings.read_text(text, task.names, words)
    except findings.Dropped:
        raise Rejected(
            "unknown_label", f"{theirs} has a word that ingest.labels leaves out"
        ) from None
    except ValueError as error:
        raise Rejected("malformed", f"{theirs} {error}") from None
    if unknown:
        raise Rejected("unknown_label", f"{theirs} has {shown(', '.join(unknown))}")
    return values


def _numbers(features: Features, name: str) -> list[int]:
    """A feature's values, whole numbers though they be floats."""
    feature = features.get(name) if name in features else None
    kind = feature.WhichOneof("kind") if feature is not None else None
    if feature is None or kind is None:
        return []
    if kind == "bytes_list":
        raise Rejected("malformed", f"{name} is bytes, not int64")
    content = list(getattr(feature, kind).value)
    if wrong := [value for value in content if value not in _ALLOWED]:
        raise Rejected("malformed", f"{name} is {wrong[0]:g}; allowed: {findings.ALLOWED}")
    return [int(value) for value in content]
