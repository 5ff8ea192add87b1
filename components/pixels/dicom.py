"""Reads a DICOM file: its pixels as a radiologist sees them, and a whitelist of its tags."""

import io
import itertools
import logging
import math
import warnings
import zlib

import numpy as np
import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.encaps import generate_fragments, get_frame
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import get_decoder
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from tfxray.components.common import privacy
from tfxray.components.guard import codestream
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits, Rejected
from tfxray.components.metadata.known import read_tags
from tfxray.components.pixels import display, grey

# Everything that leaves a DICOM file besides its pixels; PatientID only as a pseudonym.
WHITELIST = ("PatientAge", "PatientSex", "ViewPosition", "PatientID")
# Those, and what the pixels need. No other is kept in memory: a file may hold millions.
_TAGS = [Tag(name) for name in (
    *WHITELIST, "SpecificCharacterSet", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns",
    "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "ModalityLUTSequence",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "VOILUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction", *display.PALETTE, "FloatPixelData", "DoubleFloatPixelData",
    "PixelData", *(f"{kind}{end}" for kind in ("Float", "DoubleFloat") for end in display.PADDING),
)]  # fmt: skip
# An enhanced image has its rescale and window there; they may hold millions of items.
_GROUPS = (Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence"))
# How a frame begins: JPEG and JPEG-LS, JPEG 2000, and JPEG XL.
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0c")
_MOST_FRAGMENTS = 100_000
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_META_START = 132  # behind the preamble and the mark
_BYTES_PER_PIXEL = 4  # a decoded image may have so many
_END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF  # a length
_GREY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
# pydicom makes RGB of all of these, or its decoders do.
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_ALLOCATED = (1, 8, 16, 32, 64)

# pydicom warns of odd values by quoting them, as warnings and in a log of its own. Both are shut
# for good, not around each call: that would not hold for several threads.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module="pydicom")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_dicom(
    encoded: bytes, limits: Limits = DEFAULT_LIMITS, notes: list[str] | None = None
) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes a DICOM file of one frame.

    The modality's rescale and the VOI LUT or the window are applied, MONOCHROME1 is inverted, and
    padding shows as black. What of these is empty or odd is left out; see `display.shades`.

    Args:
        encoded: The file; without preamble, mark and transfer syntax, too.
        limits: What the file may take.
        notes: Takes what was left out, by the keywords of its tags.

    Returns:
        uint8 pixels of shape [height, width]; and what the whitelisted tags say, see
        `known.read_tags`: the patient's id is raw, and has to be made a pseudonym.

    Raises:
        Rejected: Several frames, too large, too slow, no pixels, cut, damaged, or of a form or
            transfer syntax that is not read.
    """
    # Damage shows in many ways. pydicom's messages may quote tags: only the errors' types are told.
    try:
        dataset = _parse(encoded, limits)
        notes = [] if notes is None else notes
        _check_form(dataset, limits, notes)
    except (Rejected, MemoryError):
        raise
    except Exception as error:
        raise Rejected("truncated", f"its tags cannot be read: {type(error).__name__}") from None
    try:
        _check_frame(dataset, limits)
        return _pixels(dataset, notes), _metadata(dataset)
    except (Rejected, MemoryError):
        raise
    except Exception as error:
        detail = f"the image within cannot be decoded: {type(error).__name__}"
        raise Rejected("truncated", f"{detail}; transfer syntax {_syntax(dataset)}") from None


def _parse(encoded: bytes, limits: Limits) -> pydicom.Dataset:
    """The tags that are needed, those of the file's meta information among them.

    Raises:
        Rejected: It is no DICOM, holds no image, or ends before its pixels end.
    """
    file = io.BytesIO(encoded)
    reach = _Reach(file, len(encoded))
    if privacy.lacks_header(encoded):
        dataset: pydicom.Dataset = read_partial(file, reach.note, force=True, specific_tags=_TAGS)
        if "Rows" not in dataset and not any(keyword in dataset for keyword in _PIXELS):
            raise Rejected("not_an_image", "begins as DICOM without a header, and holds no image")
    else:
        file.seek(_META_START)
        # By PS3.10, these are never deflated; all behind them is, where they say so.
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            file.seek(0)
            dataset = read_partial(file, reach.note, specific_tags=_TAGS)
        else:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            inflated = inflater.decompress(encoded[file.tell() :], limits.bytes)
            if inflater.unconsumed_tail:
                raise Rejected("too_large", f"more than {limits.bytes} bytes when inflated")
            reach = _Reach(io.BytesIO(inflated), len(inflated))
            dataset = read_dataset(
                reach.file, False, True, stop_when=reach.note, specific_tags=_TAGS
            )
            dataset.file_meta = pydicom.dataset.FileMetaDataset(meta)
    reach.check(dataset)
    if reach.groups and _whole(dataset, "NumberOfFrames", 1) < 2:
        raise Rejected("unknown_form", "an enhanced image, whose functional groups are not read")
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _guess_syntax(dataset)
    return dataset


class _Reach:
    """Sees how far a file's tags say that it reaches: pydicom reads a file that ends early.

    Attributes:
        file: What is read.
        groups: Whether it has functional groups.
    """

    def __init__(self, file: io.BytesIO, size: int):
        self.file, self._size, self.groups = file, size, False
        self._tag, self._end = BaseTag(0), 0

    def note(self, tag: BaseTag, _: str | None, length: int) -> bool:
        """Called by pydicom ahead of each value, to ask whether it shall stop."""
        self._tag = tag
        self.groups = self.groups or tag in _GROUPS
        self._end = _UNDEFINED if length == _UNDEFINED else self.file.tell() + length
        return False

    def check(self, dataset: pydicom.Dataset) -> None:
        """Passes a file that is whole, up to its pixels.

        Raises:
            Rejected: It ends early.
        """
        pixels = next((keyword for keyword in _PIXELS if keyword in dataset), None)
        if pixels:
            element = dataset.get_item(pixels)
            found, length = len(element.value or b""), element.length or 0
            if length != _UNDEFINED and found < length:
                raise Rejected("truncated", f"{pixels} holds {found} of {length} bytes")
            return
        self.file.seek(max(0, self._size - len(_END_OF_SEQUENCE)))
        open_end = self._end == _UNDEFINED and self.file.read() != _END_OF_SEQUENCE
        if open_end or (self._end != _UNDEFINED and self._end != self._size):
            name = keyword_for_tag(self._tag) or "a private tag"
            raise Rejected("truncated", f"the file ends within {name}, or behind it")


def _guess_syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax by which pydicom read a file that does not tell it.

    Raises:
        Rejected: The pixels are compressed, and nothing tells how.
    """
    if any(dataset.get_item(k).length == _UNDEFINED for k in _PIXELS if k in dataset):
        raise Rejected("unknown_form", "compressed, and TransferSyntaxUID is missing")
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_form(dataset: pydicom.Dataset, limits: Limits, notes: list[str]) -> None:
    """Checks the tags that say how the pixels are stored, and fills in those that may be missing.

    Raises:
        Rejected: Several frames, too large, no pixels, too few of them, or a form that is not read.
    """
    frames = _whole(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise Rejected("multi_frame", f"{frames} frames")
    pixels = next((keyword for keyword in _PIXELS if dataset.get_item(keyword)), None)
    if pixels is None or not dataset.get_item(pixels).value:
        raise Rejected("no_pixels", "the file holds no pixel data")
    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    samples = _whole(dataset, "SamplesPerPixel", 1)
    allocated = _whole(dataset, "BitsAllocated", {"PixelData": None}.get(pixels, 32))
    stored = _whole(dataset, "BitsStored", allocated)
    _whole(dataset, "HighBit", stored - 1)
    _whole(dataset, "PixelRepresentation", 0)
    if rows < 1 or columns < 1:
        raise Rejected("no_pixels", f"Rows is {rows}, Columns is {columns}")
    pixel_bytes = samples * allocated / 8
    if max(1, pixel_bytes / _BYTES_PER_PIXEL) * rows * columns > limits.pixels:
        raise Rejected("too_large", f"{columns} x {rows} pixels of {pixel_bytes:g} bytes")
    if allocated not in _ALLOCATED or not 1 <= stored <= allocated:
        raise Rejected("unknown_form", f"BitsAllocated is {allocated}, BitsStored is {stored}")
    colour = display.read_text(dataset, "PhotometricInterpretation")
    if not colour and samples == 1:
        notes.append("PhotometricInterpretation is empty; taken as MONOCHROME2")
        colour = _GREY[1]
    if colour not in ((*_GREY, _PALETTE) if samples == 1 else _COLOURS) or samples not in (1, 3):
        known = colour in (*_GREY, _PALETTE, *_COLOURS)
        name = colour if known else "none that is read"
        raise Rejected(
            "unknown_form", f"SamplesPerPixel is {samples}, PhotometricInterpretation is {name}"
        )
    dataset.PhotometricInterpretation = colour
    if samples == 3:
        _whole(dataset, "PlanarConfiguration", 0)
    if not _is_compressed(dataset):
        size = rows * columns * pixel_bytes * (2 / 3 if colour == "YBR_FULL_422" else 1)
        found = len(dataset.get_item(pixels).value)
        if found < math.ceil(size):
            raise Rejected("truncated", f"{pixels} holds {found} of {math.ceil(size)} bytes")
        if found >= 2 * size and allocated > 1:
            raise Rejected("multi_frame", f"{pixels} holds {found / size:g} frames; no tag says so")
        if allocated > 8 and colour.startswith("YBR"):  # pydicom makes RGB of 8 bits alone
            raise Rejected("unknown_form", f"{colour} of {allocated} bits")


def _is_compressed(dataset: pydicom.Dataset) -> bool:
    try:
        return bool(dataset.file_meta.TransferSyntaxUID.is_compressed)
    except ValueError:  # pydicom's words quote it
        raise Rejected("unknown_form", "TransferSyntaxUID names no transfer syntax") from None


def _whole(dataset: pydicom.Dataset, keyword: str, default: int | None = None) -> int:
    """A whole number, which the dataset then has, too.

    Raises:
        Rejected: It is missing or odd, and there is no default.
    """
    number = next(iter(display.read_numbers(dataset, keyword)), None)
    if number is None or not number.is_integer():
        if default is None:
            raise Rejected("unknown_form", f"{keyword} is missing, or no whole number")
        number = default
    setattr(dataset, keyword, int(number))
    return int(number)


def _check_frame(dataset: pydicom.Dataset, limits: Limits) -> None:
    """Looks at the header of a compressed image, which its decoder goes by.

    Raises:
        Rejected: It is another size than the file's tags tell, asks for too much, or is compressed
            in a way that no decoder here reads.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not _is_compressed(dataset):
        return
    if dataset.get_item("PixelData").length != _UNDEFINED:
        raise Rejected(
            "unknown_form", f"not compressed, and the transfer syntax {_syntax(dataset)}"
        )
    _check_decoder(dataset)
    _check_fragments(dataset)
    expected = codestream.Frame(dataset.Columns, dataset.Rows, dataset.SamplesPerPixel)
    encoded = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        codestream.check_rle(encoded, expected.width * expected.height)
        return
    frame = codestream.read_frame(encoded)
    if frame is None:
        raise Rejected("no_pixels", f"no image of the transfer syntax {_syntax(dataset)}")
    if frame != expected:
        larger = frame.width * frame.height > expected.width * expected.height
        raise Rejected(
            "too_large" if larger else "damaged",
            f"{frame.width} x {frame.height} pixels in {frame.components} channels, where its tags "
            f"say {expected.width} x {expected.height} in {expected.components}",
        )
    codestream.check_scans(encoded, frame.width * frame.height, limits)


def _check_fragments(dataset: pydicom.Dataset) -> None:
    """Finds frames that no tag counts. A frame of RLE has one fragment; others begin with a mark.

    Raises:
        Rejected: There are several.
    """
    starts = [
        fragment[:4]
        for fragment in itertools.islice(generate_fragments(dataset.PixelData), 1, _MOST_FRAGMENTS)
    ]  # the first one is the table of offsets
    if dataset.file_meta.TransferSyntaxUID != RLELossless:
        starts = [start for start in starts if start.startswith(_FRAME_STARTS)]
    if len(starts) > 1:
        raise Rejected("multi_frame", f"PixelData holds {len(starts)} frames; no tag says so")


def _check_decoder(dataset: pydicom.Dataset) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    # Of this one, the decoders here read images of 8 bits alone.
    if not readable or (syntax == JPEGExtended12Bit and dataset.BitsStored != 8):
        detail = f"BitsStored is {dataset.BitsStored}, the transfer syntax {_syntax(dataset)}"
        raise Rejected("unknown_form", f"no decoder: {detail}")


def _syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax by its name in the standard; what stands in its place is not told."""
    uid = dataset.file_meta.get("TransferSyntaxUID")
    name = str(getattr(uid, "name", uid))
    return "unknown" if name == str(uid) else name


def _pixels(dataset: pydicom.Dataset, notes: list[str]) -> np.ndarray:
    stored, high = dataset.BitsStored, dataset.HighBit
    native = not _is_compressed(dataset)
    # Levels that do not end with their lowest bit: once allowed, and not known to pydicom.
    shift = high + 1 - stored if native and stored <= high < dataset.BitsAllocated else 0
    dataset.BitsStored = stored + shift
    raw = dataset.pixel_array
    dataset.BitsStored = stored
    if shift and raw.dtype.kind in "iu":
        raw = raw >> shift
    if raw.ndim != (2 if dataset.SamplesPerPixel == 1 else 3):
        raise Rejected("multi_frame", "PixelData holds several frames; no tag says so")
    if raw.ndim == 3:
        return _show_colours(raw, stored, int(dataset.BitsAllocated))
    levels = grey.count_levels(raw)
    if not grey.all_finite(raw, levels):
        notes.append(grey.NOT_FINITE)
    if dataset.PhotometricInterpretation == _PALETTE:
        return grey.look_up(raw, levels, display.palette_shades(dataset, levels.values))
    shown = levels.only(~_is_padding(dataset, levels.values))
    # Padding is in no range, and shows as the black around an image.
    return grey.look_up(raw, shown, display.shades(dataset, shown, notes))


def _show_colours(colours: np.ndarray, stored: int, allocated: int) -> np.ndarray:
    if colours.dtype.kind == "i":  # the least number is the least intensity: PS3.3 C.7.6.3.1.2
        colours = colours.astype(np.int32) + 2 ** (stored - 1)
    luma = grey.luma(colours)
    levels = grey.count_levels(luma)
    # BitsStored tells the depth, but for 12 bits in 16 whose writer did not set it.
    span = grey.Span(0, 2**stored - 1)
    if stored == allocated == 16:
        span = grey.file_span(levels)
    return grey.look_up(luma, levels, grey.to_shades(levels.values, span))


def _is_padding(dataset: pydicom.Dataset, values: np.ndarray) -> np.ndarray:
    """Which stored values only fill an image up to a rectangle: PS3.3 C.7.5.1.1.2."""
    ends = []
    # Of float pixels, the tags have names of their own: PS3.3 C.7.6.24 and C.7.6.25.
    whole = values.dtype.kind in "iu"
    kind = "" if whole else "DoubleFloat" if "DoubleFloatPixelData" in dataset else "Float"
    for end in display.PADDING:
        number = next(iter(display.read_numbers(dataset, f"{kind}{end}")), None)
        if number is None:
            break
        size = 2**dataset.BitsAllocated
        if whole and dataset.PixelRepresentation and number >= size / 2:
            number -= size  # a signed number, read as an unsigned one
        ends.append(number)
    if not ends:
        return np.zeros(values.shape, bool)
    return (values >= min(ends)) & (values <= max(ends))


def _metadata(dataset: pydicom.Dataset) -> dict[str, str]:
    return read_tags({tag: str(dataset.get(tag) or "") for tag in WHITELIST})
