"""How traits become a few values each, so that a rate can be told of each value."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tfxray.components.common import contract
from tfxray.components.metadata import ages
from tfxray.components.shortcuts import traits

SIZE = "image/size"  # height and width, which only tell together
TRAITS = (
    contract.SITE, contract.VIEW, contract.SEX, contract.AGE, SIZE, contract.FORMAT,
    contract.MEAN, contract.STD, contract.SHARPNESS,
)  # fmt: skip
# What a person would name; of the others, parts of a scale.
CATEGORIES = TRAITS[:6]
UNKNOWN, OTHER = "unknown", "other"
_MOST = 30  # values of a category; the rest are `OTHER`
_COMMON = 0.05  # the share of the images that makes a size a value of its own
_PARTS = 10  # of a scale, with as many images each


class Values:
    """The values of each trait, as the training images have them.

    What is unknown is a value of its own: a view that is known of one class alone tells that class.
    """

    def __init__(self, frame: pd.DataFrame):
        """Finds them.

        Args:
            frame: The traits of the training images; see `traits.read_traits`.
        """
        self._kept = {
            name: set(_words(frame, name).value_counts().index[:_MOST])
            for name in (*traits.TEXTS, contract.AGE)
        }
        sizes = _sizes(frame)
        counts = sizes.value_counts()
        self._sizes = set(counts.index[counts > _COMMON * max(1, len(sizes))])
        odd = _pixels(frame)[~sizes.isin(self._sizes)]
        self._edges = {SIZE: _find_edges(odd)} | {
            name: _find_edges(frame[name]) for name in TRAITS if name not in CATEGORIES
        }

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The value of each trait of some images, in words; a column for each of `TRAITS`.

        Args:
            frame: See `traits.read_traits`.
        """
        columns = {}
        for name in TRAITS:
            if name in self._kept:
                words = _words(frame, name)
                columns[name] = words.where(words.isin(self._kept[name]), OTHER)
            elif name == SIZE:
                sizes, edges = _sizes(frame), self._edges[SIZE]
                parts = _name_parts(_pixels(frame), edges, 1e-6, " megapixels")
                columns[name] = sizes.where(sizes.isin(self._sizes), parts)
            else:
                columns[name] = _name_parts(frame[name], self._edges[name])
        return pd.DataFrame(columns, index=frame.index)


def order_parts(names: Sequence[str]) -> list[str]:
    """The parts of a scale from its lower end to its upper one, and then what is unknown."""

    def place(name: str) -> tuple[int, float]:
        first, *_ = name.removeprefix("up to ").removeprefix("above ").split()
        if name in (UNKNOWN, "known"):
            return 3, 0.0
        return (0 if name.startswith("up to") else 2 if name.startswith("above") else 1), float(
            first
        )

    return sorted(names, key=place)


def _words(frame: pd.DataFrame, name: str) -> pd.Series:
    if name == contract.AGE:
        return frame[name].map(ages.name_band).replace("", UNKNOWN)
    words = frame[name].fillna(UNKNOWN).replace("", UNKNOWN)
    # TF-slim writes formats in capitals.
    return words.str.lower() if name == contract.FORMAT else words


def _pixels(frame: pd.DataFrame) -> pd.Series:
    return frame[contract.WIDTH] * frame[contract.HEIGHT]


def _sizes(frame: pd.DataFrame) -> pd.Series:
    """Such as `1024 x 768`, width first; unknown where one of the two is."""
    known = _pixels(frame).notna()
    texts = [
        f"{width:.0f} x {height:.0f}" if told else UNKNOWN
        for width, height, told in zip(
            frame[contract.WIDTH], frame[contract.HEIGHT], known, strict=True
        )
    ]
    return pd.Series(texts, frame.index, dtype=object)


def _find_edges(numbers: pd.Series) -> np.ndarray:
    """The inner edges of parts with as many images each."""
    known = numbers[np.isfinite(numbers)]
    if known.empty:
        return np.zeros(0)
    return np.unique(np.quantile(known, np.arange(1, _PARTS) / _PARTS))


def _name_parts(
    numbers: pd.Series, edges: np.ndarray, scale: float = 1.0, unit: str = ""
) -> pd.Series:
    texts = [f"{edge * scale:.4g}" for edge in edges]
    names = [
        f"{low} to {high}" if low and high else f"above {low}" if low else f"up to {high}"
        for low, high in zip(["", *texts], [*texts, ""], strict=True)
    ]
    places = np.searchsorted(edges, numbers.to_numpy(float))
    words = np.array([f"{name}{unit}" for name in names] if texts else ["known"], object)[places]
    return pd.Series(np.where(np.isfinite(numbers), words, UNKNOWN), numbers.index, dtype=object)
