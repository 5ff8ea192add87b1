"""The network, layer by layer, built anew from the config: its shape, not its weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from tfxray.components import models, trainer
from tfxray.components.errors import UserError


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: Its name.
        kind: Its class.
        shape: Of its output for one image.
        parameters: How many it has.
        learns: Whether training moved them.
    """

    name: str
    kind: str
    shape: str
    parameters: int
    learns: bool


@dataclasses.dataclass(frozen=True)
class Network:
    """The whole of it.

    Attributes:
        parts: Backbone and layers of the head: what there is at a glance.
        layers: All of the backbone's layers.
        parameters: How many in all.
        learnt: How many of them training moved.
    """

    parts: list[Layer]
    layers: list[Layer]
    parameters: int
    learnt: int


def network(config: Mapping[str, Any]) -> Network | None:
    """Describes the network that a config asks for.

    Args:
        config: Resolved.

    Returns:
        Its layers; None where the config names no network that can be built.
    """
    model, train = config.get("model"), config.get("train")
    if not model or not train:
        return None
    size, head = model["image_size"], models.HeadSpec(**model["head"])
    spec = models.BackboneSpec(
        model["backbone"], size, "none", model["arguments"], model["pooling"]
    )
    try:
        whole = models.classifier(spec, head)
        if train["mode"] == "fine_tune":
            begun = dataclasses.replace(spec, weights=model["weights"])
            norm = trainer.trains_batch_norm(train, begun)
            models.unfreeze(whole, train["unfreeze"], norm)
    except UserError:
        return None
    body, top = whole.get_layer("backbone"), whole.get_layer("head")
    inner = next(layer for layer in body.layers if isinstance(layer, keras.Model))
    named = dataclasses.replace(_layer(inner), name=model["backbone"], kind="backbone")
    parts = [
        named,
        *(
            _layer(layer)
            for layer in (*body.layers[body.layers.index(inner) + 1 :], *top.layers)
            if not isinstance(layer, keras.layers.InputLayer)
        ),
    ]
    learnt = sum(int(keras.ops.size(v)) for v in whole.trainable_variables)
    return Network(parts, [_layer(x) for x in inner.layers], whole.count_params(), learnt)


def _layer(layer: keras.layers.Layer) -> Layer:
    shape = layer.output.shape if hasattr(layer.output, "shape") else layer.output[0].shape
    learns = bool(layer.trainable_variables)
    return Layer(
        layer.name,
        type(layer).__name__,
        " × ".join(str(side) for side in shape[1:]),
        layer.count_params(),
        learns,
    )
