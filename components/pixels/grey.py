"""The one place that decides how stored grey levels become 8-bit grey.

An image is looked at through its distinct levels and how many pixels have each. What a level shows
is worked out once for each of them, whatever the image's size.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tfxray.components.guard.rejects import Rejected

_BAND_PIXELS = 2**20  # so many are looked at at a time: as numbers they take many times their bytes
_DEPTHS = (8, 10, 12, 14, 16)  # of detectors and files, in bits
# One pixel in so many may be a detector's fault, and does not decide on the range; of a very small
# image, none.
_SPARED, _SMALL = 1000, 64
# Of so many pixels, one may be no finite number; and what is noted of such an image.
_MOST_NOT_FINITE = 100
NOT_FINITE = "some pixels are no finite number; shown as black"
# Interpolation passes the ends of 0..1 by a little. A float image whose levels end below the
# second of these holds no whole numbers of 8 bits or more.
_OVERSHOOT, _LEAST_COUNTS = 1.05, 16
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow has it


@dataclasses.dataclass(frozen=True)
class Span:
    """The levels that show as black and as white."""

    black: float
    white: float


@dataclasses.dataclass(frozen=True)
class Levels:
    """The distinct levels of an image.

    Attributes:
        values: Distinct and rising; finite.
        counts: How many pixels have each.
    """

    values: np.ndarray
    counts: np.ndarray

    def only(self, kept: np.ndarray) -> "Levels":
        """Some of them, by a mask; all where the mask is empty."""
        return Levels(self.values[kept], self.counts[kept]) if kept.any() else self

    def most(self) -> tuple[float, float]:
        """The ends of the range of all pixels but a few, which may be a detector's faults."""
        total = int(self.counts.sum())
        spared = total // _SPARED or int(total >= _SMALL)
        below = np.cumsum(self.counts)
        first = np.searchsorted(below, spared, side="right")
        last = np.searchsorted(below, total - spared, side="left")
        return float(self.values[first]), float(self.values[max(first, last)])

    def span(self) -> Span:
        """The image's own range.

        Where a few pixels at one end would take more than half of the range, they are clipped.
        """
        low, high = self.most()
        lowest, highest = float(self.values[0]), float(self.values[-1])
        return Span(
            low if low - lowest > high - low else lowest,
            high if highest - high > high - low else highest,
        )


def bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """An image, some rows at a time."""
    rows = max(1, _BAND_PIXELS // max(1, pixels.shape[1]))
    return (pixels[start : start + rows] for start in range(0, len(pixels), rows))


def count_levels(stored: np.ndarray) -> Levels:
    """Counts the levels of an image.

    Args:
        stored: [height, width], of any kind of number.

    Raises:
        Rejected: Too many pixels are no finite number.
    """
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        code = _codes(stored.dtype)
        counts = np.zeros(2 ** (8 * stored.dtype.itemsize), np.int64)
        for band in bands(stored):
            counts += np.bincount(band.view(code).ravel(), minlength=counts.size)
        present = np.flatnonzero(counts)
        values = present.astype(code).view(stored.dtype)
        order = np.argsort(values, kind="stable")
        return Levels(values[order], counts[present][order])
    values, counts = np.unique(stored, return_counts=True)
    finite = np.isfinite(values)
    lost = int(counts[~finite].sum())
    if lost * _MOST_NOT_FINITE > stored.size:
        raise Rejected("not_finite", f"{lost} of {stored.size} pixels are no finite number")
    return Levels(values[finite], counts[finite])


def all_finite(stored: np.ndarray, levels: Levels) -> bool:
    """Whether `count_levels` left no pixel out."""
    return bool(stored.size == levels.counts.sum())


def look_up(stored: np.ndarray, levels: Levels, shades: np.ndarray) -> np.ndarray:
    """Shows each pixel as the shade of its level; what is no finite number, as black.

    Args:
        stored: As of `count_levels`.
        levels: Of it.
        shades: uint8, one for each of `levels.values`.

    Returns:
        uint8 of the image's shape.
    """
    grey = np.empty(stored.shape, np.uint8)
    small = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if small:
        code = _codes(stored.dtype)
        table = np.zeros(2 ** (8 * stored.dtype.itemsize), np.uint8)
        table[levels.values.view(code)] = shades
    for band, shown in zip(bands(stored), bands(grey), strict=True):
        if small:
            np.take(table, band.view(code), out=shown)
        else:
            places = np.searchsorted(levels.values, band).clip(max=len(shades) - 1)
            shown[:] = np.where(np.isfinite(band), shades[places], 0)
    return grey


def _codes(kind: np.dtype) -> np.dtype:
    """The unsigned kind of the same size and order of bytes."""
    return np.dtype(kind.str.replace("i", "u"))


def to_shades(values: np.ndarray, span: Span, inverted: bool = False) -> np.ndarray:
    """8-bit grey of some levels.

    Args:
        values: The levels.
        span: What shows as black and as white.
        inverted: Whether it shows the other way round.
    """
    if values.dtype.kind in "iu" and span == Span(0, 2**16 - 1):
        shades = (np.clip(values, 0, 2**16 - 1) >> 8).astype(np.uint8)  # as TensorFlow does it
        return 255 - shades if inverted else shades
    share = (values.astype(np.float64) - span.black) / max(span.white - span.black, 1e-30)
    share = np.clip(share, 0, 1)
    return ((1 - share if inverted else share) * 255 + 0.5).astype(np.uint8)


def file_span(levels: Levels, declared: int | None = None) -> Span:
    """What shows as black and white in an image file that has no window, such as PNG or TIFF.

    The levels decide, since such files rarely declare a depth. A detector of 12 bits fills a
    sixteenth of the range of a 16-bit file; read as 16 bits, the image would be black. One pixel
    in a thousand has no say, so that a hot one does not darken all others.

    Args:
        levels: The image's.
        declared: The highest level that the file declares. It counts unless the levels pass it.

    Returns:
        Levels of 0 or more: 0, and the highest of 8, 10, 12, 14 or 16 bits, whichever holds them.
        Float levels of 0..1 or -1..1: that. All others, such as Hounsfield units: their own range.
    """
    low, high = levels.most()
    is_float = levels.values.dtype.kind == "f"
    if is_float and high <= _OVERSHOOT and low >= -_OVERSHOOT:
        return Span(0 if low >= 1 - _OVERSHOOT else -1, 1)
    if low < 0 or high >= 2**16 or (is_float and high < _LEAST_COUNTS):
        return levels.span()
    if declared and high <= declared:
        return Span(0, declared)
    return Span(0, depth_top(high))


def depth_top(level: float) -> int:
    """The highest level of 8, 10, 12, 14 or 16 bits, whichever holds a level."""
    return next(2**bits - 1 for bits in _DEPTHS if level < 2**bits)


def luma(colour: np.ndarray) -> np.ndarray:
    """The brightness of colours, of the same kind of number.

    Args:
        colour: Unsigned whole numbers, [height, width, 3 or more]: red, green, blue.
    """
    if colour.dtype == np.uint8:
        parts = [Image.fromarray(np.ascontiguousarray(band[..., :3])) for band in bands(colour)]
        return np.concatenate([np.asarray(part.convert("L")) for part in parts])
    return np.concatenate(
        [np.rint(band[..., :3] @ LUMA).astype(colour.dtype) for band in bands(colour)]
    )
