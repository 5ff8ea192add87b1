"""Reads a record that others wrote: what it holds, and whether it keeps the data contract.

All that the nodes rely on is checked here, since most of them end with the first record that lacks
it: the kinds of values and their number, UTF-8, finite numbers, an image that TensorFlow decodes.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfxray.components.common import contract, decoder
from tfxray.components.common.contract import Task
from tfxray.components.guard.rejects import Limits, Rejected
from tfxray.components.ingest import record_labels
from tfxray.components.ingest.record_labels import CLASS, Features, shown
from tfxray.components.manifest.findings import Words
from tfxray.components.metadata import ages
from tfxray.components.metadata.known import known_site
from tfxray.components.metadata.patients import known_patient
from tfxray.components.pixels import loader
from tfxray.components.source import tfrecords

Value = bytes | int | float | str

# What an ingest reads of a record. All else it measures.
READ = (
    contract.IMAGE, contract.LABEL, contract.TEXT, contract.FILENAME, *contract.METADATA.values(),
)  # fmt: skip
_VECTOR = (
    ": a vector (one-hot or multi-hot) or a list of classes. A record has one class: its number, "
    "an int64, or its name, a text. For images with several, the config has `findings`"
)
# Kinds that it takes besides the contract's own: they mean the same.
_TAKEN: dict[str, tuple[type, ...]] = {
    contract.LABEL: (bytes,),
    contract.PATIENT: (int,),
    contract.SITE: (int,),
    contract.AGE: (int, bytes),
}
_KINDS = {"bytes_list": bytes, "int64_list": int, "float_list": float}
KIND_NAMES = {bytes: "bytes", int: "int64", float: "float"}
_PHASH = re.compile("[0-9a-fA-F]{64}")

_LONGEST_TEXT = 4096  # bytes, as of a path on Linux
_LISTED = 8


def parse_record(record: tfrecords.Record) -> tf.train.Example:
    """A record's message.

    Raises:
        Rejected: The record is damaged, or holds none.
    """
    if isinstance(record, Rejected):
        raise record
    try:
        return tf.train.Example.FromString(record)
    except DecodeError:
        raise Rejected("damaged", "is no tf.train.Example") from None


def read_values(
    features: Features, mapping: Mapping[str, str], names: Collection[str] = READ
) -> dict[str, Value]:
    """A record's values under the contract's names.

    Args:
        features: The record's.
        mapping: The name there of each feature of the contract that has another.
        names: Of the contract: those to read.

    Returns:
        The values; what is missing or empty is left out. Texts, but for the image, as str.

    Raises:
        Rejected: A feature with several values, or with one that means nothing in its place.
    """
    values: dict[str, Value] = {}
    named = [name for name in CLASS if name in mapping]
    for name in names:
        if len(named) == 1 and name in CLASS and name not in named:
            continue  # who names one of them says where the class stands
        theirs = mapping.get(name, name)
        kind, content = _content(features, theirs)
        if len(content) > 1:
            vector = _VECTOR if name in CLASS else ""
            raise Rejected("malformed", f"{theirs} holds {len(content)} values, not one{vector}")
        if not content or content[0] == b"":
            continue
        own = contract.FEATURES[name]
        if kind not in (own, *_TAKEN.get(name, ()), *([int] if own is float else [])):
            raise Rejected("malformed", f"{theirs} is {KIND_NAMES[kind]}, not {KIND_NAMES[own]}")
        values[name] = _checked(name, theirs, content[0])
    return values


def _content(features: Features, name: str) -> tuple[type, Sequence[Value]]:
    feature = features.get(name)
    field = feature.WhichOneof("kind") if feature is not None else None
    return (_KINDS[field], getattr(feature, field).value) if field else (bytes, ())


def _checked(name: str, theirs: str, value: Value) -> Value:
    if isinstance(value, bytes) and name != contract.IMAGE:
        if len(value) > _LONGEST_TEXT:
            raise Rejected("malformed", f"{theirs} is a text of {len(value)} bytes")
        try:
            # A file's name is as the file system has it, and need not be UTF-8.
            return value.decode(errors="surrogateescape" if name == contract.FILENAME else "strict")
        except UnicodeDecodeError:
            raise Rejected("malformed", f"{theirs} is not UTF-8") from None
    # An age that is none is left out by who reads ages; NaN is how many tables write it.
    if isinstance(value, float) and not math.isfinite(value) and name != contract.AGE:
        raise Rejected("malformed", f"{theirs} is not finite")
    return value


@dataclasses.dataclass(frozen=True)
class Look:
    """Of a record that keeps the contract: what it shows, its features' kinds, its patient."""

    labels: tuple[str, ...]
    kinds: dict[str, type]
    patient: str


