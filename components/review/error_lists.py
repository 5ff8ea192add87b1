"""The held-out images that the model gets wrong, doubts, or whose label it disagrees with."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores, pictures
from tfxray.components.predict import likeness
from tfxray.components.review.evidence import Evidence


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
