"""The backbone: from grey pixels to an embedding. Keras only: it runs on any of its backends."""

import dataclasses
import functools
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.networks import cnn_150

BUNDLED = Path(__file__).parent / "weights" / "mobilenet_v2_0.35_drawn.weights.h5"


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """A `keras.applications` network without its top, or `cnn_150`.

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


def list_backbones() -> dict[str, ModuleType]:
    """The names of all backbones, and the module of each, which holds its scaling."""
    modules = {"cnn_150": cnn_150}
    for module in vars(keras.applications).values():
        if inspect.ismodule(module) and hasattr(module, "preprocess_input"):
            for name, item in vars(module).items():
                if callable(item) and name[0].isupper():
                    modules[name] = module
    return dict(sorted(modules.items()))


def build_backbone(spec: BackboneSpec) -> keras.Model:
    """Builds a backbone that takes grey pixels as they are.

    Returns:
        A frozen model from float32 pixels in 0..255, shape [n, image_size, image_size, 1], to
        embeddings, float32 of shape [n, d]: the last feature map, pooled. The network's own
        scaling (`preprocess_input`) is its first part.

    Raises:
        UserError: No such backbone or argument; weights that cannot be had or do not fit.
    """
    modules = list_backbones()
    if spec.name not in modules:
        raise UserError(
            f"model.backbone = {spec.name!r}: no such network{did_you_mean(spec.name, modules)}; "
            f"allowed: {', '.join(modules)}"
        )
    network = _network(spec, getattr(modules[spec.name], "CHANNELS", 3))
    pixels = keras.Input((spec.image_size, spec.image_size, 1), name="pixels")
    embedding = network(scale_pixels(spec, pixels))
    if spec.pooling == "flatten":
        embedding = keras.layers.Flatten()(embedding)
    model = keras.Model(pixels, embedding, name="backbone")
    model.trainable = False
    return model


def shared_backbone(spec: BackboneSpec) -> keras.Model:
    """The same as `build_backbone`, from a cache of one: to build a backbone takes seconds.

    All nodes of one process share the model. Nobody may change it.

    Raises:
        UserError: See `build_backbone`.
    """
    return _cached_backbone(json.dumps(dataclasses.asdict(spec), sort_keys=True))


@functools.lru_cache(maxsize=1)
def _cached_backbone(spec_json: str) -> keras.Model:
    return build_backbone(BackboneSpec(**json.loads(spec_json)))


def scale_pixels(spec: BackboneSpec, pixels: Any) -> Any:
    """Grey pixels as the backbone's network takes them.

    Args:
        spec: The backbone.
        pixels: In 0..255, [n, image_size, image_size, 1].

    Returns:
        The same, scaled and repeated, [n, image_size, image_size, channels].
    """
    module = list_backbones()[spec.name]
    channels = getattr(module, "CHANNELS", 3)
    # Some of the scalings work in place, so they get a copy.
    copies = keras.ops.repeat(pixels, channels, axis=-1) if channels > 1 else pixels + 0.0
    return module.preprocess_input(copies)


def _network(spec: BackboneSpec, channels: int) -> keras.Model:
    source = keras.applications if hasattr(keras.applications, spec.name) else cnn_150
    build = getattr(source, spec.name)
    shape = (spec.image_size, spec.image_size, channels)
    pooling = None if spec.pooling == "flatten" else spec.pooling
    arguments = {"include_top": False, "pooling": pooling, "input_shape": shape, **spec.arguments}
    unknown = sorted(set(spec.arguments) - set(inspect.signature(build).parameters))
    if unknown:
        known = inspect.signature(build).parameters
        raise UserError(
            f"model.arguments: {spec.name} takes no {', '.join(unknown)}"
            f"{did_you_mean(unknown, known)}; allowed: {', '.join(known)}"
        )
    if spec.weights == "imagenet":
        _require_imagenet(spec)
        try:
            return build(weights="imagenet", **arguments)
        except ValueError as error:
            raise UserError(f"model: {spec.name} with ImageNet weights: {error}") from None
        except Exception as error:
            raise UserError(
                f"model.weights = 'imagenet': the weights of {spec.name} cannot be downloaded "
                f"({str(error).splitlines()[0][:200]}). Other choices: a path to a file of "
                "weights, 'none' (random) or 'bundled' (MobileNetV2 with alpha 0.35, trained on "
                "drawn X-rays of 96 pixels): --set model.weights=bundled --set model.image_size=96"
            ) from None
    try:
        network = build(weights=None, **arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"model: {spec.name} cannot be built: {error}") from None
    if spec.weights != "none":
        _load(network, spec)
    return network


def _require_imagenet(spec: BackboneSpec) -> None:
    if not hasattr(keras.applications, spec.name):
        raise UserError(
            f"model.weights = 'imagenet': there are none of {spec.name}; use 'none' or a path"
        )


def without_download(spec: BackboneSpec) -> BackboneSpec:
    """The same backbone with random weights where Keras would have to download ImageNet's.

    Raises:
        UserError: There are no such weights of it.
    """
    if spec.weights != "imagenet" or spec.name not in list_backbones():
        return spec
    _require_imagenet(spec)
    return dataclasses.replace(spec, weights="none")


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


def count_channels(spec: BackboneSpec) -> int:
    """Of a backbone's last feature map."""
    model = shared_backbone(spec)
    return int(
        next(layer for layer in model.layers if isinstance(layer, keras.Model)).output_shape[-1]
    )
