"""Looks into a TIFF: which page is the image, and what Pillow does not tell of its numbers."""

import io
import itertools
import math
import re
import struct

import numpy as np
from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import II, MM

from tfxray.components.guard.rejects import Rejected
from tfxray.components.pixels import grey

# Tags, by TIFF 6.0.
_WIDTH, _LENGTH = 256, 257
_SUBFILE, _OLD_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 255, 258, 259, 262, 277
_STRIPS, _ROWS_PER_STRIP, _HIGHEST, _PLANAR, _EXTRA = 273, 278, 281, 284, 338
_DESCRIPTION, _DEPTH = 270, 32997
_TILE_WIDTH, _TILE_LENGTH, _TILES, _KIND = 322, 323, 324, 339
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_KINDS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "float", 5: "complex", 6: "complex"}
_SMALLER, _MASK, _OLD_SMALLER = 1, 4, 2  # of _SUBFILE, two bits, and of _OLD_SUBFILE
_MOST_PAGES = 64
_DEEP_MODES = ("I", "I;16", "I;16B", "F")

# libtiff hands numbers on in this machine's order, which Pillow knows of 16-bit ones alone.
_NATIVE = {
    "I;16S": "I;16NS", "I;16BS": "I;16NS", "I;32": "I;32N", "I;32B": "I;32N", "I;32S": "I;32NS",
    "I;32BS": "I;32NS", "F;32F": "F;32NF", "F;32BF": "F;32NF", "F;64F": "F;64NF",
    "F;64BF": "F;64NF",
}  # fmt: skip


def _add_forms() -> None:
    """Tells Pillow of forms whose numbers it can read, but that its table lacks.

    Its keys: order of bytes, photometric interpretation, kind, order of bits, depth of each
    sample, extra samples. Its values: the mode, and how the numbers are stored.
    """
    forms = TiffImagePlugin.OPEN_INFO
    for order, big in ((II, ""), (MM, "B")):
        for photometric in (0, 1):
            for kind, bits, mode, stored in (
                (_UNSIGNED, 12, "I;16", "I;12"),
                (_UNSIGNED, 16, f"I;16{big}", f"I;16{big}"),
                (_FLOAT, 16, f"I;16{big}", f"I;16{big}"),
                (_UNSIGNED, 32, "I", f"I;32{big}"),
                (_SIGNED, 8, "L", "L"),
                (_SIGNED, 16, "I", f"I;16{big}S"),
                (_SIGNED, 32, "I", f"I;32{big}S"),
                (_FLOAT, 64, "F", f"F;64{big}F"),
            ):
                forms.setdefault((order, photometric, (kind,), 1, (bits,), ()), (mode, stored))
        for extra in (0, 1):  # beside grey, of an unknown kind, or a premultiplied alpha
            forms.setdefault((order, 1, (_UNSIGNED,), 1, (8, 8), (extra,)), ("LA", "LA"))


_add_forms()


def choose_page(image: TiffImagePlugin.TiffImageFile) -> None:
    """Goes to the page that is the image. Previews and masks are none.

    Raises:
        Rejected: There are several, or some of its strips or tiles are missing.
    """
    full = []
    for number in itertools.count():
        if number == _MOST_PAGES:
            raise Rejected("multi_frame", f"a TIFF of {_MOST_PAGES} pages or more")
        try:
            image.seek(number)
        except EOFError:
            break
        except SyntaxError:  # a page that Pillow cannot read is one all the same
            pass
        tags = image.tag_v2
        beside = tags.get(_SUBFILE, 0) & (_SMALLER | _MASK)
        if not beside and tags.get(_OLD_SUBFILE) != _OLD_SMALLER:
            full.append(number)
    if len(full) > 1:
        raise Rejected("multi_frame", f"a TIFF of {len(full)} pages")
    image.seek(full[0] if full else 0)
    pages = _count_in_one(image.tag_v2)
    if pages > 1:
        raise Rejected("multi_frame", f"a TIFF of {pages} pages in one directory")
    _check_parts(image.tag_v2)
    _correct_order(image)


def _count_in_one(tags: TiffImagePlugin.ImageFileDirectory_v2) -> int:
    """Pages that lie in one directory: SGI's volumes, and what ImageJ writes of large stacks."""
    told = re.match(r"ImageJ=.*?^images=(\d+)$", str(tags.get(_DESCRIPTION, "")), re.S | re.M)
    depth = tags.get(_DEPTH, 1)
    return max(int(told[1][:9]) if told else 1, depth if isinstance(depth, int) else 1)


