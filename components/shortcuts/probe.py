"""How well an embedding tells where, or in which view, an X-ray was taken.

What the embedding tells, a head can use: where site or view go with the label, a head on such an
embedding may learn them in the place of the disease.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfxray.components.common import contract
from tfxray.components.metrics import intervals

_MOST, _MOST_NUMBERS = 3_000, 2**23  # images, and numbers in their embeddings
_FOLDS = 5
_VALUES = 8  # of a trait, the most frequent ones
_LEAST = 10  # patients with a value, and without it: no fold of five is to lack one
# Where Transform leaves them.
COLUMNS = {contract.SITE: contract.HOSPITAL, contract.VIEW: contract.PROJECTION}
# The penalty of the heads by site; see `trainer/site_transfer.py`.
_C = 1e-2


@dataclasses.dataclass(frozen=True)
class Told:
    """How well the embedding tells one value of a trait from all else.

    Attributes:
        trait: `study/site` or `study/view`.
        value: Such as `AP`.
        images: How many have it, of `total`.
        total: How many were looked at.
        auc: Of a linear probe, cross-validated by patient, with its interval by patient.
    """

    trait: str
    value: str
    images: int
    total: int
    auc: intervals.Estimate


@dataclasses.dataclass(frozen=True)
class Probe:
    """What an embedding tells.

    Attributes:
        told: Of each trait and value that can be judged.
        skipped: Why nothing can be said of a trait, a line each.
    """

    told: list[Told] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)


def draw_images(count: int, width: int, seed: int) -> np.ndarray:
    """The places of the images that are looked at, in their order: 3,000 at most.

    Args:
        count: How many there are.
        width: Of an embedding; of wide ones, fewer are taken.
        seed: Of the draw.
    """
    most = min(_MOST, max(1, _MOST_NUMBERS // width))
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def probe_embeddings(
    embeddings: np.ndarray, traits: dict[str, np.ndarray], patients: np.ndarray
) -> Probe:
    """Fits a linear probe for each value of each trait.

    Args:
        embeddings: Of a backbone that has learnt from none of these images, float [n, d].
        traits: By name, the value of each image, str [n]; empty where it is unknown.
        patients: Whose image each is, [n].

    Returns:
        Of each trait, the probes of its most frequent values; of two values, of one.
    """
    probe = Probe()
    for name, values in traits.items():
        known = values != ""
        told = list(_probe(name, embeddings[known], values[known], patients[known]))
        probe.told.extend(told)
        if not told:
            probe.skipped.append(
                f"{name}: it takes {_LEAST} patients with a value and {_LEAST} with another, and "
                f"{len(set(values[known]))} values are known"
            )
    return probe


def _probe(
    trait: str, embeddings: np.ndarray, values: np.ndarray, patients: np.ndarray
) -> Iterator[Told]:
    names, counts = np.unique(values, return_counts=True)
    two = len(names) == 2  # to tell one is to tell the other
    for place in np.argsort(-counts, kind="stable")[: 1 if two else _VALUES]:
        labels = (values == names[place]).astype(int)
        if min(len(set(patients[labels == label])) for label in (0, 1)) < _LEAST:
            continue
        head = make_pipeline(
            StandardScaler(), LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
        )
        scores = cross_val_predict(
            head, embeddings, labels, groups=patients, cv=GroupKFold(_FOLDS),
            method="decision_function",
        )  # fmt: skip
        auc = intervals.auc(labels, scores, patients)
        assert auc is not None  # both labels are there
        yield Told(trait, str(names[place]), int(counts[place]), len(values), auc)
