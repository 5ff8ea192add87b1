"""Lays out public data sets as they come, and reads them as the commands do."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openpyxl
import pytest
import tensorflow as tf

from tests import dicoms
from tests.components.source.test_labelling import touch
from tests.conftest import ROOT
from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job
from tfxray.components.layouts import public
from tfxray.components.metadata.known import read_known
from tfxray.components.source.labelling import LabelledImages
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.config import Config

DATA = ROOT / "tests" / "data"
HEADINGS = ["FILE NAME", "FORMAT", "SIZE", "URL"]  # of the workbooks beside images
Rows = dict[str, tuple]


class Reading(NamedTuple):
    """What is read of a folder.

    Attributes:
        images: The labelled images.
        dataset: The name of the data set; empty if the folder is none.
        said: The lines that are said before the images are listed.
    """

    images: LabelledImages
    dataset: str
    said: list[str]

    @property
    def notes(self) -> list[str]:
        """The lines that are noted when the images are listed."""
        return self.images.listing.notes

    @property
    def noted(self) -> str:
        """The notes as one text, in which a part of a line can be looked for."""
        return "\n".join(self.notes)

    @property
    def left_out(self) -> dict[str, int]:
        return self.images.listing.count_left_out()

    @property
    def rows(self) -> Rows:
        """By path: label or findings, split, and metadata as found."""
        return {
            row.path: (row.label if row.findings is None else row.findings, row.split,
                       dict(row.metadata))
            for row in self.images.rows
        }  # fmt: skip

    @property
    def known(self) -> Rows:
        """By path: split, patient, age, sex and view as understood, and findings."""
        understood = [(row, read_known(row.metadata)) for row in self.images.rows]
        return {
            row.path: (row.split, known.patient, known.age, known.sex, known.view, row.findings)
            for row, known in understood
        }

    @property
    def sites(self) -> set[str]:
        return {row.metadata["site"] for row in self.images.rows}


def lay_out(folder: Path, name: str, *images: str) -> Path:
    """Copies a sample of tests/data into a folder, and makes its images, which nobody opens."""
    shutil.copytree(DATA / name, folder, dirs_exist_ok=True)
    touch(folder, *images)
    return folder


def read(
    folder: Path, name: str | None = None, config: Config | Mapping[str, Any] | None = None
) -> Reading:
    """Finds out what a folder is, and labels its images.

    Args:
        folder: The data folder.
        name: The data set that the command line names.
        config: The experiment, or its keys without `name`.
    """
    said: list[str] = []
    if isinstance(config, Mapping):
        config = Config.model_validate({"name": "x", **config})
    found = data_folder.find_folder(str(folder), config, said.append, name)
    rules = data_folder.label_rules(config, found, said.append)
    images = public.label_images(found.path, rules)
    assert len({row.path for row in images.rows}) == len(images.rows)
    return Reading(images, found.dataset.name if found.dataset else "", said)


def refusal(folder: Path, name: str | None = None, config=None) -> str:
    """The one message that is told where a folder cannot be read; see `read`."""
    with pytest.raises(UserError) as caught:
        read(folder, name, config)
    return str(caught.value)


def values(names, **told: int) -> dict[str, int]:
    """Findings that are told, by their names with `_` for a blank; `others` holds for the rest."""
    others = told.pop("others", None)
    plain = {name: others for name in names if others is not None}
    return plain | {name.replace("_", " "): value for name, value in told.items()}


def narrowed(row: tuple, names) -> tuple:
    """What `Reading.known` has of a row, if these findings alone are asked for."""
    *rest, told = row
    return (*rest, {n: v for n, v in told.items() if n in names} or None if told else None)


def undrawn(rows: Rows) -> Rows:
    """Rows in which those that are drawn for eval are still in train."""
    return {
        path: tuple("train" if field == "eval" else field for field in row)
        for path, row in rows.items()
    }


def present(rows: Rows) -> Rows:
    """`Reading.rows` with the names of the findings that are present; see `_present`."""
    return {
        path: (_present(told) if isinstance(told, Mapping) else told, *rest)
        for path, (told, *rest) in rows.items()
    }


def _present(findings: Mapping[str, int]) -> set[str]:
    """The findings that are present; those that are uncertain, with a question mark."""
    return {f"{name}{'?' * (value < 0)}" for name, value in findings.items() if value}


def write_workbook(path: Path, lines) -> None:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)


def write_dicom(folder: Path, tags: Mapping[str, Mapping[str, str]]) -> None:
    """Writes DICOM files, each with noise of its own.

    Args:
        folder: The data set's.
        tags: By each file's path, those that differ from `tests.dicoms.encode`'s.
    """
    for number, (name, own) in enumerate(tags.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (48, 48))
        path.write_bytes(dicoms.encode(noise, bits=8, **own))


def ingest(folder: Path, out: Path) -> tuple[job.Report, list[tuple]]:
    """Writes the records of a folder, as `tfxray ingest` does, without splits.

    Returns:
        The report; and of each record label or present findings, age, sex, view and site.
    """
    found = data_folder.find_folder(str(folder), None, print)
    rules = dataclasses.replace(data_folder.label_rules(None, found), ignore_given=True)
    report = job.ingest(found.path, out, rules)
    records = []
    for path in sorted(out.rglob("*.tfrecord*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            records.append(_told(tf.train.Example.FromString(record).features.feature))
    return report, sorted(records, key=lambda record: repr(record[1:]))


def _told(features) -> tuple:
    def text(key):
        return next((v.decode() for v in features[key].bytes_list.value), "")

    findings = {
        key.partition("/")[2]: features[key].int64_list.value[0]
        for key in list(features)
        if key.startswith("finding/")
    }
    age = next((round(v, 2) for v in features[contract.AGE].float_list.value), None)
    label = _present(findings) if findings else text(contract.TEXT)
    return label, age, *map(text, (contract.SEX, contract.VIEW, contract.SITE))
