"""The networks: backbone, head, and both as one. Keras only: they run on any of its backends."""

import dataclasses
import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from tfxray.components import networks
from tfxray.components.common.errors import UserError

BUNDLED = Path(__file__).parent / "weights" / "mobilenet_v2_0.35_drawn.weights.h5"

# MobileNet's own 0.999 is for trainings of a hundred thousand steps: after one epoch of some
# thousand X-rays, scores would still be computed by the statistics of ImageNet.
_MOMENTUM = 0.97


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """A `keras.applications` network without its top, or one of `networks`.

    Attributes:
        name: Such as `MobileNetV2`.
        image_size: Pixels on each side.
        weights: `imagenet`, `bundled`, `none` or a path.
        arguments: Further arguments, such as `{"alpha": 0.35}`.
        pooling: What becomes of the last feature map: `avg`, `max`, or `flatten` for all of it.
    """

    name: str
    image_size: int
    weights: str = "imagenet"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pooling: str = "avg"


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """The layers between embedding and class scores; see the config's `model.head`."""

    hidden: Sequence[int] = ()
    dropout: float = 0.3
    batch_norm: bool = True


def backbones() -> dict[str, ModuleType]:
    """The names of all backbones, and the module of each, which holds its scaling."""
    found = {"cnn_150": networks}
    for module in vars(keras.applications).values():
        if inspect.ismodule(module) and hasattr(module, "preprocess_input"):
            for name, item in vars(module).items():
                if callable(item) and name[0].isupper():
                    found[name] = module
    return dict(sorted(found.items()))


def backbone(spec: BackboneSpec) -> keras.Model:
    """Builds a backbone that takes grey pixels as they are.

    Returns:
        A frozen model from float32 pixels in 0..255, shape [n, image_size, image_size, 1], to
        embeddings, float32 of shape [n, d]: the last feature map, pooled. The network's own
        scaling (`preprocess_input`) is its first part.

    Raises:
        UserError: No such backbone or argument; weights that cannot be had or do not fit.
    """
    modules = backbones()
    if spec.name not in modules:
        raise UserError(
            f"model.backbone = {spec.name!r}: no such network; allowed: {', '.join(modules)}"
        )
    network = _network(spec, getattr(modules[spec.name], "CHANNELS", 3))
    pixels = keras.Input((spec.image_size, spec.image_size, 1), name="pixels")
    embedding = network(scaled(spec, pixels))
    if spec.pooling == "flatten":
        embedding = keras.layers.Flatten()(embedding)
    model = keras.Model(pixels, embedding, name="backbone")
    model.trainable = False
    return model


def same_backbone(spec: BackboneSpec) -> keras.Model:
    """The `backbone` that this process built last, where it is the one: that takes seconds.

    For who does not change it. Nodes that run in one process share it.

    Raises:
        UserError: See `backbone`.
    """
    return _built(json.dumps(dataclasses.asdict(spec), sort_keys=True))


@functools.lru_cache(maxsize=1)
def _built(described: str) -> keras.Model:
    return backbone(BackboneSpec(**json.loads(described)))


def scaled(spec: BackboneSpec, pixels: Any) -> Any:
    """Grey pixels as the backbone's network takes them.

    Args:
        spec: The backbone.
        pixels: In 0..255, [n, image_size, image_size, 1].

    Returns:
        The same, scaled and repeated, [n, image_size, image_size, channels].
    """
    module = backbones()[spec.name]
    channels = getattr(module, "CHANNELS", 3)
    # Some of the scalings work in place; what they are given must be theirs.
    own = keras.ops.repeat(pixels, channels, axis=-1) if channels > 1 else pixels + 0.0
    return module.preprocess_input(own)


def _network(spec: BackboneSpec, channels: int) -> keras.Model:
    source = keras.applications if hasattr(keras.applications, spec.name) else networks
    build = getattr(source, spec.name)
    shape = (spec.image_size, spec.image_size, channels)
    pooling = None if spec.pooling == "flatten" else spec.pooling
    arguments = {"include_top": False, "pooling": pooling, "input_shape": shape, **spec.arguments}
    unknown = sorted(set(spec.arguments) - set(inspect.signature(build).parameters))
    if unknown:
        raise UserError(
            f"model.arguments: {spec.name} takes no {', '.join(unknown)}; allowed: "
            f"{', '.join(inspect.signature(build).parameters)}"
        )
    if spec.weights == "imagenet" and source is networks:
        raise UserError(
            f"model.weights = 'imagenet': there are none of {spec.name}; use 'none' or a path"
        )
    if spec.weights == "imagenet":
        try:
            return build(weights="imagenet", **arguments)
        except ValueError as error:
            raise UserError(f"model: {spec.name} with ImageNet weights: {error}") from None
        except Exception as error:
            raise UserError(
                f"model.weights = 'imagenet': the weights of {spec.name} cannot be downloaded "
                f"({str(error).splitlines()[0][:200]}). Other choices: a path to a file of "
                "weights, 'bundled' (MobileNetV2 with alpha 0.35, trained on drawn X-rays) or "
                "'none' (random)"
            ) from None
    try:
        network = build(weights=None, **arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"model: {spec.name} cannot be built: {error}") from None
    if spec.weights != "none":
        _load(network, spec)
    return network


def _load(network: keras.Model, spec: BackboneSpec) -> None:
    path = spec.weights
    if spec.weights == "bundled":
        if spec.name != "MobileNetV2" or spec.arguments.get("alpha") != 0.35:
            raise UserError(
                "model.weights = 'bundled': there are bundled weights for one network only: set "
                "model.backbone to MobileNetV2 and model.arguments to {alpha: 0.35}"
            )
        path = str(BUNDLED)
    # Here, since a network without a file of weights needs no TensorFlow.
    from tfx.dsl.io import fileio

    from tfxray.components.common import artifacts

    if not fileio.exists(path) or fileio.isdir(path):
        raise UserError(
            f"model.weights = {spec.weights!r}: no such file. Allowed: 'imagenet', 'bundled', "
            "'none' or a path to Keras weights (.h5, .weights.h5)"
        )
    if not path.endswith((".h5", ".keras")):
        raise UserError(f"model.weights = {spec.weights!r}: must end in .h5 or .weights.h5")
    try:
        with artifacts.local_copy(path) as local:
            network.load_weights(local)
    except Exception as error:
        raise UserError(
            f"model.weights = {spec.weights!r}: these are not the weights of {spec.name} "
            f"{dict(spec.arguments) or ''} without top: {str(error).splitlines()[0][:300]}"
        ) from None


def head(spec: HeadSpec, width: int) -> keras.Model:
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


def classifier(spec: BackboneSpec, head_spec: HeadSpec) -> keras.Model:
    """Builds backbone and head as one.

    Returns:
        A model from pixels (see `backbone`) to the score of the positive class, [n, 1]; the
        backbone frozen, see `unfreeze`.

    Raises:
        UserError: See `backbone`.
    """
    body = backbone(spec)
    top = head(head_spec, body.output_shape[-1])
    pixels = keras.Input(body.input_shape[1:], name="pixels")
    return keras.Model(pixels, top(body(pixels)), name="classifier")


def channels(spec: BackboneSpec) -> int:
    """Of a backbone's last feature map."""
    body = same_backbone(spec)
    return int(next(x for x in body.layers if isinstance(x, keras.Model)).output_shape[-1])


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
