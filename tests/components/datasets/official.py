"""Lays out a public data set as it comes, and reads it as the commands do."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.components.source.test_labelling import touch
from tests.conftest import ROOT
from tfxray.components.common.errors import UserError
from tfxray.components.layouts import public
from tfxray.components.metadata.known import read_known
from tfxray.components.source.labelling import LabelledImages
from tfxray.pipeline import data_folder


class Read(NamedTuple):
    """What was read, and what was said on the way."""

    images: LabelledImages
    said: list[str]
    dataset: str

    @property
    def notes(self) -> str:
        return "\n".join(self.images.listing.notes)

    @property
    def left_out(self) -> dict[str, int]:
        return self.images.listing.count_left_out()

    @property
    def rows(self) -> dict[str, tuple]:
        """By path: split, patient, age, sex, view, and findings that are not absent or unknown."""
        told = {}
        for row in self.images.rows:
            known = read_known(row.metadata)
            told[row.path] = (
                row.split, known.patient, known.age, known.sex, known.view, row.findings,
            )  # fmt: skip
        return told

    @property
    def sites(self) -> set[str]:
        return {row.metadata["site"] for row in self.images.rows}


def lay_out(folder: Path, name: str, *images: str) -> Path:
    """Copies a sample's tables into a folder, and makes its images, which nobody opens."""
    shutil.copytree(ROOT / "tests" / "data" / name, folder, dirs_exist_ok=True)
    touch(folder, *images)
    return folder


def read(folder: Path, config=None, name=None) -> Read:
    said: list[str] = []
    found = data_folder.find_folder(str(folder), config, said.append, name)
    assert found.dataset is not None, said
    rules = data_folder.label_rules(config, found, said.append)
    return Read(public.label_images(found.path, rules), said, found.dataset.name)


def refusal(folder: Path, name: str, config=None) -> str:
    """The one message that is told where a data set that is named cannot be read."""
    with pytest.raises(UserError) as caught:
        read(folder, config, name)
    return str(caught.value)


def values(names, **told) -> dict[str, int]:
    """Findings that are told, by their names with `_` for a blank; `others` holds for the rest."""
    others = told.pop("others", None)
    plain = {name: others for name in names if others is not None}
    return plain | {name.replace("_", " "): value for name, value in told.items()}


def narrowed(row: tuple, names) -> tuple:
    """What `Read.rows` has of a row, if these findings alone are asked for."""
    *rest, told = row
    return (*rest, {n: v for n, v in told.items() if n in names} or None if told else None)
