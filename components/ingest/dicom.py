"""Reads a DICOM file: its pixels as a radiologist sees them, and a whitelist of its tags."""

import io
import logging
import re
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from tfxray.components.ingest.image import MAX_PIXELS
from tfxray.components.ingest.rejects import Rejected

# Everything that leaves a DICOM file besides its pixels; PatientID only as a pseudonym.
WHITELIST = ("PatientAge", "PatientSex", "ViewPosition", "PatientID")
# Of free text, only what is known to be a view. The schema knows one kind of lateral.
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LL", "RL": "LL", "LAT": "LL", "LATERAL": "LL"}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 1 / 52.18, "D": 1 / 365.25}

# pydicom warns of odd values by quoting them, as warnings and in a log of its own. Both are shut
# for good, not around each call: that would not hold for several threads.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module="pydicom")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_dicom(encoded: bytes, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes a DICOM file of one frame.

    The modality's rescale and the window or VOI LUT are applied, MONOCHROME1 is inverted.
    Without a window, the image's own range becomes black to white, as viewers do it.

    Args:
        encoded: The file.
        max_pixels: Larger images are rejected undecoded.

    Returns:
        uint8 pixels of shape [height, width]; and what the whitelisted tags say, as `patient`
        (the raw id, to be made a pseudonym), `age` in years, `sex`, `view`.

    Raises:
        Rejected: Several frames, too large, no pixels, damaged, or a transfer syntax that no
            installed decoder reads.
    """
    # Damage shows in many ways. pydicom's messages may quote tags: only the errors' types are told.
    try:
        dataset = pydicom.dcmread(io.BytesIO(encoded))
        frames = int(dataset.get("NumberOfFrames") or 1)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    except Exception as error:
        raise Rejected("truncated", type(error).__name__) from None
    if frames > 1:
        raise Rejected("multi_frame", f"{frames} frames")
    if not rows or not columns or "PixelData" not in dataset:
        raise Rejected("no_pixels", "the file holds no pixel data")
    if rows * columns > max_pixels:
        raise Rejected("too_large", f"{columns} x {rows} pixels")
    try:
        return _pixels(dataset), _metadata(dataset)
    except Exception as error:
        detail = f"{type(error).__name__}; transfer syntax {_syntax(dataset)}"
        raise Rejected("no_pixels", detail) from None


def _syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax by its name in the standard; what stands in its place is not told."""
    uid = dataset.file_meta.get("TransferSyntaxUID")
    name = str(getattr(uid, "name", uid))
    return "unknown" if name == str(uid) else name


def _pixels(dataset: pydicom.Dataset) -> np.ndarray:
    raw = dataset.pixel_array
    if raw.ndim == 3:
        return np.asarray(Image.fromarray(raw.astype(np.uint8)).convert("L"))
    values = apply_modality_lut(raw, dataset)
    if "VOILUTSequence" in dataset or dataset.get("WindowWidth") not in (None, ""):
        grey = apply_voi_lut(values, dataset, index=0).astype(np.float64)
        low, high = _window_range(dataset)
    else:
        grey = values.astype(np.float64)
        low, high = grey.min(), grey.max()
    share = (grey - low) / max(high - low, 1e-9)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        share = 1 - share
    return (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


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
    tags = {tag: str(dataset.get(tag) or "").strip() for tag in WHITELIST}
    age = re.fullmatch(r"(\d{1,3})([YMWD])", tags["PatientAge"])
    values = {
        "patient": tags["PatientID"],
        "age": f"{int(age[1]) * _YEARS[age[2]]:.2f}" if age else "",
        "sex": tags["PatientSex"],
        "view": _VIEWS.get(tags["ViewPosition"].upper(), ""),
    }
    return {key: value for key, value in values.items() if value}
