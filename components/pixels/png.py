"""Looks into a PNG: whether TensorFlow's decoder, libpng, takes it, and what Pillow does not tell.

Pillow reads a PNG without an end, with checksums that are wrong, and with rows that are missing.
libpng refuses the first two, and fills the last with black, as Pillow does.
"""

import math
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from tfxray.components.guard.rejects import Rejected

START = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 100_000  # 5,000 hold 40 MB as libpng cuts them
# Beginnings of the chunks that may ask a viewer to turn the image, also behind its pixels.
_MAY_TURN = (b"eXIf", *(k + t for k in (b"tEXt", b"zTXt", b"iTXt") for t in (b"Raw ", b"XML:")))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colour
# Of the interlaced kind's passes: the first column and row, and the steps between them.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip


class Chunk(NamedTuple):
    """A part of the file: its kind, and where its content lies."""

    kind: bytes
    start: int
    end: int


# What each critical chunk begins with: IHDR, PLTE, IDAT (I, again), IEND.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ORDER = re.compile(rb"IP?II+")
_HEAD = 13  # bytes of IHDR


def chunks(encoded: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG up to its end; none of another file.

    Raises:
        Rejected: They are too many.
    """
    place = len(START) if encoded.startswith(START) else len(encoded)
    count = 0
    while place + 8 <= len(encoded):
        count += 1
        if count > _MOST_CHUNKS:
            raise Rejected("too_slow", f"a PNG of more than {_MOST_CHUNKS} chunks")
        start = place + 8
        chunk = Chunk(
            encoded[place + 4 : start],
            start,
            start + int.from_bytes(encoded[place : place + 4], "big"),
        )
        yield chunk
        if chunk.kind == b"IEND":
            return
        place = chunk.end + 4


def may_turn(encoded: bytes) -> bool:
    """Whether it may ask a viewer to turn it: Pillow tells only once it has decoded the image."""
    return any(
        (chunk.kind + encoded[chunk.start : chunk.start + 4]).startswith(_MAY_TURN)
        for chunk in chunks(encoded)
    )


def is_sound(encoded: bytes) -> bool:
    """Whether it is put together as PNG's specification has it: libpng refuses what is not.

    All checksums are right, the head comes first and once, the palette at most once and before the
    pixels, which are in one piece, and the end is there. No chunk is critical and unknown.
    """
    view = memoryview(encoded)
    parts = list(chunks(encoded))
    kinds = [part.kind for part in parts]
    critical = b"".join(kind[:1] for kind in kinds if kind[:1].isupper())
    known = all(kind in _CRITICAL for kind in kinds if kind[:1].isupper())
    if not known or not _ORDER.fullmatch(critical) or not all(map(bytes.isalpha, kinds)):
        return False
    first = next((n for n, kind in enumerate(kinds) if kind == b"IDAT"), 0)
    pieces = kinds.count(b"IDAT")
    once = kinds.count(b"IHDR") == 1 and kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    if not once or set(kinds[first : first + pieces]) != {b"IDAT"}:
        return False
    _, start, end = parts[0]
    if end - start != _HEAD or any(encoded[start + 10 : start + 12]):  # compression and filter
        return False
    return all(
        zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        for _, start, end in parts
    )


def significant_bits(encoded: bytes) -> int | None:
    """How many bits of each sample mean anything, where it says so (the chunk sBIT)."""
    for kind, start, end in chunks(encoded):
        if kind == b"sBIT" and end > start:
            return max(encoded[start : min(end, start + 3)])
        if kind == b"IDAT":
            break
    return None


def is_grey(image: Image.Image) -> bool:
    """Whether all colours of an image in 8 bits are grey: of others, libpng makes another grey."""
    if image.mode == "P":
        palette = image.palette.palette if image.palette else b""
        red, green, blue = (palette[channel::3] for channel in range(3))
        return red == green == blue and image.getextrema()[1] < len(red)  # type: ignore[operator]
    if image.mode in ("RGB", "RGBA"):
        red, green, blue = (image.getchannel(channel).tobytes() for channel in "RGB")
        return red == green == blue
    return image.mode in ("L", "LA", "1")


def check_rows(encoded: bytes, image: Image.Image, sound: bool) -> None:
    """Finds rows that are missing, which Pillow leaves black without a word.

    Args:
        encoded: The file.
        image: As Pillow decoded it.
        sound: Whether its checksums are right. If so, only an image that is black in its last row
            is looked into: a row that is missing is black.

    Raises:
        Rejected: Rows are missing, or the compressed data are damaged.
    """
    width, height = image.size
    head = encoded[len(START) + 8 : len(START) + 8 + 13]
    bits, colour, interlaced = head[8], head[9], head[12]
    last = image.crop((0, height - 1, width, height))
    if sound and not interlaced and any(last.tobytes()):
        return
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    bits_per_pixel = bits * _CHANNELS.get(colour, 1)
    expected = 0
    for left, top, step, step_down in passes:
        columns, rows = math.ceil((width - left) / step), math.ceil((height - top) / step_down)
        if columns > 0 and rows > 0:
            expected += rows * (1 + math.ceil(columns * bits_per_pixel / 8))
    found, error = _inflated_bytes(encoded, expected)
    if found < expected:
        raise Rejected(
            "truncated",
            f"the PNG holds {found} of {expected} bytes of pixels",
        )
    if error:
        raise Rejected("truncated", f"the PNG's pixels are damaged: {error}")


def _inflated_bytes(encoded: bytes, most: int) -> tuple[int, str]:
    """How many bytes of pixels there are, up to some more than the most; and what is wrong."""
    inflater, found, spare = zlib.decompressobj(), 0, 2**16
    try:
        for kind, start, end in chunks(encoded):
            data = encoded[start:end] if kind == b"IDAT" else b""
            while data and not inflater.eof and found <= most + spare:
                found += len(inflater.decompress(data, spare))
                data = inflater.unconsumed_tail
    except zlib.error as error:
        return found, str(error)
    return found, "" if inflater.eof or found > most else "their end is missing"
