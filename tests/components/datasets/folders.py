"""Folders in the layouts of public data sets, and what is read of them."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tests import dicoms
from tests.conftest import ROOT
from tfxray.components.common import contract
from tfxray.components.ingest import job
from tfxray.components.layouts import public
from tfxray.components.source.labelling import LabelledImages
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.config import Config


class Reading(NamedTuple):
    """What is read of a folder, and the lines that were said."""

    images: LabelledImages
    dataset: str
    said: list[str]

    @property
    def rows(self):
        """Each image's label or present findings, its split before eval is drawn, its metadata."""
        return {
            row.path: (
                row.label if row.findings is None else present(row.findings),
                "train" if row.split == "eval" else row.split,
                dict(row.metadata),
            )
            for row in self.images.rows
        }

    @property
    def notes(self):
        return self.images.listing.notes

    @property
    def left_out(self):
        return self.images.listing.count_left_out()


def present(findings):
    """The findings that are present; those that are uncertain, with a question mark."""
    return {f"{name}{'?' * (value < 0)}" for name, value in findings.items() if value}


def place(name: str, folder: Path, images=()) -> Path:
    """Copies a data set's tables, and writes images without pixels."""
    shutil.copytree(ROOT / "tests" / "data" / name, folder)
    write(folder, images)
    return folder


def write(folder: Path, images) -> None:
    for number, image in enumerate(images):
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no pixels %d" % number)


def read(folder: Path, config=None, name=None) -> Reading:
    """Finds out what a folder is, and labels its images."""
    said: list[str] = []
    if config is not None:
        config = Config.model_validate({"name": "test", **config})
    found = data_folder.find_folder(str(folder), config, said.append, name)
    rules = data_folder.label_rules(config, found, said.append)
    labelled = public.label_images(found.path, rules)
    assert max(Counter(row.path for row in labelled.rows).values()) == 1
    return Reading(labelled, found.dataset.name if found.dataset else "", said)


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
            features = tf.train.Example.FromString(record).features.feature
            records.append(_told(features))
    return report, sorted(records, key=lambda record: repr(record[1:]))


def _told(features):
    def text(key):
        return next((v.decode() for v in features[key].bytes_list.value), "")

    findings = {
        key.partition("/")[2]: features[key].int64_list.value[0]
        for key in list(features)
        if key.startswith("finding/")
    }
    age = next((round(v, 2) for v in features[contract.AGE].float_list.value), None)
    label = present(findings) if findings else text(contract.TEXT)
    return label, age, *map(text, (contract.SEX, contract.VIEW, contract.SITE))
