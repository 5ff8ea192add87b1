"""The network, layer by layer, for people: its shape, not its weights."""

import dataclasses

import keras


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
    """Backbone and head.

    Attributes:
        parts: The backbone and the layers of the head, for a glance.
        layers: All of the backbone's layers.
        parameters: How many in all.
        learnt: How many of them training moved.
    """

    parts: list[Layer]
    layers: list[Layer]
    parameters: int
    learnt: int


def describe_network(backbone: keras.Model, head: keras.Model, name: str) -> Network:
    """Describes backbone and head.

    Args:
        backbone: See `backbone.build_backbone`; layers that do not learn are frozen.
        head: See `head.build_head`.
        name: The backbone's.
    """
    network = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    layers_behind = backbone.layers[backbone.layers.index(network) + 1 :]
    parts = [dataclasses.replace(_layer(network), name=name, kind="backbone")]
    parts += [
        _layer(layer)
        for layer in (*layers_behind, *head.layers)
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    learnt = sum(
        int(keras.ops.size(v)) for part in (backbone, head) for v in part.trainable_variables
    )
    parameters = backbone.count_params() + head.count_params()
    return Network(parts, [_layer(x) for x in network.layers], parameters, learnt)


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
