"""Forms of pixels that image files have: what is read of them, by the formats' own rules.

Expected are grey levels by formula: of each form the levels that mean black, white and between.
"""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.images import chunk, png, tiff
from tfxray.components.common import decoder
from tfxray.components.guard.rejects import Rejected
from tfxray.components.pixels import grey, image

HEIGHT, WIDTH = 40, 60
SHARE = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))  # of white
RAMP = SHARE * 255


def levels(low, high, kind):
    values = low + SHARE * (high - low)
    return (values if kind[0] == "f" else np.rint(values)).astype(kind)


def hot(pixels, level, count=1):
    """So many pixels of a detector's fault, in its first row."""
    pixels = pixels.copy()
    pixels[0, :count] = level
    return pixels


def colours(top, kind="u2", alpha=None):
    """Red falls, green rises, blue stays; their brightness is `COLOURED`."""
    parts = [1 - SHARE, SHARE, np.full_like(SHARE, 0.5)]
    parts += [np.full_like(SHARE, alpha)] if alpha is not None else []
    return np.rint(np.dstack(parts) * top).astype(kind)


COLOURED = (0.299 * (1 - SHARE) + 0.587 * SHARE + 0.114 * 0.5) * 255
GREY_ALPHA = np.dstack([levels(0, 4095, "u2"), np.full((HEIGHT, WIDTH), 65535, "u2")])
NAN = hot(levels(0, 1, "f4"), np.nan, 3)
SIGNIFICANT = chunk(b"sBIT", bytes([12]))

