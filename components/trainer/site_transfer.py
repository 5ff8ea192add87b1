"""How far an embedding carries from one site to another: heads trained on one, judged on each.

The pushed head learnt from all sites, and so cannot show it. A frozen backbone has learnt from none
of them, so a head of one site's images stands for a model of that site.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tfxray.components.common import contract
from tfxray.components.metrics import intervals
from tfxray.components.trainer.examples import Examples

# Of scikit-learn's penalty, on standardised embeddings; the same for every site, as it must be
# where sites are compared. Of 10 to 1e-4, AUC is highest with it on the X-rays of the demo.
_C = 1e-2
_MOST = 12  # sites, the largest ones: their number squared is what a reader has to read
_VALUES = 2**23  # of embeddings in memory, some times over; of a larger split, images are drawn
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Cell:
    """How a head does on one site's validation patients.

    Attributes:
        site: Judged on.
        images: How many.
        patients: How many.
        auc: Area under the ROC curve, its interval by patient.
    """

    site: str
    images: int
    patients: int
    auc: intervals.Estimate


@dataclasses.dataclass(frozen=True)
class Row:
    """A head.

    Attributes:
        site: Trained on; None for all.
        images: How many of its training images.
        patients: Of how many patients.
        cells: One per site that can be judged, in the same order in every row.
    """

    site: str | None
    images: int
    patients: int
    cells: list[Cell]


@dataclasses.dataclass(frozen=True)
class Table:
    """The heads; the last one was trained on all sites.

    Attributes:
        rows: Empty where there is no table.
        left_out: Sites that are no row.
        reason: Why there is no table; else empty.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)
    reason: str = ""


def measure_transfer(training: Examples, validation: Examples, least: int, seed: int) -> Table:
    """Trains a linear head on each site's embeddings, and scores every site's with it.

    Args:
        training: Embeddings of two classes.
        validation: Likewise. The test split judges the pushed model and nothing else.
        least: A site with fewer patients of a class neither trains nor is judged.
        seed: Of the draw, where a split is too large for the memory.
    """
    if contract.HOSPITAL not in training.columns:
        return Table(
            reason="the schema's tensor_representation_group does not hand study/site and "
            "patient/id to Transform, as that of schema/schema.pbtxt does"
        )
    training_split, validation_split = _Split(training, seed), _Split(validation, seed)
    sites = training_split.sites() + [
        site for site in validation_split.sites() if site not in training_split.sites()
    ]
    if len(sites) < 2:
        only = f"all images come from one site, {sites[0]}" if sites else "the data names no site"
        return Table(reason=f"{only} (study/site)")
    training_sites, validation_sites = (
        [site for site in sites if split.least(site) >= least][:_MOST]
        for split in (training_split, validation_split)
    )
    if not any(site != other for site in training_sites for other in validation_sites):
        return Table(
            reason=f"it takes two sites, one with {least} training patients of each class and "
            f"another with {least} validation patients of each (evaluate.min_patients)"
        )
    rows = [
        _row(training_split, validation_split, site, validation_sites)
        for site in (*training_sites, None)
    ]
    return Table(rows, [site for site in sites if site not in training_sites])


class _Split:
    """A split's embeddings, as many as memory is to hold, with their sites and patients."""

    def __init__(self, examples: Examples, seed: int):
        count = min(len(examples), max(1, _VALUES // examples.width))
        places = np.sort(np.random.default_rng(seed).choice(len(examples), count, replace=False))
        self._examples, self._places = examples, places
        self.labels = examples.labels[places, 0]
        self.owners = examples.columns[contract.OWNER][places]
        # Ids are text of whoever made the data; what is no UTF-8 is shown as such.
        texts = examples.columns[contract.HOSPITAL][places]
        self.hospitals = np.array([text.decode("utf-8", "replace") for text in texts], str)

    @functools.cached_property
    def embeddings(self) -> np.ndarray:
        """[n, width]; read at the first access, since one site needs none."""
        batches = self._examples.plain(_BATCH, self._places).as_numpy_iterator()
        empty = np.zeros((0, self._examples.width), np.float32)
        return np.concatenate([empty, *(inputs for inputs, _ in batches)])

    def sites(self) -> list[str]:
        """By name, those with most images first."""
        names, counts = np.unique(self.hospitals[self.hospitals != ""], return_counts=True)
        return [str(names[place]) for place in np.argsort(-counts, kind="stable")]

    def of(self, site: str | None) -> np.ndarray:
        """Which images are of a site, bool [n]; None takes all."""
        return np.full(len(self.labels), True) if site is None else self.hospitals == site

    def patients(self, inside: np.ndarray) -> int:
        """How many patients some images are of."""
        return len(np.unique(self.owners[inside]))

    def least(self, site: str) -> int:
        """How many patients a site has of the class that it has fewer of."""
        return min(self.patients(self.of(site) & (self.labels == c)) for c in (0, 1))


def _row(training: _Split, validation: _Split, site: str | None, sites: Sequence[str]) -> Row:
    own = training.of(site)
    head = _head().fit(training.embeddings[own], training.labels[own])
    scores = head.decision_function(validation.embeddings)
    cells = []
    for other in sites:
        inside = validation.of(other)
        auc = intervals.auc(validation.labels[inside], scores[inside], validation.owners[inside])
        assert auc is not None  # both classes are there
        count, patients = int(inside.sum()), validation.patients(inside)
        cells.append(Cell(other, count, patients, auc))
    return Row(site, int(own.sum()), training.patients(own), cells)


def _head() -> Pipeline:
    linear = LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), linear)
