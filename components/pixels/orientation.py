"""Turns an image as its file asks a viewer to do: by EXIF's orientation."""

import numpy as np
from PIL import Image, ImageOps

from tfxray.components.guard import codestream

_TAG = 0x0112


def read_orientation(image: Image.Image) -> int:
    """How a viewer turns an image, by EXIF's numbers; 1 for not at all.

    Raises:
        Rejected: See `codestream.check_exif`.
    """
    if image.format == "PNG":  # may say so behind its pixels
        image.load()
    block, text = image.info.get("exif"), image.info.get("Raw profile type exif")
    if block is None and isinstance(text, str):  # as ImageMagick writes it into a PNG
        block = bytes.fromhex("".join(text.split("\n")[3:]))
    if block:
        codestream.check_exif(block)
    return int(image.getexif().get(_TAG, 1))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns pixels, uint8 of shape [height, width], as a viewer does."""
    image = Image.fromarray(pixels)
    image.getexif()[_TAG] = orientation
    return np.asarray(ImageOps.exif_transpose(image))