FORMS = {
    # PNG, whose spec knows 16 bits alone: the levels tell the depth, but for the chunk sBIT.
    "png of 16 bits": (png(levels(0, 65535, "u2")), RAMP),
    "png of 12 bits in 16": (png(levels(0, 4095, "u2")), RAMP),
    "png of 10 bits in 16": (png(levels(0, 1023, "u2")), RAMP),
    "png of 14 bits in 16": (png(levels(0, 16383, "u2")), RAMP),
    "png, one hot pixel": (png(hot(levels(0, 4095, "u2"), 65535)), hot(RAMP, 255)),
    "png, a hot pixel near": (png(hot(levels(0, 4095, "u2"), 6000)), hot(RAMP, 255)),
    "png, dark, sBIT": (png(levels(0, 900, "u2"), SIGNIFICANT), RAMP * 900 / 4095),
    "png, sBIT, scaled up": (png(levels(0, 65535, "u2"), SIGNIFICANT), RAMP),
    "png, sBIT, one hot pixel": (
        png(hot(levels(0, 900, "u2"), 65535), SIGNIFICANT), hot(RAMP * 900 / 4095, 255)
    ),
    "png of 16-bit colours": (png(colours(65535)), COLOURED),
    "png of 12-bit colours in 16": (png(colours(4095)), COLOURED),
    "png of 16-bit colours, alpha": (png(colours(65535, alpha=1)), COLOURED),
    "png of 12-bit colours in 16, alpha": (png(colours(4095, alpha=65535 / 4095)), COLOURED),
    "png of 12-bit grey in 16, alpha": (png(GREY_ALPHA), RAMP),
    "png of colours": (png(colours(255, "u1")), COLOURED),
    "png of colours, alpha": (png(colours(255, "u1", alpha=1)), COLOURED),
    "png of colours, gamma": (png(colours(255, "u1"), chunk(b"gAMA", b"\0\0\xb1\x8f")), COLOURED),
    # TIFF
    "tiff of 8 bits": (tiff(levels(0, 255, "u1")), RAMP),
    "tiff of 16 bits": (tiff(levels(0, 65535, "u2")), RAMP),
    "tiff of 16 bits, big endian": (tiff(levels(0, 65535, "u2"), big=True), RAMP),
    "tiff of 12 bits in 16": (tiff(levels(0, 4095, "u2")), RAMP),
    "tiff, dark, MaxSampleValue": (tiff(levels(0, 900, "u2"), t281=4095), RAMP * 900 / 4095),
    "tiff, MaxSampleValue passed": (tiff(levels(0, 65535, "u2"), t281=4095), RAMP),
    "tiff, one hot pixel": (tiff(hot(levels(0, 4095, "u2"), 65535)), hot(RAMP, 255)),
    "tiff, white is zero, 8 bits": (tiff(levels(0, 255, "u1"), t262=0), 255 - RAMP),
    "tiff, white is zero, 16 bits": (tiff(levels(0, 65535, "u2"), t262=0), 255 - RAMP),
    "tiff, white is zero, 12 in 16": (tiff(levels(0, 4095, "u2"), t262=0), 255 - RAMP),
    "tiff, white is zero, big endian": (
        tiff(levels(0, 65535, "u2"), big=True, t262=0), 255 - RAMP
    ),
    "tiff, white is zero, float": (tiff(levels(0, 1, "f4"), t262=0), 255 - RAMP),
    "tiff of signed 8 bits": (tiff(levels(-128, 127, "i1")), RAMP),
    "tiff of signed 16 bits": (tiff(levels(-1000, 1000, "i2")), RAMP),
    "tiff of signed 16 bits, big endian": (tiff(levels(-1000, 1000, "i2"), big=True), RAMP),
    "tiff of signed 16 bits, not below 0": (tiff(levels(0, 900, "i2")), RAMP * 900 / 1023),
    "tiff of signed 32 bits": (tiff(levels(-100_000, 3_000_000, "i4")), RAMP),
    "tiff of 32 bits": (tiff(levels(0, 2**32 - 1, "f8").astype("u4")), RAMP),
    "tiff of 12 bits in 32": (tiff(levels(0, 4095, "u4")), RAMP),
    "tiff of float, 0 to 1": (tiff(levels(0, 1, "f4")), RAMP),
    "tiff of float, 0 to 0.5": (tiff(levels(0, 0.5, "f4")), RAMP / 2),
    "tiff of float, -1 to 1": (tiff(levels(-1, 1, "f4")), RAMP),
    "tiff of float, -0.5 to 0.5": (tiff(levels(-0.5, 0.5, "f4")), 255 * (0.25 + SHARE / 2)),
    "tiff of float, 0 to 255": (tiff(levels(0, 255, "f4")), RAMP),
    "tiff of float, 0 to 4095": (tiff(levels(0, 4095, "f4")), RAMP),
    "tiff of float, Hounsfield": (tiff(levels(-1000, 2000, "f4")), RAMP),
    "tiff of float, normalised": (tiff(levels(-2.5, 3.5, "f4")), RAMP),
    "tiff of float, big endian": (tiff(levels(-1, 1, "f4"), big=True), RAMP),
    "tiff of float, 64 bits": (tiff(levels(0, 1, "f8")), RAMP),
    "tiff of float, 16 bits": (tiff(levels(0, 1, "f2")), RAMP),
    "tiff of float, one hot pixel": (tiff(hot(levels(0, 1, "f4"), 3e7)), hot(RAMP, 255)),
    "tiff of float, Hounsfield, one hot pixel": (
        tiff(hot(levels(-1000, 2000, "f4"), 3e7)), hot(RAMP, 255)
    ),
    "tiff of float, some NaN": (tiff(NAN), hot(RAMP, 0, 3)),
    "tiff of float, one infinite": (tiff(hot(levels(-9, 90, "f4"), np.inf)), hot(RAMP, 0)),
    "tiff of 16-bit colours": (tiff(colours(65535)), COLOURED),
    "tiff of 16-bit colours, big endian": (tiff(colours(65535), big=True), COLOURED),
    "tiff of 12-bit colours in 16": (tiff(colours(4095)), COLOURED),
    "tiff of 16-bit colours, alpha": (tiff(colours(65535, alpha=1), t338=2), COLOURED),
    "tiff with a preview behind": (
        tiff(levels(0, 65535, "u2"), (levels(0, 255, "u1")[::4, ::4], {"t254": 1})), RAMP
    ),
    "tiff with a preview ahead": (
        tiff((levels(0, 255, "u1")[::4, ::4], {"t254": 1}), levels(0, 4095, "u2")), RAMP
    ),
    "tiff with a mask behind": (
        tiff(levels(0, 255, "u1"), (levels(0, 255, "u1"), {"t254": 4})), RAMP
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_as_it_is_and_tensorflow_sees_the_same(name):
    encoded, expected = FORMS[name]
    xray = image.read_image(encoded)
    _, pixels = image.decode_grey(encoded)
    assert np.abs(pixels - expected).max() <= 1
    for kept in (xray.encoded, image.decodable(encoded)):
        assert np.array_equal(decoder.decode_grey(tf.constant(kept)).numpy()[..., 0], pixels)


def test_pixels_that_are_no_number_are_counted():
    assert image.read_image(tiff(NAN)).notes == (grey.NOT_FINITE,)
    assert image.read_image(tiff(levels(0, 1, "f4"))).notes == ()


PAGE = levels(0, 255, "u1")
ANIMATED = io.BytesIO()
Image.fromarray(PAGE).save(
    ANIMATED, "PNG", save_all=True, append_images=[Image.fromarray(255 - PAGE)]
)
MOVING = io.BytesIO()
Image.fromarray(PAGE).save(
    MOVING, "WEBP", save_all=True, append_images=[Image.fromarray(255 - PAGE)]
)
LAB = io.BytesIO()
Image.new("LAB", (60, 40)).save(LAB, "TIFF")
JPEG = io.BytesIO()
Image.fromarray(PAGE).save(JPEG, "JPEG")


def with_frame(marker, bits=8):
    """A JPEG whose head tells another process, or another depth."""
    encoded = bytearray(JPEG.getvalue())
    place = encoded.index(b"\xff\xc0")
    encoded[place + 1], encoded[place + 4] = marker, bits
    return bytes(encoded)


REFUSED = {
    "tiff of pages": (tiff(PAGE, 255 - PAGE), "multi_frame: a TIFF of 2 pages"),
    "tiff of pages of other sizes": (tiff(PAGE, PAGE[::2]), "multi_frame: a TIFF of 2 pages"),
    "png that moves": (ANIMATED.getvalue(), "multi_frame: PNG of several frames"),
    "webp that moves": (MOVING.getvalue(), "multi_frame: WEBP of several frames"),
    "tiff of many NaN": (tiff(hot(NAN, np.nan, 25)), "not_finite: 25 of 2400 pixels"),
    "tiff of NaN alone": (tiff(PAGE.astype("f4") * np.nan), "not_finite: 2400 of 2400 pixels"),
    "tiff of CIE L*a*b*": (LAB.getvalue(), "unknown_form: TIFF of colours .* LAB"),
    "tiff of complex numbers": (tiff(PAGE.astype("f4"), t339=6), "unknown_form: .* complex"),
    "tiff of 32-bit colours": (tiff(colours(2**31, "u4")), r"unknown_form: .* 32\+32\+32 bits"),
    "tiff of an unknown compression": (tiff(PAGE, t259=34712), "unknown_form: .* 34712"),
    "tiff that is cut": (tiff(PAGE)[:80], "truncated: begins as TIFF"),
    "tiff without half of its strips": (tiff(PAGE, t278=10), "truncated: 1 of 4 strips"),
    "lossless jpeg": (with_frame(0xC3), r"unknown_form: a lossless JPEG \(SOF3\)"),
    "hierarchical jpeg": (with_frame(0xC5), "unknown_form: a hierarchical JPEG"),
    "jpeg of 12 bits": (with_frame(0xC1, 12), "unknown_form: a JPEG of 12 bits; 8 are read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_that_is_not_known_is_refused_by_its_name(name):
    encoded, reason = REFUSED[name]
    with pytest.raises(Rejected, match=reason):
        image.read_image(encoded)


def image_j(pages):
    """ImageJ's way of large stacks: one directory, and the other pages right behind the first."""
    buffer = io.BytesIO()
    told = {270: f"ImageJ=1.54f\nimages={pages}\nslices={pages}\n"}
    Image.fromarray(PAGE).save(buffer, "TIFF", tiffinfo=told)
    return buffer.getvalue() + (255 - PAGE).tobytes() * (pages - 1)


VOLUME = tiff(np.concatenate([PAGE, 255 - PAGE, PAGE]), t257=HEIGHT, t278=HEIGHT, t32997=3)


@pytest.mark.parametrize("encoded", [VOLUME, image_j(3)], ids=["ImageDepth", "ImageJ"])
def test_pages_that_lie_in_one_directory_are_pages(encoded):
    with pytest.raises(Rejected, match="multi_frame"):
        image.read_image(encoded)


def test_a_single_image_of_image_j_is_read():
    assert np.array_equal(image.decode_grey(image_j(1))[1], PAGE)


def test_a_big_tiff_of_the_other_order_of_bytes_is_not_called_damaged():
    """BigTIFF, big-endian: Pillow opens none of them, and the file is whole."""
    data = PAGE.tobytes()
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: HEIGHT}
    tags[279] = len(data)
    entries = b"".join(struct.pack(">HHQQ", tag, 16, 1, tags[tag]) for tag in sorted(tags))
    head = b"MM\0+" + struct.pack(">HHQ", 8, 0, 16 + len(data))
    encoded = head + data + struct.pack(">Q", len(tags)) + entries + bytes(8)
    with pytest.raises(Rejected, match="unknown_form: a BigTIFF"):
        image.decode_grey(encoded)
