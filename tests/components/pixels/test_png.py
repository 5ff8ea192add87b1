"""PNG files that are damaged: written anew where all pixels are there, else refused."""

import zlib

import numpy as np
import pytest
import tensorflow as tf

from tests.images import PNG_END, PNG_START, chunk, png
from tfxray.components.common import decoder
from tfxray.components.guard.rejects import Rejected
from tfxray.components.pixels import image
from tfxray.components.pixels import png as png_file

RAMP = np.tile(np.linspace(20, 250, 60).astype("u1"), (40, 1))
DEEP = np.tile(np.linspace(0, 65535, 60).astype("u2"), (40, 1))
COLOURS = np.dstack([RAMP, RAMP // 2, RAMP // 3])
BLACK_BELOW = RAMP * (np.arange(40) < 30)[:, np.newaxis].astype("u1")


def spoil(encoded, kind, place=-1):
    """Damages a chunk: by default its checksum, else the byte at a place of its content."""
    start = encoded.index(kind)
    length = int.from_bytes(encoded[start - 4 : start], "big")
    at = start + 4 + (length if place == -1 else place)
    return encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :]


WHOLE = {
    "no end": (png(RAMP, end=b""), RAMP),
    "no end, 16 bits": (png(DEEP, end=b""), DEEP >> 8),
    "no end, colours": (png(COLOURS, end=b""), None),
    "wrong checksum of the end": (spoil(png(RAMP), b"IEND"), RAMP),
    "wrong checksum of the pixels": (spoil(png(RAMP), b"IDAT"), RAMP),
    "wrong checksum of the pixels, 16 bits": (spoil(png(DEEP), b"IDAT"), DEEP >> 8),
    "black below": (png(BLACK_BELOW), BLACK_BELOW),
    "black below, no end": (png(BLACK_BELOW, end=b""), BLACK_BELOW),
    "something behind the end": (png(RAMP) + b"hello", RAMP),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_png_with_all_its_pixels_is_read_and_tensorflow_sees_them(name):
    encoded, expected = WHOLE[name]
    pixels = image.decode_grey(encoded)[1]
    assert expected is None or np.array_equal(pixels, expected)
    for kept in (image.read_image(encoded).encoded, image.decodable(encoded)):
        assert np.array_equal(decoder.decode_grey(tf.constant(kept)).numpy()[..., 0], pixels)


@pytest.mark.parametrize("pixels", [RAMP, DEEP, COLOURS, BLACK_BELOW, RAMP[:, :1]])
@pytest.mark.parametrize("end", [PNG_END, b""])
def test_a_png_without_some_rows_is_refused(pixels, end):
    with pytest.raises(Rejected, match=r"truncated: the PNG holds \d+ of \d+ bytes"):
        image.read_image(png(pixels, rows=38, end=end))


def test_a_png_whose_pixels_are_damaged_is_refused():
    for place in (12, -2):
        encoded = png(RAMP)
        start = encoded.index(b"IDAT")
        length = int.from_bytes(encoded[start - 4 : start], "big")
        with pytest.raises(Rejected, match="truncated"):
            image.read_image(spoil(encoded, b"IDAT", place % length))


def test_an_interlaced_png_is_counted_by_its_passes():
    """3 x 3 pixels, interlaced: passes of 1, 0, 0, 1, 2, 2 and 3 pixels."""
    passes = [b"\0\1", b"\0\3", b"\0\7\x09", b"\0\2\0\x08", b"\0\4\5\6"]
    data = b"".join(passes)
    head = chunk(b"IHDR", bytes([0, 0, 0, 3, 0, 0, 0, 3, 8, 0, 0, 0, 1]))

    def encode(data):
        return PNG_START + head + chunk(b"IDAT", zlib.compress(data)) + PNG_END

    assert image.decode_grey(encode(data))[1].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(Rejected, match="holds 9 of 15 bytes"):
        image.read_image(encode(data[:9]))


def test_a_grey_png_of_any_kind_is_kept_and_a_coloured_one_is_not():
    grey_palette = chunk(b"PLTE", bytes(np.repeat(np.arange(256, dtype="u1"), 3)))
    colour_palette = chunk(b"PLTE", bytes(number % 251 for number in range(768)))
    kept = [png(RAMP), png(DEEP), png(np.dstack([RAMP] * 3)), png(np.dstack([RAMP] * 4))]
    kept += [png(RAMP, grey_palette, colour=3), png(np.dstack([RAMP, RAMP]))]
    for encoded in kept:
        assert image.read_image(encoded).encoded is encoded
    for encoded in (png(COLOURS), png(RAMP, colour_palette, colour=3)):
        assert image.read_image(encoded).encoded is not encoded


def test_significant_bits():
    assert png_file.significant_bits(png(DEEP, chunk(b"sBIT", bytes([12])))) == 12
    assert png_file.significant_bits(png(COLOURS, chunk(b"sBIT", bytes([5, 6, 5])))) == 6
    assert png_file.significant_bits(png(DEEP)) is None


def behind_head(*parts):
    """A PNG of the ramp, with parts between its head and its pixels."""
    encoded = png(RAMP)
    end_of_head = len(PNG_START) + 25
    return encoded[:end_of_head] + b"".join(parts) + encoded[end_of_head:]


HEAD = png(RAMP)[len(PNG_START) : len(PNG_START) + 25]
SIZES = HEAD[8:21]
REST = png(RAMP)[len(PNG_START) + 25 :]
PALETTE = chunk(b"PLTE", bytes(np.repeat(np.arange(256, dtype="u1"), 3)))
# All checksums are right, and Pillow reads them; libpng does not.
OUT_OF_ORDER = {
    "a text ahead of the head": PNG_START + chunk(b"tEXt", b"Software\0PACS") + HEAD + REST,
    "an unknown critical chunk": behind_head(chunk(b"ABCD", b"x")),
    "an unknown critical chunk behind the pixels": png(RAMP, end=chunk(b"ABCD", b"x") + PNG_END),
    "a chunk whose name is no word": behind_head(chunk(b"a1cd", b"x")),
    "the head twice": behind_head(HEAD),
    "the head once more, behind the pixels": png(RAMP, end=HEAD + PNG_END),
    "a head of 14 bytes": PNG_START + chunk(b"IHDR", SIZES + b"\0") + REST,
    "another compression": PNG_START + chunk(b"IHDR", SIZES[:10] + b"\1" + SIZES[11:]) + REST,
    "the palette twice": png(RAMP, PALETTE, PALETTE, colour=3),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_png_that_libpng_refuses_is_written_anew(name):
    xray = image.read_image(OUT_OF_ORDER[name])
    assert xray.encoded != OUT_OF_ORDER[name]
    pixels = image.decode_grey(OUT_OF_ORDER[name])[1]
    assert np.array_equal(pixels, RAMP)
    assert decoder.is_decodable(xray.encoded)
    assert np.array_equal(decoder.decode_grey(tf.constant(xray.encoded)).numpy()[..., 0], pixels)
