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


def describe_network(body: keras.Model, top: keras.Model, name: str) -> Network:
    """Describes backbone and head.

    Args:
        body: See `backbone.build_backbone`; what of it does not learn is frozen.
        top: See `head.build_head`.
        name: The backbone's.
    """
    inner = next(layer for layer in body.layers if isinstance(layer, keras.Model))
    after = body.layers[body.layers.index(inner) + 1 :]
    parts = [dataclasses.replace(_layer(inner), name=name, kind="backbone")]
    parts += [
        _layer(layer)
        for layer in (*after, *top.layers)
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    learnt = sum(int(keras.ops.size(v)) for part in (body, top) for v in part.trainable_variables)
    parameters = body.count_params() + top.count_params()
    return Network(parts, [_layer(x) for x in inner.layers], parameters, learnt)


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
