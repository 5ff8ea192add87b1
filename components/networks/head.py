"""The head, and backbone and head as one. Keras only: they run on any of its backends."""

import dataclasses
from collections.abc import Sequence

import keras

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.networks.backbone import BackboneSpec, build_backbone

# MobileNet's own 0.999 is for trainings of a hundred thousand steps: after one epoch of some
# thousand X-rays, scores would still be computed by the statistics of ImageNet.
_MOMENTUM = 0.97


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """The layers between embedding and scores; see the config's `model.head`.

    Attributes:
        outputs: How many scores an image has.
        softmax: Whether they sum to 1. Else each is a sigmoid's.
    """

    hidden: Sequence[int] = ()
    dropout: float = 0.3
    batch_norm: bool = True
    outputs: int = 1
    softmax: bool = False


def build_head(spec: HeadSpec, width: int) -> keras.Model:
    """Builds the head.

    Args:
        spec: Its layers.
        width: Of the embedding.

    Returns:
        A model from embeddings, float32 [n, width], to the scores, [n, outputs].
    """
    embedding = keras.Input((width,), name="embedding")
    x = keras.layers.BatchNormalization()(embedding) if spec.batch_norm else embedding
    for units in spec.hidden:
        x = keras.layers.Dropout(spec.dropout)(x)
        x = keras.layers.Dense(units, activation="relu")(x)
    x = keras.layers.Dropout(spec.dropout)(x)
    # In mixed precision, a score is still a float32.
    activation = "softmax" if spec.softmax else "sigmoid"
    score = keras.layers.Dense(spec.outputs, activation=activation, dtype="float32", name="score")(
        x
    )
    return keras.Model(embedding, score, name="head")


def build_classifier(spec: BackboneSpec, head_spec: HeadSpec) -> keras.Model:
    """Builds backbone and head as one.

    Returns:
        A model from pixels (see `build_backbone`) to the scores, [n, outputs]; the backbone frozen,
        see `unfreeze`.

    Raises:
        UserError: See `build_backbone`.
    """
    backbone = build_backbone(spec)
    head = build_head(head_spec, backbone.output_shape[-1])
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    return keras.Model(pixels, head(backbone(pixels)), name="classifier")


def with_embedding(model: keras.Model, channels: int | None = None) -> keras.Model:
    """A classifier or a head with a second output: the embedding.

    Args:
        model: See `build_classifier` and `build_head`.
        channels: Of a head whose embedding is a whole feature map: those of the map.

    Returns:
        A model of the same layers, from the same input to the scores, [n, outputs], and to the
        embedding, [n, d]; of a whole feature map, its mean.
    """
    if "backbone" not in [layer.name for layer in model.layers]:
        embedding_output = model.input
        if channels:
            embedding_output = keras.layers.Reshape((-1, channels))(embedding_output)
            embedding_output = keras.layers.GlobalAveragePooling1D()(embedding_output)
        return keras.Model(model.input, [model.output, keras.layers.Identity()(embedding_output)])
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    embedding_output, last = backbone.output, backbone.layers[-1]
    if isinstance(last, keras.layers.Flatten):
        embedding_output = keras.layers.GlobalAveragePooling2D()(last.input)
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    embedding, embedding_output = keras.Model(backbone.input, [backbone.output, embedding_output])(
        pixels
    )
    return keras.Model(pixels, [head(embedding), embedding_output])


def unfreeze(model: keras.Model, layers: str | int | Sequence[str], batch_norm: bool) -> None:
    """Says which of a classifier's layers learn; its head always does.

    Args:
        model: See `build_classifier`.
        layers: Of the backbone's network: `all`, `none`, how many of the last ones, or the
            beginnings of their names (`block5`).
        batch_norm: Whether batch normalisation learns too. Where it does not, it keeps the mean
            and variance that came with the weights, in training also. Where it does, they follow
            the data within some hundred steps.

    Raises:
        UserError: No layer's name begins so, or there are not so many.
    """
    backbone = model.get_layer("backbone")
    network = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    names = [layer.name for layer in network.layers]
    names_to_train = _choose_layers(names, layers)
    backbone.trainable = network.trainable = True
    for layer in network.layers:
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in names_to_train and (batch_norm or not normalises)
        if normalises and layer.trainable:
            layer.momentum = min(layer.momentum, _MOMENTUM)


def _choose_layers(names: list[str], layers: str | int | Sequence[str]) -> set[str]:
    if layers == "all":
        return set(names)
    if layers == "none":
        return set()
    if isinstance(layers, int):
        if layers > len(names):
            raise UserError(f"train.unfreeze = {layers}: the network has {len(names)} layers")
        return set(names[len(names) - layers :])
    beginnings = [layers] if isinstance(layers, str) else list(layers)
    missing = [
        beginning
        for beginning in beginnings
        if not any(name.startswith(beginning) for name in names)
    ]
    if missing:
        parts = [name.split("_") for name in names]
        starts = {"_".join(p[:count]) for p in parts for count in range(1, len(p) + 1)}
        raise UserError(
            f"train.unfreeze: no layer's name begins with {', '.join(missing)}"
            f"{did_you_mean(missing, ['all', 'none', *sorted(starts)])}; allowed: all, none, "
            f"a number, or beginnings of: {', '.join(names)}"
        )
    return {name for name in names if name.startswith(tuple(beginnings))}
