"""Scores as counts on a fine grid: all that monitoring needs of them, and of no image alone."""

from collections.abc import Mapping

import numpy as np
from scipy import special

# Bins of equal width of the logit. A served score lies within 1e-7 of 0 and 1, see
# `scaling.EPSILON`. The middle of a bin is less than 0.5 % off in its odds.
_BINS, _EDGE = 4000, 16.2
_MOST = 2**53  # images in a bin
_LOGITS = (np.arange(_BINS) + 0.5) * (2 * _EDGE / _BINS) - _EDGE


class ScoreHistogram:
    """How many images have which score.

    Attributes:
        counts: Of each bin, int64 [bins].
    """

    def __init__(self, counts: np.ndarray | None = None):
        self.counts = np.zeros(_BINS, np.int64) if counts is None else counts

    @classmethod
    def of(cls, scores: np.ndarray) -> "ScoreHistogram":
        """Counts scores, each within 0..1; those that are no number are left out."""
        scores = np.asarray(scores, float)
        logits = special.logit(scores[np.isfinite(scores)])
        places = ((logits + _EDGE) * (_BINS / (2 * _EDGE))).clip(0, _BINS - 1).astype(int)
        return cls(np.bincount(places, minlength=_BINS).astype(np.int64))

    @classmethod
    def from_json(cls, content: Mapping[str, int]) -> "ScoreHistogram":
        """Reads what `to_json` gave.

        Raises:
            ValueError: It gave no such thing.
        """
        histogram = cls()
        if not isinstance(content, Mapping):
            raise ValueError("must map bins of scores to counts")
        for place, count in content.items():
            known = str(place).isdecimal() and int(place) < _BINS
            if not known or type(count) is not int or not 0 <= count <= _MOST:
                raise ValueError(
                    f"{place}: {count} is no bin of scores; allowed: 0 to {_BINS - 1}, with counts "
                    "from 0"
                )
            histogram.counts[int(place)] = count
        return histogram

    def to_json(self) -> dict[str, int]:
        """The bins that are not empty, by their place."""
        return {str(place): int(self.counts[place]) for place in np.flatnonzero(self.counts)}

    def add(self, other: "ScoreHistogram") -> "ScoreHistogram":
        """This one and another together."""
        return ScoreHistogram(self.counts + other.counts)

    @property
    def total(self) -> int:
        """How many images."""
        return int(self.counts.sum())

    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """The logits in the middle of the bins that hold something, ascending; and the counts."""
        places = np.flatnonzero(self.counts)
        return _LOGITS[places], self.counts[places].astype(float)

    def shares(self, edges: np.ndarray) -> np.ndarray:
        """The shares of the images between scores.

        Args:
            edges: Ascending scores, [k + 1].

        Returns:
            [k]; nothing but zeros where there is no image.
        """
        counts, _ = np.histogram(special.expit(_LOGITS), bins=edges, weights=self.counts)
        return np.asarray(counts / max(1, self.total))


def largest_gap(first: ScoreHistogram, second: ScoreHistogram) -> float:
    """Kolmogorov's and Smirnov's distance: the largest difference of two shares below a score."""
    below = [np.cumsum(each.counts) / max(1, each.total) for each in (first, second)]
    return float(np.abs(below[0] - below[1]).max())
