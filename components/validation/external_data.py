"""External test sets before anything is trained: what of them is in the data of the run, too.

A model does well on what it has learnt from. So a patient or an image of both is leakage, as it is
between two splits.
"""

import os
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf

from tfxray.components.common import contract, filesystem
from tfxray.components.example_gen import fingerprints

KIND = "external {}"  # of a kind of leaks: that of an external set
# All splits of the run count as one, and all external sets: those are compared.
_DATA, _EXTERNAL = PLACES = ("data", "external")
MESSAGES = {
    "patients": "leakage: {} patients of external test sets are in the data of the run, too, such "
    "as {}. Take them out of one of them. If the set counts its patients by itself, so that equal "
    "ids are other people, set evaluate.external.NAME.patients to own",
    "identical": "leakage: {} images of external test sets are in the data of the run, too, pixel "
    "for pixel, such as {}. Take them out of one of them (ingest.exclude)",
    "near_identical": "{} pairs of nearly identical images are in an external test set and in the "
    "data of the run, such as {}. Take one of each out (ingest.exclude); or lower "
    "validation.near_distance, if they are not the same X-rays",
}


class ReadRecords(beam.PTransform):  # type: ignore[misc]
    """Reads the records of an external set, serialized; takes a pipeline."""

    def __init__(self, external: Mapping[str, Any]):
        """Takes where.

        Args:
            external: `base` and `globs`, as of `records.Records`.
        """
        super().__init__()
        base = filesystem.glob_for(external["base"])
        self._patterns = [os.path.join(base, glob) for glob in external["globs"]]

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """See `beam.PTransform`."""
        # Not ReadAllFromTFRecord, which finds nothing in a folder with brackets in its name.
        parts = [
            pipeline | f"Read[{number}]" >> beam.io.ReadFromTFRecord(pattern)
            for number, pattern in enumerate(self._patterns)
        ]
        return parts | "All" >> beam.Flatten()


class ReadRows(beam.PTransform):  # type: ignore[misc]
    """Reads a row of each image, of the run's data and of external sets; for `leakage.FindLeaks`.

    An image without a patient counts as a patient of its own, by its name. Another hospital may
    have an image of that name: such patients are not compared.
    """

    def __init__(self, examples: str, external: Mapping[str, Mapping[str, Any]]):
        """Takes where.

        Args:
            examples: The folder of the run's examples.
            external: By name: `base` and `globs` (see `ReadRecords`), and `patients`.
        """
        super().__init__()
        self._examples, self._external = examples, external

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """See `beam.PTransform`."""
        own = pipeline | fingerprints.Read(self._examples) | "Own" >> beam.Map(_own_row)
        others = [
            pipeline
            | f"Records[{name}]" >> ReadRecords(external)
            | f"Row[{name}]" >> beam.Map(_external_row, name, external["patients"] == "own")
            for name, external in self._external.items()
        ]
        return (own, *others) | "All" >> beam.Flatten()


def _own_row(row: fingerprints.Row) -> fingerprints.Row:
    return _known(row)._replace(split=_DATA, name=f"{row.split}/{row.name}")


def _external_row(record: bytes, name: str, own_patients: bool) -> fingerprints.Row:
    row = _known(fingerprints.make_row(tf.train.Example.FromString(record), _EXTERNAL))
    patient = "" if own_patients else row.patient
    return row._replace(name=f"{name}/{row.name}", patient=patient)


def _known(row: fingerprints.Row) -> fingerprints.Row:
    """A row without its patient if that stands for the image alone."""
    return row._replace(patient="") if row.patient == contract.own_patient(row.name) else row
