"""The held-out images that the model gets wrong, doubts, or whose label it disagrees with."""

import dataclasses
import itertools
import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfxray.components.common import artifacts, contract
from tfxray.components.evaluator import heldout_scores, pictures
from tfxray.components.predict import likeness
from tfxray.components.review.evidence import Evidence

_LOOKED_AT = 20_000  # records of a split among which a leaking image is looked for

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """One held-out image.

    Attributes:
        file: Its name, as the data contract has it.
        label: Its class.
        predicted: The class that the model gives it at the operating point.
        score: Of the positive class.
        note: What must be told beside the score; see `likeness.Likeness`.
        xray: The image, a data URI; None where it could not be found.
        heat: Where the model looked, laid over it.
    """

    file: str
    label: str
    predicted: str
    score: float
    note: str
    xray: str | None
    heat: str | None

    @property
    def right(self) -> bool:
        """Whether the model agrees with the label."""
        return self.predicted == self.label


@dataclasses.dataclass(frozen=True)
class ErrorList:
    """Images of one kind.

    Attributes:
        title: What they have in common.
        note: What order they are in.
        total: How many there are.
        images: The first of them.
    """

    title: str
    note: str
    total: int
    images: list[ListedImage]


@dataclasses.dataclass(frozen=True)
class Leaking:
    """An image that leaks into another split.

    Attributes:
        split: Where it is.
        file: Its name.
        xray: The image, a data URI; None where it could not be found.
    """

    split: str
    file: str
    xray: str | None


def list_leaking_pairs(evidence: Evidence) -> list[list[Leaking]]:
    """Images that are alike and lie in two splits, as DataGate told them, with their pictures.

    Args:
        evidence: Of the run.
    """
    issues = evidence.summary.get("data_issues") or []
    pairs = [pair for issue in issues for pair in issue.get("pairs") or ()]
    wanted: dict[str, set[str]] = defaultdict(set)
    for split, name in itertools.chain(*pairs):
        wanted[split].add(name)
    folder = evidence.uris.get("ExampleGen.examples")
    found = {
        split: _find_images(os.path.join(folder, f"Split-{split}"), names) if folder else {}
        for split, names in wanted.items()
    }
    return [[Leaking(split, name, found[split].get(name)) for split, name in p] for p in pairs]


def _find_images(folder: str, names: set[str]) -> dict[str, str]:
    """Images of a split by their names, as data URIs: those among the first records."""
    found: dict[str, str] = {}
    files = [os.path.join(folder, name) for name in sorted(artifacts.list_folder(folder))]
    if not files:
        return found
    try:
        for record in artifacts.record_dataset(files).take(_LOOKED_AT).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            # As DataGate told it.
            name = pictures.read_bytes(features, contract.FILENAME).decode("utf-8", "replace")
            if name in names and name not in found:
                encoded = pictures.read_bytes(features, contract.IMAGE)
                image = pictures.shrink(encoded, pictures.LARGE)
                if image:
                    found[name] = pictures.make_uri(image)
            if len(found) == len(names):
                break
    except tf.errors.OpError:  # a page is not lost for a picture
        log.exception("%s: cannot be read", folder)
    return found


def list_errors(evidence: Evidence) -> tuple[list[ErrorList], str]:
    """Lists the images worth a look, with their pictures.

    Args:
        evidence: Of the run.

    Returns:
        The lists; and why there are no heat maps, empty where there are.
    """
    if evidence.heldout_scores is None:
        return [], "The run has no scores of single images."
    xrays, heat, reason = pictures.read_pictures(
        evidence.uris["Evaluator.evaluation"], evidence.task, evidence.finding
    )
    lists = []
    for kind, (total, rows) in pictures.pick_images(
        evidence.heldout_scores, evidence.threshold, pictures.count_listed(evidence.task)
    ).items():
        images = [_image(evidence, row, xrays, heat) for row in rows.to_dict("records")]
        lists.append(ErrorList(*_words(kind, *evidence.classes), total, images))
    return lists, reason


def _words(kind: str, negative: str, positive: str) -> tuple[str, str]:
    """Title and note of a kind."""
    return {
        pictures.MISSED: (f"Missed: {positive} taken for {negative}", "Lowest score first."),
        pictures.ALARMS: (f"False alarms: {negative} taken for {positive}", "Highest score first."),
        pictures.DOUBTFUL: (
            "Most doubtful", "Nearest to the operating point first, right or wrong."
        ),
        pictures.AGAINST: (
            "Labels the model disagrees with most",
            "Score furthest from the label first, and beyond 0.5. Where the model is otherwise "
            "good, look at the label before the model.",
        ),
    }[kind]  # fmt: skip


def _image(
    evidence: Evidence,
    row: Mapping[str, Any],
    xrays: Mapping[str, str],
    heat: Mapping[str, str],
) -> ListedImage:
    digest, score = row[heldout_scores.DIGEST], float(row[contract.SCORE])
    label, predicted = row[contract.LABEL] == 1, score >= evidence.threshold
    return ListedImage(
        file=str(row[contract.FILENAME]),
        label=evidence.classes[label],
        predicted=evidence.classes[predicted],
        score=score,
        note=likeness.decide(row, force=True).note,
        xray=xrays.get(digest),
        heat=heat.get(digest),
    )
