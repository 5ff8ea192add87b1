"""Whether a score is given: what looks unlike the training images gets none, wherever it goes.

A classifier gives any image a score, a drawn cow too. Each way out of the model asks `decide`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tfxray.components.common import contract

UNLIKE = "not like the training data"
WITHHELD = "score withheld"
UNCHECKED = "not checked whether it is like the training data"


@dataclasses.dataclass(frozen=True)
class Likeness:
    """How far an image lies from the training images, and what follows for its score.

    Attributes:
        distance: What is usual depends on the model; None where the model does not measure it.
        unlike: Whether that is further than almost all of validation; None where not checked.
        withheld: Whether the score must not be given.
        note: What a person is told beside the score, or in its place; empty where all is usual.
    """

    distance: float | None
    unlike: bool | None
    withheld: bool
    note: str


def decide(outputs: Mapping[str, Any], force: bool = False) -> Likeness:
    """Decides whether an image's score is given.

    Args:
        outputs: The served model's, of one image: `score`, `distance` and `unlike`. An older
            model may lack the latter two.
        force: Give the score of an image unlike the training data, too; the note stays.
    """
    distance = outputs.get(contract.DISTANCE)
    if distance is None or contract.UNLIKE not in outputs:
        return Likeness(None, None, False, UNCHECKED)
    distance = float(distance)
    # What cannot even be measured is not like anything.
    measured = math.isfinite(distance) and math.isfinite(outputs[contract.SCORE])
    unlike = bool(outputs[contract.UNLIKE]) or not measured
    if not unlike:
        return Likeness(distance, False, False, "")
    note = f"{UNLIKE} (distance {distance:.2f})"
    return Likeness(distance, True, not force, note if force else f"{note}, {WITHHELD}")
