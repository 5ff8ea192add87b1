"""What a stored level of a DICOM image shows: PS3.3 C.11.1 (modality) and C.11.2 (VOI).

What tells how to display an image is optional, and in the wild often empty or odd. Whatever cannot
be applied is left out, and noted; the next rule then counts.
"""

import struct
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.pixels import apply_color_lut

from tfxray.components.guard.rejects import Rejected
from tfxray.components.pixels import grey

# The tags of a palette.
PALETTE = tuple(
    f"{segmented}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)

# How the tags of padding end; those of float pixels have a word more in front.
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")

_LINEAR, _EXACT, _SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
_MOST_BITS = 16
_SIGNED_16 = 2**15
# Of numbers that are not text.
_FORMATS = {"FL": "f", "FD": "d", "US": "H", "SS": "h", "UL": "I", "SL": "i"}


def shades(dataset: pydicom.Dataset, levels: grey.Levels, notes: list[str]) -> np.ndarray:
    """What each stored level shows, in 8-bit grey.

    Args:
        dataset: The file's tags.
        levels: The image's stored levels, without padding.
        notes: Takes what was left out, by the keywords of its tags.

    Returns:
        uint8, one for each level. The VOI LUT counts first, then the first window that can be
        applied; then the image's own range becomes black to white, as viewers do it.
    """
    values = _modality(dataset, levels.values, notes)
    share = _voi_lut(dataset, values, notes)
    if share is None:
        share = _window(dataset, values, notes)
    if share is None:
        order = np.argsort(values, kind="stable")
        span = grey.Levels(values[order], levels.counts[order]).span()
        share = (values - span.black) / max(span.white - span.black, 1e-30)
    share = np.clip(share, 0, 1)
    if read_text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        share = 1 - share
    return (share * 255 + 0.5).astype(np.uint8)


def _modality(dataset: pydicom.Dataset, stored: np.ndarray, notes: list[str]) -> np.ndarray:
    table = _read_table(dataset, "ModalityLUTSequence", stored, notes)
    if table is not None:
        return _look_up(table, stored)[0]
    values = stored.astype(np.float64)
    for keyword, neutral in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        numbers = read_numbers(dataset, keyword)
        number = numbers[0] if numbers else None
        if number is None or (keyword == "RescaleSlope" and number == 0):
            if keyword in dataset:
                notes.append(f"{keyword} is empty or odd")
            number = neutral
        values = values * number if keyword == "RescaleSlope" else values + number
    return values


def _voi_lut(dataset: pydicom.Dataset, values: np.ndarray, notes: list[str]) -> np.ndarray | None:
    table = _read_table(dataset, "VOILUTSequence", values, notes)
    if table is None:
        return None
    shown, top = _look_up(table, values)
    return shown / top


Table = tuple[np.ndarray, int, int]  # entries; the level that the first is for; bits of an entry


def _read_table(
    dataset: pydicom.Dataset, keyword: str, levels: np.ndarray, notes: list[str]
) -> Table | None:
    """A LUT of a sequence; None where there is none, or none to be read."""
    if keyword not in dataset:
        return None
    try:
        item = dataset[keyword].value[0]
        return _make_table(item.LUTDescriptor, item.LUTData, levels, dataset)
    except Exception:  # pydicom's, of whatever a file holds; its words would quote it
        notes.append(f"{keyword} is empty or odd")
        return None


def _make_table(
    descriptor: Sequence[int], data: bytes | Sequence[int], levels: np.ndarray,
    dataset: pydicom.Dataset,
) -> Table:  # fmt: skip
    """A LUT by PS3.3 C.11.1.1, C.11.2.1.1 and C.7.6.3.1.5."""
    count, first, bits = (int(number) for number in descriptor)
    count = count or 2**16
    if isinstance(data, bytes):  # of 8 bits, some writers pack two into a word
        order = "<" if dataset.original_encoding[1] is not False else ">"
        entries = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")
    else:
        entries = np.asarray(data, np.uint16)
    if len(entries) < count or not 1 <= bits <= _MOST_BITS:
        raise ValueError("not as it is described")
    if first >= _SIGNED_16 and first > levels.max():
        first -= 2 * _SIGNED_16  # a signed number, read as an unsigned one
    entries = entries[:count].astype(np.int64)
    return entries, first, max(bits, int(entries.max()).bit_length())


def palette_shades(dataset: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """What each stored value shows by a palette, in 8-bit grey: PS3.3 C.7.6.3.1.5.

    Args:
        dataset: The file's tags.
        stored: Values.

    Raises:
        Rejected: There is no palette that can be read.
    """
    try:
        if "RedPaletteColorLookupTableData" not in dataset:  # in segments
            colours = apply_color_lut(stored[np.newaxis], dataset)[0, :, :3]
            share = colours @ grey.LUMA / np.iinfo(colours.dtype).max
        else:
            share = 0
            for name, weight in zip(("Red", "Green", "Blue"), grey.LUMA, strict=True):
                table = _make_table(
                    dataset[f"{name}PaletteColorLookupTableDescriptor"].value,
                    dataset[f"{name}PaletteColorLookupTableData"].value,
                    stored, dataset,
                )  # fmt: skip
                shown, top = _look_up(table, stored)
                share = share + weight * shown / top
    except Exception:  # see _read_table
        detail = "PALETTE COLOR, and RedPaletteColorLookupTableData or its like are missing or odd"
        raise Rejected("unknown_form", detail) from None
    return (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def _look_up(table: Table, levels: np.ndarray) -> tuple[np.ndarray, int]:
    """What a LUT makes of levels; and the highest that it can."""
    entries, first, bits = table
    places = np.clip(np.rint(levels) - first, 0, len(entries) - 1).astype(np.int64)
    return entries[places].astype(np.float64), 2**bits - 1


def _window(dataset: pydicom.Dataset, values: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3: the share of white of each value."""
    if "WindowCenter" not in dataset and "WindowWidth" not in dataset:
        return None
    function = read_text(dataset, "VOILUTFunction") or _LINEAR
    if function not in (_LINEAR, _EXACT, _SIGMOID):
        notes.append("VOILUTFunction is odd; taken as LINEAR")
        function = _LINEAR
    pairs = zip(
        read_numbers(dataset, "WindowCenter"), read_numbers(dataset, "WindowWidth"), strict=False
    )
    for center, width in pairs:
        if center is None or width is None or width <= 0 or (function == _LINEAR and width < 1):
            continue
        # One that shows all of the image as black or as white is none.
        if values.min() > center + width / 2 or values.max() < center - width / 2:
            continue
        if function == _SIGMOID:
            return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
        if function == _LINEAR:
            center, width = center - 0.5, width - 1
        if width == 0:
            return (values > center).astype(np.float64)
        return (values - center) / width + 0.5
    notes.append("WindowCenter or WindowWidth is empty or odd")
    return None


def read_numbers(dataset: pydicom.Dataset, keyword: str) -> list[float | None]:
    """The numbers of a tag: None in the place of each that is none.

    A decimal comma is read, which the standard does not know.
    """
    if keyword not in dataset:
        return []
    raw = dataset.get_item(keyword)
    value = getattr(raw, "value", None)
    if isinstance(value, bytes):
        kind = _FORMATS.get(_kind(raw, keyword))
        if kind and len(value) % struct.calcsize(kind) == 0:
            order = "<" if dataset.original_encoding[1] is not False else ">"
            return [float(number) for (number,) in struct.iter_unpack(order + kind, value)]
        value = value.decode("ascii", "replace").split("\\")
    elif isinstance(value, str) or not isinstance(value, Sequence):
        value = [value]
    return [_number(part) for part in value]


def _kind(raw: object, keyword: str) -> str:
    """The kind of a raw value; that of the dictionary where the file does not tell it."""
    kind = str(getattr(raw, "VR", None) or "UN")
    return dictionary_VR(keyword)[:2] if kind == "UN" else kind


def _number(text: object) -> float | None:
    try:
        number = float(str(text).strip("\0 ").replace(",", "."))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def read_text(dataset: pydicom.Dataset, keyword: str) -> str:
    """A word of a tag, in capitals; empty where there is none."""
    try:
        return str(dataset.get(keyword) or "").strip("\0 ").upper()
    except Exception:  # see _read_table
        return ""