def look_at(record: tfrecords.Record, task: Task, limits: Limits) -> Look:
    """Checks one record, its image too.

    Args:
        record: As it was read.
        task: What is asked of an image.
        limits: What one file may take.

    Raises:
        Rejected: It does not keep the contract to the letter.
    """
    example = parse_record(record)
    features = example.features.feature
    for name in (contract.IMAGE, contract.LABEL) if task.exclusive else (contract.IMAGE,):
        if name not in features:
            raise Rejected("malformed", _missing(name, features))
    kinds = {name: kind for name in features for kind, some in [_content(features, name)] if some}
    read = [name for name in contract.FEATURES if task.exclusive or name not in CLASS]
    values = read_values(features, {}, read)
    for name in read:
        kind = contract.FEATURES[name]
        if name in features and name not in values:
            raise Rejected("malformed", f"{name} is empty")
        if name in values and kinds[name] is not kind:
            names = f"{KIND_NAMES[kinds[name]]}, not {KIND_NAMES[kind]}"
            raise Rejected("malformed", f"{name} is {names}")
    labels = _labels(features, kinds, values, task)
    for name, allowed in contract.WORDS.items():
        if (word := values.get(name, allowed[0])) not in allowed:
            told = f"{name} is {shown(word)!r}; allowed: {', '.join(allowed)}"
            raise Rejected("malformed", told)
    _require_said(values)
    age = float(values.get(contract.AGE, 0.0))
    if not 0 <= age <= ages.OLDEST:
        told = f"is {age:g}; allowed: 0 to {ages.OLDEST:g} years"
        raise Rejected("malformed", f"{contract.AGE} {told}")
    for name in (contract.HEIGHT, contract.WIDTH):
        if int(values.get(name, 1)) < 1:
            raise Rejected("malformed", f"{name} must be 1 or more")
    if not _PHASH.fullmatch(str(values.get(contract.PHASH, "0" * 64))):
        raise Rejected("malformed", f"{contract.PHASH} is not 64 hexadecimal digits")
    _require_plain(example, record)
    encoded = values[contract.IMAGE]
    if loader.decodable_file(encoded, limits) is not encoded:  # type: ignore[arg-type]
        raise Rejected("malformed", f"{contract.IMAGE} is no JPEG or PNG that can be kept as is")
    require_decodable(encoded)  # type: ignore[arg-type]
    return Look(labels, kinds, str(values.get(contract.PATIENT, "")))


def _require_said(values: Mapping[str, Value]) -> None:
    """A word for nothing is no patient and no hospital, to whom all images that have it belong."""
    readers = {contract.PATIENT: known_patient, contract.SITE: known_site}
    for name, read in readers.items():
        if name in values and not read(str(values[name])):
            told = "stands for no " + ("patient" if name == contract.PATIENT else "hospital")
            raise Rejected("malformed", f"{name} {told}: leave it out where it is unknown")


def _labels(
    features: Features, kinds: Mapping[str, type], values: Mapping[str, Value], task: Task
) -> tuple[str, ...]:
    if task.exclusive:
        return (record_labels.class_of(values, task.names),)
    own = {contract.finding(name): contract.finding(name) for name in task.names}
    for name in own:
        if kinds.get(name, int) is not int:
            raise Rejected("malformed", f"{name} is {KIND_NAMES[kinds[name]]}, not int64")
    told = record_labels.findings_of(features, own, task, Words())
    return tuple(name for name, value in told.items() if value == 1)


def _missing(name: str, features: Features) -> str:
    names = sorted(shown(name) for name in features)
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return (
        f"has no {name!r}; it has {listed or 'nothing'}. If it is there under another name, say so "
        f"in the config: ingest.features: {{{name}: THAT_NAME}}"
    )


def _require_plain(example: tf.train.Example, record: tfrecords.Record) -> None:
    """A record that protobuf's libraries would write otherwise, some parsers read otherwise."""
    example.DiscardUnknownFields()
    if example.ByteSize() != len(record):  # type: ignore[arg-type]
        raise Rejected("malformed", "holds more than a tf.train.Example, or the same twice")


def require_decodable(encoded: bytes) -> None:
    """Passes an image that the model's graph can decode.

    Args:
        encoded: JPEG or PNG; the caller has bounded the number of its pixels.

    Raises:
        Rejected: The graph cannot decode it.
    """
    if not decoder.is_decodable(encoded):
        raise Rejected("undecodable", "TensorFlow cannot decode the image")
