"""The networks: backbone and head. Keras only, so that it runs on any of Keras's backends."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from tfxray.components.errors import UserError

BUNDLED = Path(__file__).parent / "weights" / "mobilenet_v2_0.35_drawn.weights.h5"


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """A `keras.applications` network without its top.

    Attributes:
        name: Such as `MobileNetV2`.
        image_size: Pixels on each side.
        weights: `imagenet`, `bundled`, `none` or a path.
        arguments: Further arguments, such as `{"alpha": 0.35}`.
    """

    name: str
    image_size: int
    weights: str = "imagenet"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """The layers between embedding and class scores; see the config's `model.head`."""

    hidden: Sequence[int] = ()
    dropout: float = 0.3
    batch_norm: bool = True


def backbones() -> dict[str, ModuleType]:
    """The names of all backbones, and the module of each, which holds its scaling."""
    found = {}
    for module in vars(keras.applications).values():
        if inspect.ismodule(module) and hasattr(module, "preprocess_input"):
            for name, item in vars(module).items():
                if callable(item) and name[0].isupper():
                    found[name] = module
    return dict(sorted(found.items()))


def backbone(spec: BackboneSpec) -> keras.Model:
    """Builds a backbone that takes pixels as they are.

    Returns:
        A frozen model from float32 pixels in 0..255, shape [n, image_size, image_size, 3], to
        embeddings, float32 of shape [n, d]: the average of the last feature map. The network's
        own scaling (`preprocess_input`) is its first part.

    Raises:
        UserError: No such backbone or argument; weights that cannot be had or do not fit.
    """
    modules = backbones()
    if spec.name not in modules:
        raise UserError(
            f"model.backbone = {spec.name!r}: no such network; allowed: {', '.join(modules)}"
        )
    network = _network(spec, getattr(keras.applications, spec.name))
    shape = (spec.image_size, spec.image_size, 3)
    pixels = keras.Input(shape, name="pixels")
    # Some of the scalings work in place; what they are given must be theirs.
    scaled = modules[spec.name].preprocess_input(pixels + 0.0)
    model = keras.Model(pixels, network(scaled, training=False), name="backbone")
    model.trainable = False
    return model


def _network(spec: BackboneSpec, build: Any) -> keras.Model:
    shape = (spec.image_size, spec.image_size, 3)
    arguments = {"include_top": False, "pooling": "avg", "input_shape": shape, **spec.arguments}
    unknown = sorted(set(spec.arguments) - set(inspect.signature(build).parameters))
    if unknown:
        raise UserError(
            f"model.arguments: {spec.name} takes no {', '.join(unknown)}; allowed: "
            f"{', '.join(inspect.signature(build).parameters)}"
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
    path = Path(spec.weights)
    if spec.weights == "bundled":
        if spec.name != "MobileNetV2" or spec.arguments.get("alpha") != 0.35:
            raise UserError(
                "model.weights = 'bundled': there are bundled weights for one network only: set "
                "model.backbone to MobileNetV2 and model.arguments to {alpha: 0.35}"
            )
        path = BUNDLED
    if not path.is_file():
        raise UserError(
            f"model.weights = {spec.weights!r}: no such file. Allowed: 'imagenet', 'bundled', "
            "'none' or a path to Keras weights (.h5, .weights.h5)"
        )
    if path.suffix not in (".h5", ".keras"):
        raise UserError(f"model.weights = {spec.weights!r}: must end in .h5 or .weights.h5")
    try:
        network.load_weights(path)
    except Exception as error:
        raise UserError(
            f"model.weights = {spec.weights!r}: these are not the weights of {spec.name} "
            f"{dict(spec.arguments) or ''} without top: {str(error).splitlines()[0][:300]}"
        ) from None


def head(spec: HeadSpec, width: int, classes: int) -> keras.Model:
    """Builds the head.

    Args:
        spec: Its layers.
        width: Of the embedding.
        classes: How many.

    Returns:
        A model from embeddings, float32 [n, width], to class scores that sum to one, [n, classes].
    """
    embedding = keras.Input((width,), name="embedding")
    x = keras.layers.BatchNormalization()(embedding) if spec.batch_norm else embedding
    for units in spec.hidden:
        x = keras.layers.Dropout(spec.dropout)(x)
        x = keras.layers.Dense(units, activation="relu")(x)
    x = keras.layers.Dropout(spec.dropout)(x)
    scores = keras.layers.Dense(classes, activation="softmax", name="scores")(x)
    return keras.Model(embedding, scores, name="head")
