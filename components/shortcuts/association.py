"""How well a trait alone tells the label: what a model may learn in the place of the disease.

Of each value of a trait, the share of positive images is a score. It is found on four fifths of the
patients and given to the others, so that no image is scored by its own label.
"""

import dataclasses
import math

import numpy as np
import pandas as pd
from scipy import special, stats
from sklearn.preprocessing import TargetEncoder

from tfxray.components.common import contract
from tfxray.components.metrics import intervals
from tfxray.components.shortcuts import values as trait_values

TOGETHER = "all together"
_FOLDS = 5
# A value's share counts as if so many more images had the share of all: a rare value says little.
_SMOOTHING = 10.0
# The share of the data sets without any association that may be said to have one. The AUCs of five
# folds vary more than one AUC, since each fold's shares come from the labels of the others; how
# much more, and the false alarms that are left, is by simulation: benchmarks/SHORTCUTS.md.
_FALSE_ALARMS = 0.005
_ALLOWANCE = 1.3


@dataclasses.dataclass(frozen=True)
class Rate:
    """How often the images with one value are positive."""

    value: str
    images: int
    positives: int


@dataclasses.dataclass(frozen=True)
class Association:
    """How well a trait tells one class or finding.

    Attributes:
        trait: One of `values.TRAITS`, or `TOGETHER`.
        finding: The class or finding that is told from all else.
        auc: Of the shares as scores, by cross-validation, with its interval by patient.
        limit: The AUC above which chance is no explanation, and a model may learn the trait.
        rates: By value: the parts of a scale in their order, of others the most frequent one first;
            of all traits together, none.
    """

    trait: str
    finding: str
    auc: intervals.Estimate
    limit: float
    rates: list[Rate]

    @property
    def beyond(self) -> bool:
        """Whether the trait may be a shortcut."""
        return self.auc.value > self.limit


def find_limit(
    threshold: float, positives: float, negatives: float, shares: np.ndarray, comparisons: int
) -> float:
    """The AUC that a trait may have.

    Where nothing is associated, an AUC lies about 0.5 with the variance (1/m + 1/n) t / 12, where t
    is 1 less the sum of the cubes of the values' shares: with few values, many pairs are ties
    (Lehmann, Nonparametrics, 1975, chapter 1.4). Cross-validation widens that.

    Args:
        threshold: The config's, which is the limit for large samples.
        positives: How many independent images are positive; see `count_independent`.
        negatives: Likewise.
        shares: Of the images, those with each value, [k].
        comparisons: How many AUCs are looked at: the largest of many is far from 0.5 by chance.
    """
    if not positives or not negatives:
        return math.inf
    deviation = math.sqrt((1 / positives + 1 / negatives) * (1 - (shares**3).sum()) / 12)
    chance = float(stats.norm.isf(_FALSE_ALARMS / max(1, comparisons))) * _ALLOWANCE * deviation
    return 0.5 + max(threshold - 0.5, chance)


def count_independent(patients: pd.Series) -> float:
    """How many independent images some images are worth, by Kish's formula for clusters.

    Args:
        patients: Whose image each is.
    """
    counts = patients.value_counts().to_numpy(float)
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def measure_all(
    values: pd.DataFrame, labels: pd.DataFrame, patients: pd.Series, threshold: float
) -> list[Association]:
    """How well each trait tells each class or finding, and all traits together.

    Args:
        values: A column of words for each trait; see `values.Values`.
        labels: Of each class or finding, 1, 0, or -1 where unknown.
        patients: Whose image each is.
        threshold: See `find_limit`.

    Returns:
        The traits that have two values at least, of each class or finding both of whose labels are
        there; the highest AUC first.
    """
    varied = values[[name for name in values if values[name].nunique() > 1]]
    comparisons = len(labels.columns) * (len(varied.columns) + (len(varied.columns) > 1))
    codes, owners = varied.apply(lambda column: pd.factorize(column)[0]), pd.factorize(patients)[0]
    folds = pd.util.hash_array(patients.to_numpy(object)) % _FOLDS
    found = []
    for finding, own in labels.items():
        known = (own != contract.UNKNOWN).to_numpy()
        truth = own[known].to_numpy()
        if len(set(truth)) < 2 or not len(varied.columns):
            continue
        positives, negatives = (
            count_independent(patients[known][truth == label]) for label in (1, 0)
        )
        scores = _score_out_of_fold(codes[known].to_numpy(), truth, folds[known])
        # Of one trait alone, the two columns are the same.
        traits = [*varied.columns, *([TOGETHER] if len(varied.columns) > 1 else [])]
        for trait, score in zip(traits, scores.T, strict=False):
            auc = intervals.auc(truth, score, owners[known])
            assert auc is not None  # both labels are there
            rates = _list_rates(varied[trait][known], truth) if trait != TOGETHER else []
            if trait in trait_values.TRAITS and trait not in trait_values.CATEGORIES:
                by_name = {rate.value: rate for rate in rates}
                rates = [by_name[name] for name in trait_values.order_parts(list(by_name))]
            shares = np.array([rate.images for rate in rates]) / len(truth)
            limit = find_limit(threshold, positives, negatives, shares, comparisons)
            found.append(Association(trait, str(finding), auc, limit, rates))
    return sorted(found, key=lambda one: -one.auc.value)


def fit_scores(codes: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Scores some images by the shares of positive ones that others have.

    Args:
        codes: The values of the images that the shares come from, by number, [n, traits].
        labels: Theirs, 0 or 1, [n].
        others: The values of the images that are scored, [m, traits].

    Returns:
        [m, traits + 1]: the logarithm of the odds, less that of all images; last their sum, which
        is a score by all traits together, as naive Bayes has it. 0 where all labels are alike.
    """
    share = labels.mean() if len(labels) else 0.0
    if not 0 < share < 1 or not len(others):
        return np.zeros((len(others), codes.shape[1] + 1))
    encoder = TargetEncoder(smooth=_SMOOTHING, target_type="binary").fit(codes, labels)
    scores = special.logit(encoder.transform(others)) - special.logit(share)
    return np.column_stack([scores, scores.sum(1)])


def _score_out_of_fold(codes: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """See `fit_scores`; as ranks within each fold.

    A fold with more positive images leaves fewer to the others, and would get the lower shares:
    scores of two folds cannot be compared.
    """
    ranks = np.zeros((len(codes), codes.shape[1] + 1))
    for fold in np.unique(folds):
        inside = folds == fold
        scores = fit_scores(codes[~inside], labels[~inside], codes[inside])
        ranks[inside] = stats.rankdata(scores, axis=0) / (inside.sum() + 1)
    return ranks


def _list_rates(words: pd.Series, labels: np.ndarray) -> list[Rate]:
    codes, names = pd.factorize(words, sort=True)
    images, positives = np.bincount(codes), np.bincount(codes, labels)
    order = np.argsort(-images, kind="stable")
    return [Rate(str(names[i]), int(images[i]), int(positives[i])) for i in order]
