import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfxray.components.guard import rejects
from tfxray.components.pixels import image
from tfxray.components.transform import preprocessing


def gradient(height=40, width=60):
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 50, height))
    return (x + y).astype(np.uint8)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GREY = Image.fromarray(gradient())
ALPHA = Image.fromarray(np.dstack([gradient()] * 3 + [np.full((40, 60), 255, np.uint8)]))
DEEP = Image.fromarray(gradient().astype(np.uint16) * 257)
READABLE = {
    "grey png": encode(GREY, "PNG"),
    "rgb png": encode(GREY.convert("RGB"), "PNG"),
    "rgba png": encode(ALPHA, "PNG"),
    "grey and alpha png": encode(GREY.convert("LA"), "PNG"),
    "palette png": encode(GREY.convert("RGB").quantize(256), "PNG"),
    "16-bit png": encode(DEEP, "PNG"),
    "grey jpeg": encode(GREY, "JPEG", quality=98),
    "rgb jpeg": encode(GREY.convert("RGB"), "JPEG", quality=98),
    "progressive jpeg": encode(GREY.convert("RGB"), "JPEG", quality=98, progressive=True),
    "bmp": encode(GREY, "BMP"),
    "tiff": encode(GREY, "TIFF"),
    "webp": encode(GREY.convert("RGB"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", READABLE)
def test_pixels_are_read_as_they_are_and_tensorflow_sees_the_same(name):
    xray = image.read_image(READABLE[name])
    _, pixels = image.decode_grey(READABLE[name])
    pixels_of_tensorflow = preprocessing.decode_pixels(tf.constant(xray.encoded), 40).numpy()
    expected = tf.image.resize(gradient()[..., None], [40, 40], antialias=True).numpy()
    assert (xray.height, xray.width) == (40, 60)
    assert np.abs(pixels.astype(int) - gradient()).max() <= 6  # a palette or JPEG may be coarse
    assert np.abs(pixels_of_tensorflow - expected).mean() < 3
    assert xray.mean == pytest.approx(gradient().mean(), abs=1.5)
    assert xray.format in ("jpeg", "png")


def test_jpeg_and_png_are_kept_byte_for_byte():
    for name in ("grey png", "16-bit png", "rgb jpeg"):
        assert image.read_image(READABLE[name]).encoded == READABLE[name]


@pytest.mark.parametrize(("kind", "behind"), [("JPEG", False), ("PNG", False), ("PNG", True)])
def test_an_image_to_be_turned_is_handed_on_turned(kind, behind):
    tags = GREY.getexif()
    tags[0x0112] = 6
    encoded = encode(GREY, kind, exif=tags)
    if behind:  # the pixels, where a header tells nothing of it
        start = encoded.index(b"eXIf") - 4
        chunk = encoded[start : start + 12 + int.from_bytes(encoded[start : start + 4], "big")]
        encoded = encoded.replace(chunk, b"").replace(encoded[-12:], chunk + encoded[-12:])
    pixels = tf.io.decode_image(image.decodable(encoded), channels=1, expand_animations=False)
    assert np.array_equal(pixels[..., 0], image.decode_grey(encoded)[1])
    assert pixels.shape[:2] == (60, 40)


@pytest.mark.parametrize("name", READABLE)
def test_what_is_handed_on_has_the_pixels_that_are_read(name):
    encoded = image.decodable(READABLE[name])
    assert encoded == image.read_image(READABLE[name]).encoded or name in ("bmp", "tiff", "webp")
    assert np.array_equal(image.decode_grey(encoded)[1], image.decode_grey(READABLE[name])[1])


def test_the_digest_is_of_the_pixels_not_of_the_file():
    digest = image.read_image(READABLE["grey png"]).sha256
    assert image.read_image(encode(GREY, "PNG", compress_level=0)).sha256 == digest
    assert image.read_image(encode(Image.fromarray(gradient() + 1), "PNG")).sha256 != digest


def test_blur_lowers_sharpness():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (64, 64)).astype(np.uint8))
    smooth = noise.resize((16, 16)).resize((64, 64))
    sharp, blurred_image = (image.read_image(encode(i, "PNG")).sharpness for i in (noise, smooth))
    assert sharp > 10 * blurred_image


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a letter", "not_an_image"),
        (READABLE["grey png"][:60], "truncated"),
        (READABLE["rgb jpeg"][:400], "truncated"),
        (b"GIF89a" + b"\0" * 40, "other_kind"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_a_reason(content, reason):
    with pytest.raises(rejects.Rejected, match=reason):
        image.read_image(content)


def test_a_bomb_is_rejected_before_it_is_decoded():
    bomb = encode(Image.new("1", (30_000, 30_000)), "PNG")
    with pytest.raises(rejects.Rejected, match="too_large"):
        image.read_image(bomb)
