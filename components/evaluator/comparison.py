"""Two runs side by side, on the images that both scored."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import heldout_scores
from tfxray.components.metrics import intervals
from tfxray.components.metrics.intervals import Estimate

_FEW = 10  # images in common, below which nothing is compared


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """One run's held-out scores.

    Attributes:
        name: The run's.
        frame: See `heldout_scores.read_scores`.
        threshold: Its model's operating point.
    """

    name: str
    frame: pd.DataFrame
    threshold: float


@dataclasses.dataclass(frozen=True)
class Line:
    """One figure of both runs, with 95 % intervals by patient.

    Attributes:
        figure: Its name.
        first: The first run's.
        second: The second's.
        difference: Second less first, paired; where its interval holds 0, the runs do not differ.
    """

    figure: str
    first: Estimate
    second: Estimate
    difference: Estimate


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two runs came to on the same images.

    Attributes:
        runs: Their names.
        images: In common.
        patients: Likewise.
        left_out: Held-out images of either run that the other did not score.
        relabelled: Images in common whose label differs; left out too.
        lines: The figures.
    """

    runs: tuple[str, str]
    images: int
    patients: int
    left_out: tuple[int, int]
    relabelled: int
    lines: list[Line]


def read_run(name: str, evaluation: str, threshold: float) -> ScoredRun:
    """Reads a run's held-out scores.

    Args:
        name: The run's.
        evaluation: Evaluator's `evaluation`.
        threshold: Its model's operating point.

    Raises:
        UserError: There are none.
    """
    frame = heldout_scores.read_scores(evaluation)
    if frame is None:
        raise UserError(
            f"run {name}: scored no held-out image, so that there is nothing to compare"
        )
    return ScoredRun(name, frame, threshold)


def compare_runs(first: ScoredRun, second: ScoredRun) -> Comparison:
    """Compares two runs, image by image.

    Raises:
        UserError: They have too few held-out images in common, or all of one class.
    """
    one, two = (run.frame.drop_duplicates(heldout_scores.DIGEST) for run in (first, second))
    both = one.merge(
        two[[heldout_scores.DIGEST, contract.LABEL, contract.SCORE]],
        on=heldout_scores.DIGEST,
        suffixes=("", " of the second"),
    )
    other_label, other_score = (f"{n} of the second" for n in (contract.LABEL, contract.SCORE))
    same = both[both[contract.LABEL] == both[other_label]]
    labels = same[contract.LABEL].to_numpy()
    if len(same) < _FEW or len(set(labels)) < 2:
        raise UserError(
            f"runs {first.name} and {second.name} have {len(same)} held-out images of "
            f"{len(set(labels))} classes in common, at least {_FEW} of two are needed: compare "
            "runs on the same data with the same split"
        )
    patients = same[contract.PATIENT].to_numpy()
    values = (same[contract.SCORE].to_numpy(), same[other_score].to_numpy())
    return Comparison(
        runs=(first.name, second.name),
        images=len(same),
        patients=len(set(patients)),
        left_out=(len(one) - len(both), len(two) - len(both)),
        relabelled=len(both) - len(same),
        lines=_lines(labels, values, patients, (first.threshold, second.threshold)),
    )


def _lines(
    labels: np.ndarray,
    values: tuple[np.ndarray, np.ndarray],
    patients: np.ndarray,
    thresholds: tuple[float, float],
) -> list[Line]:
    calls = [value >= threshold for value, threshold in zip(values, thresholds, strict=True)]
    correct = [call == (labels == 1) for call in calls]
    errors = [(value - labels) ** 2 for value in values]
    everywhere = np.ones(len(labels), bool)
    lines = [
        _line("AUC", lambda i: intervals.auc(labels, values[i], patients),
              intervals.auc_difference(labels, values[1], values[0], patients))
    ]  # fmt: skip
    for name, mask in (
        ("sensitivity", labels == 1),
        ("specificity", labels == 0),
        ("accuracy", everywhere),
    ):
        hits, owners = [r[mask] for r in correct], patients[mask]
        gaps = hits[1].astype(float) - hits[0]
        lines.append(
            _line(name, lambda i, h=hits, o=owners: intervals.share(h[i], o),  # type: ignore[misc]
                  intervals.mean(gaps, owners))
        )  # fmt: skip
    lines.append(
        _line("Brier score", lambda i: intervals.mean(errors[i], patients),
              intervals.mean(errors[1] - errors[0], patients))
    )  # fmt: skip
    return lines


def _line(name: str, of_run: Callable[[int], Estimate | None], difference: Estimate | None) -> Line:
    first, second = of_run(0), of_run(1)
    assert first is not None
    assert second is not None
    assert difference is not None  # both classes are there
    return Line(name, first, second, difference)
