"""Reads a DICOM file: its pixels as a radiologist sees them, and a whitelist of its tags."""

import io
import logging
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tfxray.components.guard import codestream
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits, Rejected
from tfxray.components.metadata.known import read_tags

# Everything that leaves a DICOM file besides its pixels; PatientID only as a pseudonym.
WHITELIST = ("PatientAge", "PatientSex", "ViewPosition", "PatientID")
# Those, and what the pixels need. No other is kept in memory: a file may hold millions.
_TAGS = [Tag(name) for name in (
    *WHITELIST, "SpecificCharacterSet", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns",
    "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "VOILUTSequence", "WindowCenter", "WindowWidth",
    "VOILUTFunction", "PixelData",
)]  # fmt: skip
_META_START = 132  # behind the preamble and the mark
_BYTES_PER_PIXEL = 4  # a decoded image may have so many
_BAND_PIXELS = (
    2**20
)  # so many become grey levels at a time, which are numbers of 8 bytes on the way

# pydicom warns of odd values by quoting them, as warnings and in a log of its own. Both are shut
# for good, not around each call: that would not hold for several threads.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module="pydicom")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_dicom(
    encoded: bytes, limits: Limits = DEFAULT_LIMITS
) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes a DICOM file of one frame.

    The modality's rescale and the window or VOI LUT are applied, MONOCHROME1 is inverted.
    Without a window, the image's own range becomes black to white, as viewers do it.

    Args:
        encoded: The file.
        limits: What the file may take.

    Returns:
        uint8 pixels of shape [height, width]; and what the whitelisted tags say, see
        `known.read_tags`: the patient's id is raw, and has to be made a pseudonym.

    Raises:
        Rejected: Several frames, too large, too slow, no pixels, damaged, or a transfer syntax
            that no installed decoder reads.
    """
    # Damage shows in many ways. pydicom's messages may quote tags: only the errors' types are told.
    try:
        dataset = _parse(encoded, limits)
        frames = int(dataset.get("NumberOfFrames") or 1)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        samples = int(dataset.get("SamplesPerPixel") or 1)
        pixel_bytes = samples * int(dataset.get("BitsAllocated") or 8) / 8
    except (Rejected, MemoryError):
        raise
    except Exception as error:
        raise Rejected("truncated", type(error).__name__) from None
    if frames > 1:
        raise Rejected("multi_frame", f"{frames} frames")
    if not rows or not columns or "PixelData" not in dataset:
        raise Rejected("no_pixels", "the file holds no pixel data")
    if max(1, pixel_bytes / _BYTES_PER_PIXEL) * rows * columns > limits.pixels:
        raise Rejected("too_large", f"{columns} x {rows} pixels of {pixel_bytes:g} bytes")
    try:
        _check_frame(dataset, codestream.Frame(columns, rows, samples), limits)
        return _pixels(dataset), _metadata(dataset)
    except (Rejected, MemoryError):
        raise
    except Exception as error:
        detail = f"{type(error).__name__}; transfer syntax {_syntax(dataset)}"
        raise Rejected("no_pixels", detail) from None


def _parse(encoded: bytes, limits: Limits) -> pydicom.Dataset:
    """The tags that are needed, those of the file's meta information among them."""
    file = io.BytesIO(encoded)
    file.seek(_META_START)
    # By PS3.10, these are never deflated; all behind them is, where they say so.
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(io.BytesIO(encoded), specific_tags=_TAGS)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(encoded[file.tell() :], limits.bytes)
    if inflater.unconsumed_tail:
        raise Rejected("too_large", f"more than {limits.bytes} bytes when inflated")
    dataset = read_dataset(io.BytesIO(inflated), False, True, specific_tags=_TAGS)
    dataset.file_meta = pydicom.dataset.FileMetaDataset(meta)
    return dataset


def _check_frame(dataset: pydicom.Dataset, expected: codestream.Frame, limits: Limits) -> None:
    """Looks at the header of a compressed image, which its decoder goes by.

    Raises:
        Rejected: It is another size than the file's tags tell, or asks for too much.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
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


def _syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax by its name in the standard; what stands in its place is not told."""
    uid = dataset.file_meta.get("TransferSyntaxUID")
    name = str(getattr(uid, "name", uid))
    return "unknown" if name == str(uid) else name


def _pixels(dataset: pydicom.Dataset) -> np.ndarray:
    raw = dataset.pixel_array
    if raw.ndim == 3:
        return np.concatenate([_colour_to_grey(band) for band in _bands(raw)])
    windowed = "VOILUTSequence" in dataset or dataset.get("WindowWidth") not in (None, "")
    if windowed:
        low, high = _window_range(dataset)
    else:
        ranges = [(b.min(), b.max()) for b in (apply_modality_lut(b, dataset) for b in _bands(raw))]
        low, high = (float(end) for end in (min(r[0] for r in ranges), max(r[1] for r in ranges)))
    inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    grey = np.empty(raw.shape, np.uint8)
    for band, shown in zip(_bands(raw), _bands(grey), strict=True):
        values = apply_modality_lut(band, dataset)
        if windowed:
            values = apply_voi_lut(values, dataset, index=0)
        share = (values.astype(np.float64) - low) / max(high - low, 1e-9)
        shown[:] = np.clip(1 - share if inverted else share, 0, 1) * 255 + 0.5
    return grey


def _bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """An image, some rows at a time."""
    rows = max(1, _BAND_PIXELS // pixels.shape[1])
    return (pixels[start : start + rows] for start in range(0, len(pixels), rows))


def _colour_to_grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"))


def _window_range(dataset: pydicom.Dataset) -> tuple[float, float]:
    """The range that pydicom's windowing gives out: PS3.3 C.11.2, in the stored bits' terms."""
    if "VOILUTSequence" in dataset:
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return 0.0, float(2 ** int(bits) - 1)
    bits = int(dataset.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not dataset.PixelRepresentation:
        low, high = 0, 2**bits - 1
    if "ModalityLUTSequence" in dataset:
        return 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    return low * slope + intercept, high * slope + intercept


def _metadata(dataset: pydicom.Dataset) -> dict[str, str]:
    return read_tags({tag: str(dataset.get(tag) or "") for tag in WHITELIST})
