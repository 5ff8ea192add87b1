"""Reads a drawn copy of a public data set as `tfxray ingest` does, but for the pixels."""

import pathlib

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.layouts import public
from tfxray.pipeline import data_folder

DATA = pathlib.Path(__file__).parents[2] / "data"


def read(folder, name=None, config=None):
    """The labelled images, and the lines that are said."""
    said = []
    place = data_folder.find_folder(str(folder), config, said.append, name)
    rules = data_folder.label_rules(config, place, said.append)
    labelled = public.label_images(place.path, rules)
    return labelled, [*said, *labelled.listing.notes]


def rows(labelled):
    """All that is known of each image, by its path."""
    return {
        row.path: (row.label or row.findings, row.split, dict(row.metadata))
        for row in labelled.rows
    }


def refusal(folder, name):
    """What is said to one who names a data set that is not there, or not whole."""
    with pytest.raises(UserError) as caught:
        read(folder, name)
    return str(caught.value)


def present(values):
    """The findings that an image has, and how many others are absent."""
    return [name for name, value in values.items() if value == 1], sum(
        value == 0 for value in values.values()
    )
