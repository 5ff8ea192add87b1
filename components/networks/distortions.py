"""Random changes to training images. Keras operations only; the caller draws the random numbers.

tf.data draws them by seed, pass and image. A training that was stopped then goes on with the very
images that it would have seen.
"""

import math
from typing import Any

from keras import ops

from tfxray.components.networks.distortion_ranges import Distortions

# Uniform in -1..1, per image: rotation, shear, two zooms, two shifts, flip, brightness, contrast.
DRAWS = 9


def distort(images: Any, draws: Any, how: Distortions, noise: Any = None) -> Any:
    """Changes images, all geometry in one interpolation; what comes into view repeats the edge.

    Args:
        images: float32 of shape [n, height, width, channels], 0..255.
        draws: float32 of shape [n, DRAWS], uniform in -1..1.
        how: How far.
        noise: Standard normal, of the images' shape; needed where `how` has noise.

    Returns:
        As `images`.
    """
    turn, shear, zoom_x, zoom_y, shift_x, shift_y, flip, light, contrast = (
        draws[:, i] for i in range(DRAWS)
    )
    if _geometry(how):
        height, width = images.shape[1:3]
        x_scale = 1 + how.zoom * zoom_x
        if how.flip:
            x_scale = x_scale * ops.sign(flip)
        matrix = _matrix(
            how.rotation * math.pi / 180 * turn,
            how.shear * math.pi / 180 * shear,
            x_scale,
            1 + how.zoom * zoom_y,
        )
        shift = (how.width_shift * width * shift_x, how.height_shift * height * shift_y)
        transform = _about_the_centre(matrix, shift, height, width)
        images = ops.image.affine_transform(
            images, transform, "bilinear", "nearest", data_format="channels_last"
        )
    if how.contrast:
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        images = mean + (images - mean) * _per_image(1 + how.contrast * contrast)
    if how.brightness:
        images = images + _per_image(255 * how.brightness * light)
    if how.noise:
        images = images + how.noise * noise
    return ops.clip(images, 0, 255)


def _geometry(how: Distortions) -> bool:
    return bool(
        how.rotation or how.shear or how.zoom or how.width_shift or how.height_shift or how.flip
    )


def _per_image(values: Any) -> Any:
    return ops.reshape(values, (-1, 1, 1, 1))


def _matrix(angle: Any, shear: Any, x_scale: Any, y_scale: Any) -> tuple[Any, Any, Any, Any]:
    """Rotation by shear by zoom, as [[a, b], [c, d]], for each image."""
    cos, sin = ops.cos(angle), ops.sin(angle)
    lean, upright = -ops.sin(shear), ops.cos(shear)
    return (
        cos * x_scale,
        (cos * lean - sin * upright) * y_scale,
        sin * x_scale,
        (sin * lean + cos * upright) * y_scale,
    )


def _about_the_centre(
    matrix: tuple[Any, Any, Any, Any], shift: tuple[Any, Any], height: int, width: int
) -> Any:
    """Keras's eight numbers, which map a point of the result to one of the image: [n, 8]."""
    a, b, c, d = matrix
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = ops.zeros_like(a)
    right = x - a * x - b * y + shift[0]
    down = y - c * x - d * y + shift[1]
    return ops.stack([a, b, right, c, d, down, zero, zero], axis=1)
