"""Reads one image file, whoever wrote it, into pixels and the data contract's pixel features."""

import contextlib
import dataclasses
import hashlib
import io
import math
import warnings
from collections.abc import Iterator

import imagehash
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from tfxray.components.guard import codestream
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits, Rejected
from tfxray.components.pixels import orientation

# Kept byte for byte, where TensorFlow's decoder sees in them what we see. All else becomes PNG.
KEPT_FORMATS = {"JPEG": "jpeg", "PNG": "png"}
READ_FORMATS = (*KEPT_FORMATS, "BMP", "TIFF", "WEBP")
# Pillow learns a format when its module is imported, and how such a file begins with it.
_PLUGINS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
# The limit is ours, checked before anything is decoded; Pillow's own would warn at half of it.
Image.MAX_IMAGE_PIXELS = None
# What Pillow minds without failing is no news. Set once: to set it per image is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")

_LEVELS = np.arange(256.0)
_MEASURED_ROWS = 256
_HASHED_SIZE = 64  # pixels on each side that imagehash.phash looks at, for 256 bits
# Modes whose pixels TensorFlow's decoder sees as we do.
_PLAIN_MODES = ("L", "LA", "RGB", "RGBA", "P", "1")
# Beginnings of the chunks of a PNG that may ask a viewer to turn it, also behind its pixels.
_MAY_TURN = (b"eXIf", *(k + t for k in (b"tEXt", b"zTXt", b"iTXt") for t in (b"Raw ", b"XML:")))
# A file with more bytes than this, and than this for each pixel, holds something besides its image.
_SPARE_BYTES, _BYTES_PER_PIXEL = 2**20, 8
_MOST_CHUNKS = 100_000  # of a PNG: 5,000 hold 40 MB as libpng cuts them
# Pillow's decoder of WebP holds four copies of the image in four channels: three times as much as
# that of any other format.
_WEBP_COST = 3
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF
_BAND_PIXELS = 2**20  # of a deep image, so many are scaled at a time
_SIXTEEN_BITS = 2**14  # a grey level that only an image of 16 bits holds


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
        phash: Perceptual hash, 256 bits, hexadecimal: alike where the images look alike.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    sha256: str
    mean: float
    std: float
    sharpness: float
    phash: str


def may_be_image(head: bytes) -> bool:
    """Whether a file that begins so may be an image: it bears the mark of a format that is read.

    Args:
        head: The first 16 bytes, or more.
    """
    return any(_begins_like(kind, head) for kind in READ_FORMATS)


def is_simple(head: bytes) -> bool:
    """Whether a file that begins so is JPEG or PNG, whose cost is known before they are decoded."""
    return any(_begins_like(kind, head) for kind in KEPT_FORMATS)


def _begins_like(kind: str, head: bytes) -> bool:
    accept = Image.OPEN[kind][1]
    return bool(accept and accept(head[:16]) is True)


