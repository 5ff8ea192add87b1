"""Reads TFRecords that others wrote: their values, and whether they keep the data contract."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfxray.components.common import contract, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.ingest.rejects import Rejected
from tfxray.components.ingest.tfrecords import Layout


def read_values(record: bytes, mapping: Mapping[str, str]) -> dict[str, bytes | int | float | str]:
    """A record's first values under the contract's names; what is missing is left out."""
    features = tf.train.Example.FromString(record).features.feature
    values: dict[str, bytes | int | float | str] = {}
    for name in contract.FEATURES:
        feature = features.get(mapping.get(name, name))
        kind = feature.WhichOneof("kind") if feature is not None else None
        if kind and (content := getattr(feature, kind).value):
            first = content[0]
            is_text = isinstance(first, bytes) and name != contract.IMAGE
            values[name] = first.decode("utf-8", "replace") if is_text else first
    return values


def class_of(values: Mapping[str, object], classes: Sequence[str]) -> str:
    """The class of a record, by its text or its number.

    Raises:
        Rejected: Neither is there, or it is none of the classes.
    """
    text, number = values.get(contract.TEXT), values.get(contract.LABEL)
    if text in classes:
        return str(text)
    if isinstance(number, str) and number in classes:
        return number
    if isinstance(number, int) and 0 <= number < len(classes):
        return classes[number]
    if text is None and number is None:
        raise Rejected("no_label")
    raise Rejected("unknown_label", str(number if text is None else text))


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan of TFRecords by the contract found.

    Attributes:
        examples: Records.
        labels: Records per class.
        group: The feature to split by: `patient/id`, else `image/filename`, else None.
    """

    examples: int
    labels: dict[str, int]
    group: str | None


def check_records(layout: Layout, classes: Sequence[str]) -> Scan:
    """Reads all records once, to find damage before anything is trained.

    Raises:
        UserError: A damaged file, a record without image or label, a label out of range, fewer
            than two classes. Names file and record.
    """
    counts: Counter[int] = Counter()
    groups = {contract.PATIENT, contract.FILENAME}
    for file in layout.files:
        path = os.path.join(layout.base, file)
        with filesystem.local_copy(path) as local:
            for position, record in number_records(local, path):
                where = f"{path}, record {position}"
                try:
                    features = tf.train.Example.FromString(record).features.feature
                except DecodeError:
                    raise UserError(f"{where}: is no tf.train.Example") from None
                _check_record(features, where, classes)
                counts[features[contract.LABEL].int64_list.value[0]] += 1
                groups -= {name for name in groups if not features[name].bytes_list.value}
    labels = {name: counts[i] for i, name in enumerate(classes)}
    if min(labels.values(), default=0) == 0:
        raise UserError(f"{layout.base}: needs records of every class; found {labels}")
    group = next((name for name in (contract.PATIENT, contract.FILENAME) if name in groups), None)
    return Scan(counts.total(), labels, group)


def number_records(file: str, path: str) -> Iterator[tuple[int, bytes]]:
    """The records of a file, numbered.

    Args:
        file: On this machine.
        path: Where it comes from.

    Raises:
        UserError: The file is damaged.
    """
    position = 0
    compression = "GZIP" if path.endswith(".gz") else ""
    try:
        for record in tf.data.TFRecordDataset(file, compression).as_numpy_iterator():
            yield position, record
            position += 1
    except tf.errors.OpError as error:
        raise UserError(
            f"{path}: damaged after record {position}: {error.message.split(';')[0]}. Write it "
            "again, or take it out of the folder"
        ) from None


def _check_record(
    features: Mapping[str, tf.train.Feature], where: str, classes: Sequence[str]
) -> None:
    for name in (contract.IMAGE, contract.LABEL):
        if name not in features:
            names = ", ".join(sorted(features)) or "nothing"
            raise UserError(
                f"{where}: has no {name!r}; it has {names}. If it is there under another name, say "
                f"so in the config: ingest.features: {{{name}: THAT_NAME}}"
            )
    if not features[contract.IMAGE].bytes_list.value:
        raise UserError(f"{where}: {contract.IMAGE!r} is empty")
    labels = features[contract.LABEL].int64_list.value
    if len(labels) != 1 or not 0 <= labels[0] < len(classes):
        raise UserError(
            f"{where}: {contract.LABEL!r} is {list(labels)}; allowed: 0 to {len(classes) - 1}, for "
            f"[{', '.join(classes)}]"
        )
