"""Colours of 16 bits, which Pillow reads by their upper bytes alone."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from tfxray.components.guard.rejects import Rejected

# How Pillow names numbers of 16 bits: by their order of bytes.
_ORDERS = ("L", "B", "N")
# Grey with alpha has the bytes of four channels of 8 bits.
_GREY_ALPHA = "LA;16"


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has colours of 16 bits, or grey with alpha."""
    deep = _stored(image).endswith(tuple(f";16{order}" for order in _ORDERS))
    return deep and not image.mode.startswith(("I", "F"))


def read_colours(
    encoded: bytes, image: Image.Image, prepare: Callable[[Image.Image], None]
) -> np.ndarray:
    """The colours of an image.

    Args:
        encoded: The file.
        image: Opened, not decoded.
        prepare: What was done to the image before, to be done to another copy of it.

    Returns:
        uint16: [height, width, 3], or [height, width] of grey with alpha.

    Raises:
        Rejected: A form other than RGB, with and without alpha, and grey with alpha.
    """
    stored = _stored(image)
    name, _, order = stored.partition(";16")
    if stored.startswith(_GREY_ALPHA):
        upper_lower = np.asarray(_restored(image, "RGBA"))
        return upper_lower[..., 0].astype(np.uint16) << 8 | upper_lower[..., 1]
    if order not in _ORDERS or not set(name) <= set("RGBAXa"):
        raise Rejected("unknown_form", f"16-bit colours stored as {name}")
    # Read in the other order of bytes, the upper byte of each number is its lower one.
    first_bytes = np.asarray(_restored(image, "B"))[..., :3]
    with Image.open(io.BytesIO(encoded), formats=[image.format or ""]) as copy:
        prepare(copy)
        second_bytes = np.asarray(_restored(copy, "L"))[..., :3]
    if order == "B":
        return first_bytes.astype(np.uint16) << 8 | second_bytes
    return second_bytes.astype(np.uint16) << 8 | first_bytes


def _stored(image: Image.Image) -> str:
    """How the numbers are stored, by Pillow's name."""
    args = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    return str(args[0] if isinstance(args, tuple) else args)


def _restored(image: Image.Image, stored: str) -> Image.Image:
    """The image, to be decoded as if it were stored otherwise: a name, or an order of bytes."""
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]
        name = tile.args[0] if isinstance(tile.args, tuple) else tile.args
        # By a premultiplied alpha ("a"), Pillow would divide, byte by byte.
        name = name[:-1].replace("a", "A") + stored if stored in _ORDERS else stored
        args = (name, *tile.args[1:]) if isinstance(tile.args, tuple) else name
        tiles.append(tile._replace(args=args))
    image.tile = tiles  # type: ignore[attr-defined]
    return image
