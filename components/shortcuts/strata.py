"""Whether a model is better than a shortcut: on held-out images, beside it and without its help.

Beside it: the trait alone, by the shares of the training images, scores the same held-out images.
Without its help: among images of one view, the view tells nothing; what the model still tells
there, it has from elsewhere.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.metrics import intervals
from tfxray.components.shortcuts import association, traits, values

BETTER, NOT_SHOWN, NOT_EVERYWHERE, UNJUDGED = "better", "not_shown", "not_everywhere", "unjudged"


@dataclasses.dataclass(frozen=True)
class Stratum:
    """The held-out images that share a trait's value.

    Attributes:
        value: In words.
        images: How many whose label is known.
        positives: How many patients with a positive image.
        negatives: Likewise.
        auc: The model's; None where a class has too few patients.
    """

    value: str
    images: int
    positives: int
    negatives: int
    auc: intervals.Estimate | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A model beside a trait.

    Attributes:
        trait: See `association.Association`.
        finding: The class or finding.
        alone: The trait's AUC on the held-out images.
        model: The model's, on the same.
        difference: The model's less the trait's, paired.
        within: The model's AUC where only images of one stratum are compared with each other: the
            mean over the strata that can be judged, by their pairs. None where there is none.
        strata: The largest one first; none of a trait whose values are parts of a scale.
        verdict: `BETTER` than the trait, and better than chance in each stratum that can be judged;
            `NOT_EVERYWHERE`: in some stratum, not; `NOT_SHOWN`: nothing shows that it is better
            than the trait; `UNJUDGED`: the held-out images are too few to say.
    """

    trait: str
    finding: str
    alone: intervals.Estimate
    model: intervals.Estimate
    difference: intervals.Estimate
    within: float | None
    strata: list[Stratum]
    verdict: str


def compare_model(
    examples: str, frame: pd.DataFrame, labels: np.ndarray, scores: np.ndarray,
    task: contract.Task, least: int, split: str = "test",
) -> list[Comparison]:  # fmt: skip
    """Compares a model with each trait, of each class or finding.

    Args:
        examples: ExampleGen's folder, with the table of `traits`.
        frame: The held-out images: `digest` and `patient/id`.
        labels: Of the task's `judged`: 1, 0, or -1 where unknown, [n, k].
        scores: The model's, [n, k].
        task: What is asked.
        least: A stratum with fewer patients of a class has no AUC.
        split: Where the held-out images are.

    Returns:
        One of each trait that varies among the training images, and of all traits together.
    """
    training, truths = traits.read_traits(examples, ["train"], task)
    heldout, _ = traits.read_traits(examples, [split], task)
    words = values.Values(training)
    table, own = words.of(training), words.of(heldout).groupby(heldout[traits.DIGEST]).first()
    varied = [name for name in table if table[name].nunique() > 1]
    # Of a split that is too large, the table holds those that were drawn.
    places = np.flatnonzero(frame[traits.DIGEST].isin(own.index) & np.isfinite(scores).all(1))
    if not varied or not len(places):
        return []
    own = own.loc[frame[traits.DIGEST].iloc[places], varied].reset_index(drop=True)
    codes = pd.concat([table[varied], own]).apply(lambda column: pd.factorize(column)[0]).to_numpy()
    patients = frame[contract.PATIENT].iloc[places].reset_index(drop=True)
    found: list[Comparison] = []
    for place, finding in enumerate(task.judged):
        known = (truths[finding] != contract.UNKNOWN).to_numpy()
        alone = association.fit_scores(
            codes[: len(table)][known], truths[finding][known].to_numpy(), codes[len(table) :]
        )
        images = _Images(labels[places, place], scores[places, place], patients)
        found += _compare(finding, own, alone, images, least)
    return found


@dataclasses.dataclass(frozen=True)
class _Images:
    """Of held-out images the labels, the model's scores and the patients, [n] each."""

    labels: np.ndarray
    scores: np.ndarray
    patients: pd.Series

    def take(self, chosen: np.ndarray) -> "_Images":
        patients = self.patients[chosen].reset_index(drop=True)
        return _Images(self.labels[chosen], self.scores[chosen], patients)

    def auc(self, scores: np.ndarray | None = None) -> intervals.Estimate | None:
        return intervals.auc(self.labels, self.scores if scores is None else scores, self.patients)

    def count_patients(self, label: int) -> int:
        return int(self.patients[self.labels == label].nunique())


def _compare(
    finding: str, words: pd.DataFrame, alone: np.ndarray, images: _Images, least: int
) -> Iterator[Comparison]:
    known = images.labels != contract.UNKNOWN
    images, words, alone = images.take(known), words[known].reset_index(drop=True), alone[known]
    model = images.auc()
    if model is None:  # one class only
        return
    names = [*words, *([association.TOGETHER] if len(words.columns) > 1 else [])]
    enough = min(images.count_patients(label) for label in (0, 1)) >= least
    for trait, own in zip(names, alone.T, strict=False):
        shortcut = images.auc(own)
        difference = intervals.auc_difference(images.labels, images.scores, own, images.patients)
        assert shortcut is not None  # both classes are there
        assert difference is not None
        parts = list(_strata(words[trait], images, least)) if trait in values.CATEGORIES else []
        verdict = _judge(difference, parts) if enough else UNJUDGED
        within = _mean_within(parts, words[trait], images) if parts else None
        yield Comparison(trait, finding, shortcut, model, difference, within, parts, verdict)


def _strata(words: pd.Series, images: _Images, least: int) -> Iterator[Stratum]:
    for value in (
        words.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    ):
        inside = images.take((words == value).to_numpy())
        positives, negatives = (inside.count_patients(label) for label in (1, 0))
        auc = inside.auc() if min(positives, negatives) >= least else None
        yield Stratum(str(value), len(inside.labels), positives, negatives, auc)


def _judge(difference: intervals.Estimate, strata: list[Stratum]) -> str:
    if difference.low <= 0:
        return NOT_SHOWN
    judged = [stratum.auc for stratum in strata if stratum.auc]
    return NOT_EVERYWHERE if any(auc.low <= 0.5 for auc in judged) else BETTER


def _mean_within(strata: list[Stratum], words: pd.Series, images: _Images) -> float | None:
    sums = np.zeros(2)
    for stratum in strata:
        if stratum.auc:
            own = images.labels[(words == stratum.value).to_numpy()]
            pairs = float((own == 1).sum()) * float((own == 0).sum())
            sums += pairs * stratum.auc.value, pairs
    return float(sums[0] / sums[1]) if sums[1] else None