def _correct_order(image: TiffImagePlugin.TiffImageFile) -> None:
    """Corrects the order of bytes where Pillow takes another one, by its names for stored numbers.

    Raises:
        Rejected: A form of which Pillow reads the upper bytes alone.
    """
    bits = image.tag_v2.get(_BITS, (1,))
    planes = image.tag_v2.get(_PLANAR) == 2 and len(bits) > 1 and bits[0] == 16
    compressed = bool(image.tile) and image.tile[0].codec_name == "libtiff"
    if planes and compressed:
        raise Rejected("unknown_form", "a compressed TIFF of 16-bit colours, plane by plane")
    if not planes and not compressed:
        return
    order = "B" if image.tag_v2.prefix == MM else "L"
    tiles = []
    for tile in image.tile:
        stored, *others = tuple(tile.args or ())
        if planes and stored not in "RGBA":
            continue  # a plane that means nothing
        stored = _NATIVE.get(stored, stored) if compressed else f"{stored};16{order}"
        tiles.append(tile._replace(args=(stored, *others)))
    image.tile = tiles


def _check_parts(tags: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Pillow leaves what lies in no strip black."""
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANAR) == 2 else 1
    if _TILES in tags:
        across = math.ceil(tags[_WIDTH] / max(1, tags.get(_TILE_WIDTH, 1)))
        expected = across * math.ceil(tags[_LENGTH] / max(1, tags.get(_TILE_LENGTH, 1)))
        found = len(tags[_TILES])
    else:
        rows = tags.get(_ROWS_PER_STRIP, 0) or tags[_LENGTH]
        expected, found = math.ceil(tags[_LENGTH] / rows), len(tags.get(_STRIPS, ()))
    if found < expected * planes:
        raise Rejected("truncated", f"{found} of {expected * planes} strips or tiles of the TIFF")


def is_white_zero(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether 0 shows as white; Pillow turns only images of up to 8 bits."""
    return image.tag_v2.get(_PHOTOMETRIC, 0) == 0


def is_deep(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether its grey levels are other than 0..255."""
    return image.mode in _DEEP_MODES or _kind(image.tag_v2) == _SIGNED


def read_levels(image: TiffImagePlugin.TiffImageFile) -> np.ndarray:
    """The levels of a deep image, as the numbers that they are."""
    kind, bits = _kind(image.tag_v2), image.tag_v2.get(_BITS, (1,))[0]
    levels = np.asarray(image)
    if kind == _SIGNED and bits == 8:
        return levels.view(np.int8)
    if kind == _FLOAT and bits == 16:
        return levels.view(levels.dtype.str.replace("u", "f"))
    if kind == _UNSIGNED and bits == 32:  # Pillow has signed ones alone
        return levels.view(np.uint32)
    return levels


def _kind(tags: TiffImagePlugin.ImageFileDirectory_v2) -> int:
    return int(tags.get(_KIND, (_UNSIGNED,))[0])


def declared_top(image: TiffImagePlugin.TiffImageFile) -> int | None:
    """The highest level that a whole number of its declared depth has; None where none is declared.

    BitsPerSample of 8, 16 or 32 is how numbers are stored, and declares nothing. MaxSampleValue
    is the highest level used, so that it tells how many bits hold it.
    """
    bits = image.tag_v2.get(_BITS, (1,))[0]
    if bits % 8:
        return int(2**bits - 1)
    highest = image.tag_v2.get(_HIGHEST, 0)
    highest = max(highest) if isinstance(highest, tuple) else highest
    return grey.depth_top(highest) if 0 < highest < 2**bits - 1 and highest < 2**16 else None


def describe(encoded: bytes) -> str | None:
    """The form of a TIFF that Pillow does not open, in words; None where its tags are damaged."""
    if encoded.startswith(b"MM\0+"):
        return "a BigTIFF whose numbers begin with their highest byte"
    try:
        head = encoded[:16] if encoded[2:3] == b"+" or encoded[3:4] == b"+" else encoded[:8]
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file = io.BytesIO(encoded)
        file.seek(tags.next)
        tags.load(file)
        if not tags[_WIDTH] or not tags[_LENGTH]:
            return None
        bits = "+".join(str(depth) for depth in tags.get(_BITS, (1,)))
        return (
            f"a TIFF of {bits} bits, {_KINDS.get(_kind(tags), 'of an unknown kind')}, "
            f"PhotometricInterpretation {int(tags.get(_PHOTOMETRIC, 0))}, "
            f"Compression {int(tags.get(_COMPRESSION, 1))}"
        )
    except (KeyError, TypeError, ValueError, SyntaxError, OSError, IndexError, struct.error):
        return None
