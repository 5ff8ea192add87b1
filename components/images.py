"""Reads one image file, whoever wrote it, into pixels and the data contract's pixel features."""

import dataclasses
import hashlib
import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

# Kept byte for byte; TensorFlow's decoder reads these two. Others are written again as PNG.
KEPT_FORMATS = {"JPEG": "jpeg", "PNG": "png"}
READ_FORMATS = (*KEPT_FORMATS, "BMP", "TIFF", "WEBP")
MAX_PIXELS = 200_000_000


class Rejected(Exception):
    """This one image cannot be used; the message is the reason, for `rejects.csv`."""


@dataclasses.dataclass(frozen=True)
class XRay:
    """One image, read.

    Attributes:
        encoded: JPEG or PNG, as found.
        format: `jpeg` or `png`.
        height: Pixels.
        width: Pixels.
        sha256: Digest of the decoded grey pixels, hexadecimal.
        mean: Brightness, 0..255.
        std: Contrast, 0..255.
        sharpness: Variance of the Laplacian, in squared grey levels.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    sha256: str
    mean: float
    std: float
    sharpness: float


def read(encoded: bytes) -> XRay:
    """Decodes an image and measures it.

    Args:
        encoded: The file's bytes: JPEG, PNG, BMP, TIFF or WebP, in any colour mode.

    Raises:
        Rejected: Empty, truncated, too large, or no image of these kinds.
    """
    if not encoded:
        raise Rejected("empty file")
    kind, pixels = decode_grey(encoded)
    if kind not in KEPT_FORMATS:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded, kind = buffer.getvalue(), "PNG"
    height, width = pixels.shape
    return XRay(
        encoded=encoded,
        format=KEPT_FORMATS[kind],
        height=height,
        width=width,
        sha256=hashlib.sha256(b"%dx%d:" % (height, width) + pixels.tobytes()).hexdigest(),
        mean=float(pixels.mean()),
        std=float(pixels.std()),
        sharpness=_sharpness(pixels),
    )


def decode_grey(encoded: bytes) -> tuple[str, np.ndarray]:
    """Decodes to 8-bit grey.

    Returns:
        Pillow's name of the format, and uint8 pixels of shape [height, width].

    Raises:
        Rejected: See `read`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=READ_FORMATS) as image:
                kind = image.format or ""
                if image.width * image.height > MAX_PIXELS:
                    raise Rejected(f"too large: {image.width} x {image.height} pixels")
                if image.mode == "RGB":
                    image.draft("L", image.size)  # a JPEG gives its grey channel at once
                return kind, _grey(image)
    except UnidentifiedImageError:
        raise Rejected("not an image that can be read") from None
    except Image.DecompressionBombError:
        raise Rejected("too large: decompression bomb") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise Rejected(f"damaged: {error}") from None


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image)
        return (deep.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _sharpness(pixels: np.ndarray) -> float:
    if min(pixels.shape) < 3:
        return 0.0
    p = pixels.astype(np.int16)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    return float(np.var(laplacian, dtype=np.float32))
