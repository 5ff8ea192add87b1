"""Networks that `keras.applications` does not have. Called as its networks are."""

from typing import Any

import keras

CHANNELS = 1


def cnn_150(
    include_top: bool = False,
    weights: None = None,
    input_shape: tuple[int, int, int] = (150, 150, 1),
    pooling: str | None = None,
    name: str = "cnn_150",
) -> keras.Model:
    """The small network of the pneumonia notebooks, for 150 x 150 grey pixels, from scratch.

    Five blocks of 3 x 3 convolutions with 64 and 64, 128, 256, 256 and 512 channels, each followed
    by batch normalisation and halved by a maximum.

    Args:
        include_top: Not supported; the head is `head.build_head`.
        weights: There are none to be had.
        input_shape: Pixels.
        pooling: `avg`, `max`, or None for the feature map.
        name: Of the model.

    Raises:
        ValueError: An image smaller than 32 pixels.
    """
    del include_top, weights
    if min(input_shape[:2]) < 32:
        raise ValueError(f"Input size must be at least 32x32; got {input_shape}")
    layers = keras.layers
    pixels = keras.Input(input_shape)
    x = pixels
    for number, widths in enumerate(((64, 64), (128,), (256,), (256,), (512,)), 1):
        for part, width in enumerate(widths, 1):
            x = layers.Conv2D(
                width, 3, padding="same", activation="relu", name=f"block{number}_conv{part}"
            )(x)
        x = layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"block{number}_pool")(x)
    pool: dict[str | None, Any] = {
        "avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D,
    }  # fmt: skip
    return keras.Model(pixels, pool[pooling]()(x) if pooling else x, name=name)


def preprocess_input(pixels: Any) -> Any:
    """Scales 0..255 to 0..1."""
    return pixels / 255.0
