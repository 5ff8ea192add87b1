"""Reads one image file, whoever wrote it, into pixels and the data contract's pixel features."""

import contextlib
import dataclasses
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator

import imagehash
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from tfxray.components.guard import codestream, file_kinds
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits, Rejected
from tfxray.components.pixels import deep_colour, grey, look, orientation, png, tiff

# Kept byte for byte, where TensorFlow's decoder sees in them what we see. All else becomes PNG.
KEPT_FORMATS = {"JPEG": "jpeg", "PNG": "png"}
READ_FORMATS = (*KEPT_FORMATS, "BMP", "TIFF", "WEBP")
# Pillow learns a format when its module is imported, and how such a file begins with it.
_PLUGINS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
# The limit is ours, checked before anything is decoded; Pillow's own would warn at half of it.
Image.MAX_IMAGE_PIXELS = None
# What Pillow minds without failing is no news. Set once: to set it per image is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)

_HASHED_SIZE = 64  # pixels on each side that imagehash.phash looks at, for 256 bits
# What is converted to 8-bit grey as it is. Any other mode is deep, or is not known here.
_SHALLOW_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# A file with more bytes than this, and than this for each pixel, holds something besides its image.
_SPARE_BYTES, _BYTES_PER_PIXEL = 2**20, 8
_LONGEST_SIDE = 1_000_000  # of a PNG, for libpng
# Pillow's decoder of WebP holds four copies of the image in four channels: three times as much as
# that of any other format.
_WEBP_COST = 3
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF


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
        notes: What was not as it should be, and how it was read all the same: one of a few fixed
            texts each, which quotes nothing of the file.
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
    notes: tuple[str, ...] = ()


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
    with _open_image(encoded, limits) as image:
        read = _read_pixels(image, encoded)
    return measure_pixels(read.pixels, encoded, read.kind, read.notes)


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
        read = _read_pixels(image, encoded)
    kept = read.kind in KEPT_FORMATS and not _holds_more(encoded, read.pixels.size)
    return encoded if kept else encode_png(read.pixels, compress_level=1)


def _holds_more(encoded: bytes, pixels: int) -> bool:
    """Whether a file is far larger than its image: such a file is not passed on as it is."""
    return len(encoded) > _SPARE_BYTES + _BYTES_PER_PIXEL * pixels


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    """Whether TensorFlow's decoder sees the pixels that we see, as far as the head tells."""
    if _holds_more(encoded, image.width * image.height):
        return False
    if image.format == "JPEG":
        plain = image.mode in ("L", "RGB") and codestream.is_usual_jpeg(encoded)
        return plain and orientation.read_orientation(image) == 1
    grey_png = image.format == "PNG" and image.mode in ("1", "L", "LA")
    return grey_png and png.is_sound(encoded) and not png.may_turn(encoded)


def encode_png(pixels: np.ndarray, **options: int) -> bytes:
    """Grey pixels, uint8 of shape [height, width], as PNG; `options` are Pillow's."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def measure_pixels(
    pixels: np.ndarray,
    encoded: bytes | None = None,
    kind: str = "",
    notes: tuple[str, ...] = (),
) -> XRay:
    """Describes pixels by the contract.

    Args:
        pixels: uint8 of shape [height, width].
        encoded: The file, where it may be kept.
        kind: Its format, `JPEG` or `PNG`; any other is written anew, as PNG.
        notes: See `XRay`.
    """
    if encoded is None or kind not in KEPT_FORMATS or _holds_more(encoded, pixels.size):
        encoded, kind = encode_png(pixels), "PNG"
    height, width = pixels.shape
    measures, rows = look.measure_rows(pixels)
    return XRay(
        encoded=encoded,
        format=KEPT_FORMATS[kind],
        height=height,
        width=width,
        sha256=_digest(pixels),
        mean=measures.mean,
        std=measures.std,
        sharpness=measures.sharpness,
        phash=perceptual_hash(rows),
        notes=notes,
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
        read = _read_pixels(image, encoded)
    return read.kind, read.pixels


@contextlib.contextmanager
def _open_image(encoded: bytes, limits: Limits) -> Iterator[Image.Image]:
    """An image, not decoded yet; what is raised meanwhile becomes a reject."""
    try:
        # Pillow looks through all that comes before the pixels, in Python.
        codestream.check_jpeg_head(encoded)
        for _ in png.chunks(encoded):
            pass
        with Image.open(io.BytesIO(encoded), formats=READ_FORMATS) as image:
            _choose_frame(image)
            _check_size(image, encoded, limits)
            yield image
    except UnidentifiedImageError:
        raise _unidentified(encoded) from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError) as error:
        unknown = any(word in str(error).lower() for word in ("unsupported", "unknown raw mode"))
        raise Rejected("unknown_form" if unknown else "truncated", str(error)) from None


def _unidentified(encoded: bytes) -> Rejected:
    """Why Pillow does not open a file."""
    kind = next((kind for kind in READ_FORMATS if _begins_like(kind, encoded)), None)
    if kind is None:
        return file_kinds.name_kind(encoded[: file_kinds.HEAD])
    form = tiff.describe(encoded) if kind == "TIFF" else None
    if form:
        return Rejected("unknown_form", form)
    return Rejected("truncated", f"begins as {kind}, and its head is damaged or ends early")


def _choose_frame(image: Image.Image) -> None:
    """Goes to the one image that the file holds.

    Raises:
        Rejected: There are several.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tiff.choose_page(image)
    # Beside a photograph, phones put a second picture (MPO); the first is the image.
    elif image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise Rejected("multi_frame", f"{image.format} of several frames")


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
    if max(image.size) > _LONGEST_SIDE:
        raise Rejected("too_large", f"a side of more than {_LONGEST_SIDE} pixels")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        codestream.check_scans(encoded, image.width * image.height, limits)


