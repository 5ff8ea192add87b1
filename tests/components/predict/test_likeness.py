"""What is unlike the training data gets no score: one decision, for every way out of the model."""

import math

import pytest

from tfxray.components.common import contract
from tfxray.components.predict import likeness


def outputs(score=0.7, distance=0.9, unlike=0.0):
    return {contract.SCORE: score, contract.DISTANCE: distance, contract.UNLIKE: unlike}


def test_a_usual_image_has_its_score_and_no_note():
    assert likeness.decide(outputs()) == likeness.Likeness(0.9, False, False, "")


@pytest.mark.parametrize(
    "of",
    [
        outputs(unlike=1.0, distance=3.21),
        outputs(distance=math.nan),
        outputs(distance=math.inf),
        outputs(score=math.nan),
    ],
)
def test_what_is_unlike_or_cannot_be_measured_has_none_unless_forced(of):
    decision, forced = likeness.decide(of), likeness.decide(of, force=True)
    assert (decision.withheld, forced.withheld) == (True, False)
    assert decision.unlike
    assert forced.unlike
    assert decision.note.startswith("not like the training data (distance ")
    assert decision.note.endswith("score withheld")
    assert forced.note in decision.note


@pytest.mark.parametrize("missing", [contract.UNLIKE, contract.DISTANCE])
def test_a_model_that_does_not_check_says_so(missing):
    of = {name: value for name, value in outputs(unlike=1.0).items() if name != missing}
    decision = likeness.decide(of)
    assert (decision.unlike, decision.withheld) == (None, False)
    assert decision.note == "not checked whether it is like the training data"
