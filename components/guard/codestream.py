"""What a compressed image asks for, by its own header, before any decoder sees it.

A DICOM file's Rows and Columns say nothing of the image within: a decoder goes by the image's own.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tfxray.components.guard.rejects import Limits, Rejected

# A JPEG may hold any number of scans, each of which costs a pass over all pixels. Honest ones have
# some ten, and none needs more than 100: "Two Issues with the JPEG Standard" (libjpeg-turbo),
# https://bugzilla.redhat.com/show_bug.cgi?id=1344214.
_MOST_SCANS = 100
_MOST_PASSES = 32  # over an image of the largest size allowed
_MOST_SEGMENTS = 10_000  # before the first scan; an ICC profile has up to 255

_START_OF_SCAN = b"\xff\xda"
# T.81, table B.1: frames of all processes, but for the DHT, JPG and DAC among them; T.87: SOF55.
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST, SOI
_J2K_START = b"\xff\x4f\xff\x51"  # T.800, A.4.1 and A.5.1: SOC, then SIZ at once
_JP2_START = b"\0\0\0\x0cjP  "  # T.800, I.5.1
_APP1, _APP2 = 0xE1, 0xE2
_EXIF_START, _MPF_START = b"Exif\0\0", b"MPF\0"  # CIPA DC-007 has several pictures by such a table
# TIFF 6.0, section 2: bytes of a value, by its kind.
_EXIF_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
}
_SPARE_EXIF = 2**20
_RLE_RUN = 128  # bytes, the longest
_RLE_SEGMENTS = 15  # PS3.5, annex G.5


class Frame(NamedTuple):
    """The size of a compressed image, by its own header.

    Attributes:
        width: Pixels.
        height: Pixels.
        components: 1 where grey, 3 in colour.
    """

    width: int
    height: int
    components: int


def read_frame(encoded: bytes) -> Frame | None:
    """The size of a JPEG, a JPEG-LS or a JPEG 2000 image; None where it is none of these.

    Raises:
        Rejected: See `check_jpeg_head`.
    """
    if encoded.startswith((_J2K_START, _JP2_START)):
        # Within a codestream, this mark cannot occur; a JP2 file could hold several.
        starts = [match.start() for match in re.finditer(re.escape(_J2K_START), encoded)]
        return _read_siz(encoded, starts[0]) if len(starts) == 1 else None
    for marker, start in _segments(encoded):
        if marker in _FRAMES and len(encoded) >= start + 8:
            height, width, components = struct.unpack_from(">HHB", encoded, start + 3)
            return Frame(width, height, components)
    return None


def _read_siz(encoded: bytes, start: int) -> Frame | None:
    if len(encoded) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", encoded, start + 8)
    (components,) = struct.unpack_from(">H", encoded, start + 40)
    return Frame(right - left, bottom - top, components)


def check_jpeg_head(encoded: bytes) -> None:
    """Looks at what stands before the pixels of a JPEG; of another file, there is nothing.

    Raises:
        Rejected: So much that to look through it would take minutes; or see `check_exif`.
    """
    exif = b""
    for marker, start in _segments(encoded):
        content = encoded[start + 2 : start + int.from_bytes(encoded[start : start + 2], "big")]
        if marker == _APP1 and content.startswith(_EXIF_START):
            exif += content[len(_EXIF_START) if exif else 0 :]  # a long block goes on in the next
        elif marker == _APP2 and content.startswith(_MPF_START):
            check_exif(content[len(_MPF_START) :])
    check_exif(exif)


def _segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """The segments of a JPEG up to its first scan: their markers, and where their lengths stand."""
    place, count = 2 if encoded.startswith(b"\xff\xd8") else len(encoded), 0
    while place + 4 <= len(encoded):
        if count == _MOST_SEGMENTS:
            raise Rejected("too_slow", f"a JPEG of more than {_MOST_SEGMENTS} segments")
        count += 1
        if encoded[place] != 0xFF or encoded[place + 1] in (0x00, 0xFF):
            # A decoder skips what stands between two segments, and so do we.
            following = encoded.find(b"\xff", place + 1)
            place = following if following >= 0 else len(encoded)
            continue
        marker = encoded[place + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker in _NO_LENGTH:
            place += 2
            continue
        yield marker, place + 2
        place += 2 + max(2, int.from_bytes(encoded[place + 2 : place + 4], "big"))


def check_scans(encoded: bytes, pixels: int, limits: Limits) -> None:
    """Counts the scans of a JPEG.

    Args:
        encoded: The file. Within pixels, the mark of a scan cannot occur.
        pixels: Of the image.
        limits: What a file may take.

    Raises:
        Rejected: Too many.
    """
    scans = encoded.count(_START_OF_SCAN)
    if scans > _MOST_SCANS or scans * pixels > _MOST_PASSES * limits.pixels:
        raise Rejected("too_slow", f"a JPEG of {scans} scans over {pixels} pixels")


def check_rle(encoded: bytes, segment_bytes: int) -> None:
    """Adds up how long the segments of an RLE image of DICOM's become: PS3.5, annex G.3.

    Args:
        encoded: The frame.
        segment_bytes: What a segment decodes to: one byte of each pixel.

    Raises:
        Rejected: A segment becomes longer, by more than a run: some writers pad the last.
    """
    count, *starts = struct.unpack_from(f"<{1 + _RLE_SEGMENTS}I", encoded)
    ends = [*starts[1:count], len(encoded)]
    for start, end in zip(starts[:count], ends, strict=False):
        place, length = start, 0
        while place < end:
            control = encoded[place]
            run = control > 128
            length += 257 - control if run else (control + 1) % 129
            place += 2 if run else 1 + (control + 1) % 129
            if length > segment_bytes + _RLE_RUN:
                raise Rejected("too_large", "an RLE segment holds more than Rows x Columns")


def check_exif(exif: bytes) -> None:
    """Looks at the table of an EXIF block: all entries may name the same bytes, and each is copied.

    Args:
        exif: As it stands in a JPEG, PNG or WebP file. Of honest ones, no byte is named twice.

    Raises:
        Rejected: The copies take far more memory than the block.
    """
    while exif.startswith(_EXIF_START):
        exif = exif[len(_EXIF_START) :]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    table = exif[start + 2 : start + 2 + 12 * count]
    entries = struct.iter_unpack(f"{order}HHI4x", table[: len(table) // 12 * 12])
    named = sum(min(n * _EXIF_SIZES.get(kind, 0), len(exif)) for _, kind, n in entries)
    if named > len(exif) + _SPARE_EXIF:
        raise Rejected("too_large", f"EXIF of {len(exif)} bytes whose entries name {named}")