@dataclasses.dataclass(frozen=True)
class _Read:
    """An image in 8-bit grey, upright.

    Attributes:
        kind: Pillow's name of the format; empty where TensorFlow's decoder would see other pixels,
            or refuse the file.
        pixels: uint8 of shape [height, width].
        notes: See `XRay`.
    """

    kind: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def _read_pixels(image: Image.Image, encoded: bytes) -> _Read:
    tiff_image = image if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if deep_colour.is_deep_colour(image):
        colours = deep_colour.read_colours(encoded, image, _choose_frame)
        read = _read_deep(colours if colours.ndim == 2 else grey.luma(colours), image, encoded)
        read = dataclasses.replace(read, kind="")
    elif tiff_image and tiff.is_deep(tiff_image):
        read = _read_deep(tiff.read_levels(tiff_image), image, encoded)
    elif image.mode.startswith("I"):
        read = _read_deep(np.asarray(image), image, encoded)
    elif image.mode in _SHALLOW_MODES:
        read = _read_shallow(image, encoded)
    else:
        raise Rejected("unknown_form", f"{image.format} of colours that Pillow names {image.mode}")
    # A PNG may ask to be turned behind its pixels, too. Pillow turns a TIFF by itself.
    turn = orientation.read_orientation(image)
    # TensorFlow's decoder does not turn images.
    return read if turn == 1 else _Read("", orientation.upright(read.pixels, turn), read.notes)


def _read_deep(stored: np.ndarray, image: Image.Image, encoded: bytes) -> _Read:
    """Shows levels other than 0..255; see `grey.file_span`."""
    kind, inverted, declared = image.format or "", False, None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        inverted, declared = tiff.is_white_zero(image), tiff.declared_top(image)
    elif kind == "PNG":
        kind = _checked_png(image, encoded)
        bits = png.significant_bits(encoded)
        declared = 2**bits - 1 if bits else None
    levels = grey.count_levels(stored)
    span = grey.file_span(levels, declared)
    pixels = grey.look_up(stored, levels, grey.to_shades(levels.values, span, inverted))
    notes = () if grey.all_finite(stored, levels) else (grey.NOT_FINITE,)
    # TensorFlow's decoder takes the upper byte, which holds next to nothing of 12 bits.
    kept = kind if span == grey.Span(0, 2**16 - 1) else ""
    return _Read(kept, pixels, notes)


def _read_shallow(image: Image.Image, encoded: bytes) -> _Read:
    kind = image.format or ""
    if kind == "JPEG":
        if image.mode == "RGB":
            image.draft("L", image.size)  # gives its grey channel at once
        if image.mode == "CMYK" or not codestream.is_usual_jpeg(encoded):
            kind = ""
    image.load()
    if kind == "PNG":
        kind = _checked_png(image, encoded)
        kind = kind if png.is_grey(image) else ""
    return _Read(kind, np.asarray(image if image.mode == "L" else image.convert("L")))


def _checked_png(image: Image.Image, encoded: bytes) -> str:
    """The format of a PNG that has all of its rows: none where libpng would refuse the file."""
    sound = png.is_sound(encoded)
    png.check_rows(encoded, image, sound)
    return "PNG" if sound else ""
