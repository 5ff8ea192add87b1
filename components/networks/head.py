"""The head, and backbone and head as one. Keras only: they run on any of its backends."""

import dataclasses
from collections.abc import Sequence

import keras

from tfxray.components.common.errors import UserError
from tfxray.components.networks.backbone import BackboneSpec, build_backbone

# MobileNet's own 0.999 is for trainings of a hundred thousand steps: after one epoch of some
# thousand X-rays, scores would still be computed by the statistics of ImageNet.
_MOMENTUM = 0.97


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """The layers between embedding and class scores; see the config's `model.head`."""

    hidden: Sequence[int] = ()
    dropout: float = 0.3
    batch_norm: bool = True


def build_head(spec: HeadSpec, width: int) -> keras.Model:
    """Builds the head.

    Args:
        spec: Its layers.
        width: Of the embedding.

    Returns:
        A model from embeddings, float32 [n, width], to the score of the positive class, [n, 1].
    """
    embedding = keras.Input((width,), name="embedding")
    x = keras.layers.BatchNormalization()(embedding) if spec.batch_norm else embedding
    for units in spec.hidden:
        x = keras.layers.Dropout(spec.dropout)(x)
        x = keras.layers.Dense(units, activation="relu")(x)
    x = keras.layers.Dropout(spec.dropout)(x)
    # In mixed precision, a score is still a float32.
    score = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="score")(x)
    return keras.Model(embedding, score, name="head")


def build_classifier(spec: BackboneSpec, head_spec: HeadSpec) -> keras.Model:
    """Builds backbone and head as one.

    Returns:
        A model from pixels (see `backbone`) to the score of the positive class, [n, 1]; the
        backbone frozen, see `unfreeze`.

    Raises:
        UserError: See `backbone`.
    """
    body = build_backbone(spec)
    top = build_head(head_spec, body.output_shape[-1])
    pixels = keras.Input(body.input_shape[1:], name="pixels")
    return keras.Model(pixels, top(body(pixels)), name="classifier")


def with_features(model: keras.Model, channels: int | None = None) -> keras.Model:
    """A classifier or a head that also tells by which features it judges.

    Args:
        model: See `classifier` and `head`.
        channels: Of a head whose embedding is a whole feature map: those of the map.

    Returns:
        A model of the same layers, from the same input to the score, [n, 1], and to the
        embedding, [n, d]; of a whole feature map, its mean.
    """
    if "backbone" not in [layer.name for layer in model.layers]:
        features = model.input
        if channels:
            features = keras.layers.Reshape((-1, channels))(features)
            features = keras.layers.GlobalAveragePooling1D()(features)
        return keras.Model(model.input, [model.output, keras.layers.Identity()(features)])
    body, top = model.get_layer("backbone"), model.get_layer("head")
    features, last = body.output, body.layers[-1]
    if isinstance(last, keras.layers.Flatten):
        features = keras.layers.GlobalAveragePooling2D()(last.input)
    pixels = keras.Input(body.input_shape[1:], name="pixels")
    embedding, features = keras.Model(body.input, [body.output, features])(pixels)
    return keras.Model(pixels, [top(embedding), features])


def unfreeze(model: keras.Model, layers: str | int | Sequence[str], batch_norm: bool) -> None:
    """Says which of a classifier's layers learn; its head always does.

    Args:
        model: See `classifier`.
        layers: Of the backbone's network: `all`, `none`, how many of the last ones, or the
            beginnings of their names (`block5`).
        batch_norm: Whether batch normalisation learns too. Where it does not, it keeps the mean
            and variance that came with the weights, in training also. Where it does, they follow
            the data within some hundred steps.

    Raises:
        UserError: No layer's name begins so, or there are not so many.
    """
    body = model.get_layer("backbone")
    network = next(layer for layer in body.layers if isinstance(layer, keras.Model))
    known = [layer.name for layer in network.layers]
    chosen = _chosen(known, layers)
    body.trainable = network.trainable = True
    for layer in network.layers:
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in chosen and (batch_norm or not normalises)
        if normalises and layer.trainable:
            layer.momentum = min(layer.momentum, _MOMENTUM)


def _chosen(known: list[str], layers: str | int | Sequence[str]) -> set[str]:
    if layers == "all":
        return set(known)
    if layers == "none":
        return set()
    if isinstance(layers, int):
        if layers > len(known):
            raise UserError(f"train.unfreeze = {layers}: the network has {len(known)} layers")
        return set(known[len(known) - layers :])
    beginnings = [layers] if isinstance(layers, str) else list(layers)
    missing = [b for b in beginnings if not any(name.startswith(b) for name in known)]
    if missing:
        raise UserError(
            f"train.unfreeze: no layer's name begins with {', '.join(missing)}; allowed: all, "
            f"none, a number, or beginnings of: {', '.join(known)}"
        )
    return {name for name in known if name.startswith(tuple(beginnings))}
