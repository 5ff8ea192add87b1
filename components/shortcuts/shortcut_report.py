"""The check of DataGate, and the files that keep what it and Evaluator found."""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.shortcuts import association, traits, values
from tfxray.components.shortcuts.association import Association, Rate

FILE = "shortcuts.json"  # of DataGate's verdict, and of Evaluator's evaluation
_NAMED = 3  # in the message; the items are all of them
# A value of fewer images is no example of what a trait tells.
_LEAST, _LEAST_SHARE = 10, 0.02


def find_associations(examples: str, task: contract.Task, threshold: float) -> list[Association]:
    """How well each trait alone tells each class or finding, in all splits together.

    Nothing is chosen by it but whether the run goes on, so that the test split stays unseen.

    Args:
        examples: ExampleGen's folder.
        task: What is asked.
        threshold: The config's `validation.shortcut_auc`.
    """
    frame, labels = traits.read_traits(examples, contract.SPLITS, task)
    words = values.Values(frame).of(frame)
    return association.measure_all(words, labels, frame[contract.PATIENT], threshold)


def describe(found: Association) -> str:
    """One line of one association."""
    text = (
        f"{name_trait(found.trait)} tells {found.finding} with AUC {found.auc.value:.2f} (at most "
        f"{found.limit:.2f})"
    )
    enough = [rate for rate in found.rates if rate.images >= _least(found.rates)]
    if len(enough) < 2:
        return text
    most, fewest = (chosen(enough, key=_share) for chosen in (max, min))
    return (
        f"{text}: {_share(most):.0%} of the {most.images} images with {most.value}, "
        f"{_share(fewest):.0%} of the {fewest.images} with {fewest.value}"
    )


def name_trait(trait: str) -> str:
    """What tells, in a sentence."""
    if trait == association.TOGETHER:
        return "all that is known besides what the X-ray shows"
    return f"{trait} alone"


def _least(rates: Sequence[Rate]) -> float:
    return max(_LEAST, _LEAST_SHARE * sum(rate.images for rate in rates))


def _share(rate: Rate) -> float:
    return rate.positives / rate.images


def tell_all(beyond: Sequence[Association]) -> str:
    """The message of all associations that may be shortcuts, and what to do."""
    # What is single can be looked at, and mended.
    beyond = sorted(beyond, key=lambda one: one.trait == association.TOGETHER)
    more = f"; and {len(beyond) - _NAMED} more" if len(beyond) > _NAMED else ""
    return (
        f"shortcuts: {'; '.join(map(describe, beyond[:_NAMED]))}{more}. A model may learn this in "
        "the place of the disease. Age, sex or brightness may truly go with a disease; site, view, "
        "size and format seldom do. Take in images of the other kind, or leave such images out; "
        "the page tells whether the model is better than that (validation.shortcut_auc)"
    )


def write_found(found: Iterable[Any], folder: str) -> None:
    """Writes what was found.

    Args:
        found: Data classes.
        folder: An artifact's.
    """
    text = json.dumps([dataclasses.asdict(one) for one in found], indent=1)
    artifacts.write_text(os.path.join(folder, FILE), text)


def read_found(folder: str | None) -> list[dict[str, Any]]:
    """Reads it back, as the fields of the data classes; empty where nothing was written."""
    path = os.path.join(folder or "", FILE)
    if not folder or not fileio.exists(path):
        return []
    found: list[dict[str, Any]] = json.loads(io_utils.read_string_file(path))
    return found