def read_image(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> XRay:
    """Decodes an image and measures it.

    Args:
        encoded: The file's bytes: JPEG, PNG, BMP, TIFF or WebP, in any colour mode.
        limits: What the file may take.

    Raises:
        Rejected: Empty, truncated, too large, too slow, or no image of these kinds.
    """
    if not encoded:
        raise Rejected("empty")
    kind, pixels = decode_grey(encoded, limits)
    return measure_pixels(pixels, encoded, kind)


def decodable(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """An image as TensorFlow's decoder takes it, with the pixels that `read_image` sees.

    What can be kept is not decoded, so that damage within is not found: TensorFlow finds it.

    Args:
        encoded: As of `read_image`.
        limits: What the file may take.

    Returns:
        The file as found, or a PNG.

    Raises:
        Rejected: See `read_image`.
    """
    if not encoded:
        raise Rejected("empty")
    with _open_image(encoded, limits) as image:
        if _is_plain(image, encoded):
            return encoded
        kind, pixels = _upright(image)
    kept = kind in KEPT_FORMATS and not _holds_more(encoded, pixels.size)
    return encoded if kept else encode_png(pixels, compress_level=1)


def _holds_more(encoded: bytes, pixels: int) -> bool:
    """Whether a file is far larger than its image: such a file is not passed on as it is."""
    return len(encoded) > _SPARE_BYTES + _BYTES_PER_PIXEL * pixels


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    if image.mode not in _PLAIN_MODES or _holds_more(encoded, image.width * image.height):
        return False
    if image.format == "PNG":  # to ask it for its orientation would decode it
        return not any(chunk.startswith(_MAY_TURN) for chunk in _png_chunks(encoded))
    return image.format == "JPEG" and orientation.read_orientation(image) == 1


def _png_chunks(encoded: bytes) -> Iterator[bytes]:
    """The beginning of each chunk of a PNG up to its end, its type first; none of another file."""
    place = 8 if _begins_like("PNG", encoded) else len(encoded)
    while place < len(encoded) and not encoded.startswith(b"IEND", place + 4):
        yield encoded[place + 4 : place + 12]
        place += 12 + int.from_bytes(encoded[place : place + 4], "big")


def encode_png(pixels: np.ndarray, **options: int) -> bytes:
    """Grey pixels, uint8 of shape [height, width], as PNG; `options` are Pillow's."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def measure_pixels(pixels: np.ndarray, encoded: bytes | None = None, kind: str = "") -> XRay:
    """Describes pixels by the contract.

    Args:
        pixels: uint8 of shape [height, width].
        encoded: The file, where it may be kept.
        kind: Its format, `JPEG` or `PNG`; any other is written anew, as PNG.
    """
    if encoded is None or kind not in KEPT_FORMATS or _holds_more(encoded, pixels.size):
        encoded, kind = encode_png(pixels), "PNG"
    height, width = pixels.shape
    # Of a large image, so many rows tell as much as all, except for the digest.
    step = max(1, height // _MEASURED_ROWS)
    rows = Image.fromarray(np.ascontiguousarray(pixels[::step]))
    mean, std = _mean_and_std(rows)
    return XRay(
        encoded=encoded,
        format=KEPT_FORMATS[kind],
        height=height,
        width=width,
        sha256=_digest(pixels),
        mean=mean,
        std=std,
        sharpness=_sharpness(pixels, step),
        phash=perceptual_hash(rows),
    )


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.sha256(b"%dx%d:" % pixels.shape)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(image: Image.Image) -> str:
    """256 bits of the image's lowest frequencies, in hexadecimal.

    Args:
        image: Grey, in 8 bits.
    """
    # ImageHash would scale to this size by itself, and take all of the way by a wide filter.
    size = (_HASHED_SIZE, _HASHED_SIZE)
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=1.0)
    bits = imagehash.phash(small, hash_size=16).hash
    return np.packbits(bits).tobytes().hex()


def decode_grey(encoded: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[str, np.ndarray]:
    """Decodes to 8-bit grey, upright.

    Returns:
        Pillow's name of the format, empty where TensorFlow's decoder would see other pixels; and
        uint8 pixels of shape [height, width].

    Raises:
        Rejected: See `read_image`.
    """
    with _open_image(encoded, limits) as image:
        return _upright(image)


@contextlib.contextmanager
def _open_image(encoded: bytes, limits: Limits) -> Iterator[Image.Image]:
    """An image, not decoded yet; what is raised meanwhile becomes a reject."""
    try:
        # Pillow looks through all that comes before the pixels, in Python.
        codestream.check_jpeg_head(encoded)
        if any(number == _MOST_CHUNKS for number, _ in enumerate(_png_chunks(encoded))):
            raise Rejected("too_slow", f"a PNG of more than {_MOST_CHUNKS} chunks")
        with Image.open(io.BytesIO(encoded), formats=READ_FORMATS) as image:
            _check_size(image, encoded, limits)
            yield image
    except UnidentifiedImageError:
        raise Rejected("not_an_image") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Rejected("truncated", str(error)) from None


def _check_size(image: Image.Image, encoded: bytes, limits: Limits) -> None:
    """Looks at what decoding will take.

    Raises:
        Rejected: It is more than the limits allow.
    """
    sides = [(image.width, image.height)]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # A tile is decoded whole, however little of it lies within the image.
        sides.append((image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_LENGTH, 0)))
    for width, height in sides:
        if width * height * (_WEBP_COST if image.format == "WEBP" else 1) > limits.pixels:
            raise Rejected("too_large", f"{width} x {height} pixels")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        codestream.check_scans(encoded, image.width * image.height, limits)


def _upright(image: Image.Image) -> tuple[str, np.ndarray]:
    kind = image.format or ""
    if image.mode == "RGB":
        image.draft("L", image.size)  # a JPEG gives its grey channel at once
    if image.mode in ("CMYK", "F"):
        kind = ""
    if image.mode.startswith("I") and _top(image) < _SIXTEEN_BITS:
        kind = ""  # TensorFlow's decoder takes the upper byte, which holds next to nothing
    if orientation.read_orientation(image) != 1:
        kind = ""  # TensorFlow's decoder does not turn images
        image = ImageOps.exif_transpose(image)
    return kind, _grey(image)


def _grey(image: Image.Image) -> np.ndarray:
    if not image.mode.startswith("I") and image.mode != "F":
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    # By bands of rows: as numbers, all of a deep image would take many times its own memory.
    top, rows = _top(image), max(1, _BAND_PIXELS // image.width)
    grey = np.empty((image.height, image.width), np.uint8)
    for start in range(0, image.height, rows):
        end = min(start + rows, image.height)
        band = np.asarray(image.crop((0, start, image.width, end)))
        grey[start:end] = to_8_bits(band, top)
    return grey


def _top(image: Image.Image) -> float:
    """The highest grey level of a deep image."""
    _, top = np.ravel(image.getextrema())
    return max(0.0, float(top))


def to_8_bits(deep: np.ndarray, top: float) -> np.ndarray:
    """Scales deep grey levels: from 8, 10, 12, 14 or 16 bits, whichever holds the highest.

    A detector of 12 bits that writes 16-bit files fills a sixteenth of their range; read as 16
    bits, the image would be black.

    Args:
        deep: Grey levels, of a whole image or of some rows.
        top: The highest of the whole image.
    """
    if np.issubdtype(deep.dtype, np.integer) and _SIXTEEN_BITS <= top < 2**16:
        return (np.clip(deep, 0, None) >> 8).astype(np.uint8)  # as TensorFlow's decoder does it
    full = next((2**b - 1 for b in (8, 10, 12, 14) if top < 2**b), top)
    return (np.clip(deep.astype(np.float32), 0, full) * (255 / full) + 0.5).astype(np.uint8)


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
