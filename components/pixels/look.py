"""How 8-bit grey pixels look, in numbers: what makes the drift of pixels visible."""

import dataclasses
import math

import numpy as np
from PIL import Image

_LEVELS = np.arange(256.0)
_MEASURED_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Look:
    """How pixels look.

    Attributes:
        mean: Brightness, 0..255.
        std: Contrast, 0..255.
        sharpness: Variance of the Laplacian, in squared grey levels.
    """

    mean: float
    std: float
    sharpness: float


def measure_look(pixels: np.ndarray) -> Look:
    """Brightness, contrast and sharpness.

    Args:
        pixels: uint8 of shape [height, width].
    """
    return measure_rows(pixels)[0]


def measure_rows(pixels: np.ndarray) -> tuple[Look, Image.Image]:
    """The same; and the rows that were measured, as an image.

    Args:
        pixels: See `measure_look`.
    """
    # Of a large image, so many rows tell as much as all.
    step = max(1, len(pixels) // _MEASURED_ROWS)
    rows = Image.fromarray(np.ascontiguousarray(pixels[::step]))
    return Look(*_mean_and_std(rows), _sharpness(pixels, step)), rows


def _mean_and_std(image: Image.Image) -> tuple[float, float]:
    # From the histogram: many times faster than from the pixels.
    counts = np.asarray(image.histogram(), np.float64)
    share = counts / counts.sum()
    mean = float(share @ _LEVELS)
    return mean, math.sqrt(float(share @ (_LEVELS - mean) ** 2))


def _sharpness(pixels: np.ndarray, step: int) -> float:
    if min(pixels.shape) < 3:
        return 0.0
    inner = pixels.shape[0] - 2
    above, here, below = (pixels[i : inner + i : step] for i in range(3))
    laplacian = here[:, 1:-1].astype(np.int16) * -4
    for neighbour in (above[:, 1:-1], below[:, 1:-1], here[:, :-2], here[:, 2:]):
        laplacian += neighbour
    values = laplacian.ravel().astype(np.float32)
    return float(np.dot(values, values) / values.size - values.mean() ** 2)
