"""What tells whether an image is in two places: a small table beside the examples.

DataGate reads it instead of every example with its image.
"""

import hashlib
import json
import os
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.pixels import near

_FOLDER, _SUFFIX = "fingerprints", ".parquet"
_GROUPS = "groups.json"


class Row(NamedTuple):
    """One example.

    Attributes:
        split: Where it is.
        name: Its file's name.
        patient: Its patient's id, empty where unknown.
        sha256: Digest of its pixels, or of its file; see `read_digest`.
        phash: Perceptual hash of its pixels, hexadecimal, empty where unknown.
    """

    split: str
    name: str
    patient: str = ""
    sha256: str = ""
    phash: str = ""


_SCHEMA = pa.schema([(column, pa.string()) for column in Row._fields])
_FEATURES = (contract.FILENAME, contract.PATIENT, contract.PHASH)


def read_text(record: tf.train.Example, name: str, encoding: str, errors: str = "strict") -> str:
    """A record's first value of a feature; empty where there is none."""
    features = record.features.feature
    # To ask for what is not there would put it there.
    values = features[name].bytes_list.value if name in features else ()
    return str(values[0], encoding, errors) if values else ""


def read_digest(record: tf.train.Example) -> str:
    """The digest of a record's pixels; where it has none, of its file, so that copies are known."""
    digest = read_text(record, contract.SHA256, "latin-1")
    if digest or contract.IMAGE not in record.features.feature:
        return digest
    encoded = record.features.feature[contract.IMAGE].bytes_list.value
    return hashlib.sha256(encoded[0]).hexdigest() if encoded else ""


class Write(beam.PTransform):  # type: ignore[misc]
    """Writes a split's rows; takes its records."""

    def __init__(self, folder: str, split: str):
        """Takes where.

        Args:
            folder: Of the examples.
            split: The name.
        """
        super().__init__()
        self._path, self._split = os.path.join(folder, _FOLDER, split), split

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        write = beam.io.WriteToParquet(self._path, _SCHEMA, file_name_suffix=_SUFFIX)
        return records | "Row" >> beam.Map(_columns, self._split) | write


def _columns(record: tf.train.Example, split: str) -> dict[str, str]:
    return make_row(record, split)._asdict()


def make_row(record: tf.train.Example, split: str) -> Row:
    """Reads what tells whether an image is in two places.

    Args:
        record: By the data contract.
        split: Where it is.
    """
    name, patient, phash = (read_text(record, name, "utf-8", "replace") for name in _FEATURES)
    return Row(split, name, patient, read_digest(record), phash)


def write_groups(groups: near.Groups, folder: str) -> None:
    """Writes how patients were drawn.

    Args:
        groups: Those that were made.
        folder: Of the examples.
    """
    path = os.path.join(folder, _FOLDER, _GROUPS)
    artifacts.write_text(path, json.dumps(groups.drawn._asdict()))


class Read(beam.PTransform):  # type: ignore[misc]
    """Reads the rows of all splits."""

    def __init__(self, folder: str):
        """Takes where.

        Args:
            folder: Of the examples.
        """
        super().__init__()
        self._pattern = os.path.join(folder, _FOLDER, f"*{_SUFFIX}")

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """See `beam.PTransform`."""
        return pipeline | beam.io.ReadFromParquet(self._pattern) | beam.Map(_from_columns)


def _from_columns(columns: dict[str, str]) -> Row:
    return Row(**columns)


def read_groups(folder: str) -> near.Drawn | None:
    """Reads how patients were drawn.

    Args:
        folder: Of the examples.

    Returns:
        None where the splits were given.
    """
    path = os.path.join(folder, _FOLDER, _GROUPS)
    if not fileio.exists(path):
        return None
    return near.Drawn(**json.loads(io_utils.read_string_file(path)))
