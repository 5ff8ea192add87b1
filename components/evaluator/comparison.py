"""Two runs side by side, on the images that both scored."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.common.contract import UNKNOWN, Task
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
        task: What was asked.
        thresholds: Its model's operating points, of the task's `judged`.
    """

    name: str
    frame: pd.DataFrame
    task: Task
    thresholds: Mapping[str, float]


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


def read_run(name: str, evaluation: str, task: Task, thresholds: Mapping[str, float]) -> ScoredRun:
    """Reads a run's held-out scores.

    Args:
        name: The run's.
        evaluation: Evaluator's `evaluation`.
        task: What was asked.
        thresholds: Its model's operating points, of the task's `judged`.

    Raises:
        UserError: There are none.
    """
    frame = heldout_scores.read_scores(evaluation)
    if frame is None:
        raise UserError(
            f"run {name}: scored no held-out image, so that there is nothing to compare"
        )
    return ScoredRun(name, frame, task, thresholds)


def compare_runs(first: ScoredRun, second: ScoredRun) -> Comparison:
    """Compares two runs, image by image; of several classes or findings, those that both judge.

    Raises:
        UserError: They judge nothing in common; or they have too few held-out images in common, or
            all of one class.
    """
    names = [name for name in first.task.judged if name in second.task.judged]
    if not names:
        ours, theirs = (f"[{', '.join(run.task.names)}]" for run in (first, second))
        raise UserError(f"runs {first.name} and {second.name} judge {ours} and {theirs}")
    pairs, relabelled = {}, 0
    for name in names:
        pairs[name], changed = _pair(first, second, name)
        relabelled += changed
    if len(names) == 1:
        _require_enough(first, second, pairs[names[0]])
        lines = _lines(pairs[names[0]], _thresholds(first, second, names[0]))
        if not (first.task.binary and second.task.binary):
            lines = _name_lines(names[0], lines)
    else:
        pairs = {name: pair for name, pair in pairs.items() if len(pair) >= _FEW}
        lines = _lines_of_several(first, second, pairs)
    every = pd.concat(pairs.values()).drop_duplicates(heldout_scores.DIGEST)
    digests = [set(run.frame[heldout_scores.DIGEST]) for run in (first, second)]
    both = len(digests[0] & digests[1])
    return Comparison(
        runs=(first.name, second.name),
        images=len(every),
        patients=every[contract.PATIENT].nunique(),
        left_out=(len(digests[0]) - both, len(digests[1]) - both),
        relabelled=relabelled,
        lines=lines,
    )


_SECOND = " of the second"


def _pair(first: ScoredRun, second: ScoredRun, name: str) -> tuple[pd.DataFrame, int]:
    """The images in common whose label is the same, and how many have another one."""
    one, two = (
        heldout_scores.view(run.frame.drop_duplicates(heldout_scores.DIGEST), run.task, name)
        for run in (first, second)
    )
    both = one.merge(
        two[[heldout_scores.DIGEST, contract.LABEL, contract.SCORE]],
        on=heldout_scores.DIGEST,
        suffixes=("", _SECOND),
    )
    same = both[both[contract.LABEL] == both[f"{contract.LABEL}{_SECOND}"]]
    return same, len(both) - len(same)


def _thresholds(first: ScoredRun, second: ScoredRun, name: str) -> tuple[float, float]:
    return first.thresholds[name], second.thresholds[name]


def _require_enough(first: ScoredRun, second: ScoredRun, pair: pd.DataFrame) -> None:
    classes = pair[contract.LABEL].nunique()
    if len(pair) < _FEW or classes < 2:
        raise UserError(
            f"runs {first.name} and {second.name} have {len(pair)} held-out images of "
            f"{classes} classes in common, at least {_FEW} of two are needed: compare "
            "runs on the same data with the same split"
        )


def _lines_of_several(
    first: ScoredRun, second: ScoredRun, pairs: Mapping[str, pd.DataFrame]
) -> list[Line]:
    """The mean AUC, then the AUC, the sensitivity and the specificity of each."""
    judged = {name: pair for name, pair in pairs.items() if pair[contract.LABEL].nunique() == 2}
    if not judged:
        raise UserError(
            f"runs {first.name} and {second.name} have no {_FEW} held-out images of both classes "
            "of any finding in common: compare runs on the same data with the same split"
        )
    columns = (contract.LABEL, contract.SCORE, f"{contract.SCORE}{_SECOND}")
    every = pd.concat(judged.values()).drop_duplicates(heldout_scores.DIGEST)
    owners = every.set_index(heldout_scores.DIGEST)[contract.PATIENT]
    labels, *values = (
        pd.DataFrame({n: p.set_index(heldout_scores.DIGEST)[column] for n, p in judged.items()})
        .reindex(owners.index)
        .fillna(UNKNOWN)
        .to_numpy()
        for column in columns
    )
    patients = owners.to_numpy()
    lines = [
        _line("mean AUC", lambda i: intervals.mean_auc(labels, values[i], patients),
              intervals.mean_auc_difference(labels, values[1], values[0], patients))
    ]  # fmt: skip
    for name, pair in judged.items():
        lines += _name_lines(name, _lines(pair, _thresholds(first, second, name))[:3])
    return lines


def _name_lines(name: str, lines: list[Line]) -> list[Line]:
    return [dataclasses.replace(line, figure=f"{name}: {line.figure}") for line in lines]


def _lines(pair: pd.DataFrame, thresholds: tuple[float, float]) -> list[Line]:
    labels, patients = pair[contract.LABEL].to_numpy(), pair[contract.PATIENT].to_numpy()
    values = [pair[f"{contract.SCORE}{run}"].to_numpy() for run in ("", _SECOND)]
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
