"""The served network in plain Keras layers, beside the served graph: what heat maps come from."""

import logging
import os

import keras

from tfxray.components.common import artifacts, filenames, progress
from tfxray.components.networks import backbone
from tfxray.components.trainer.scaling import Scaling

# Of feature maps, on each side. A network for 224 pixels has 3 x 3 cells left of an image of 96:
# their heat lies on opacities no better than by chance (benchmarks/HEAT_MAPS.md).
CELLS = 6

log = logging.getLogger(__name__)


def build_explainable(
    model: keras.Model,
    spec: backbone.BackboneSpec,
    scaling: Scaling | None = None,
    cells: int = CELLS,
) -> keras.Model:
    """Lays the served network's last feature maps and its logits open.

    Args:
        model: The trained model, whose weights the result shares: a `head.build_classifier`,
            or the `head.build_head` of a frozen backbone.
        spec: The backbone.
        scaling: Of the logits; None leaves them as they are.
        cells: Fewest rows and columns of the feature maps.

    Returns:
        A model of Keras's own layers from grey pixels, float32 in 0..255 of shape
        [n, image_size, image_size, 1], to the backbone's last feature maps of so many cells or
        more, [n, rows, columns, channels], and the logits, [n, outputs].

    Raises:
        UserError: The backbone's weights cannot be downloaded any more, or are not the served ones.
    """
    pixels = keras.Input((spec.image_size, spec.image_size, 1), name="pixels")
    if len(model.input_shape) == 4:
        backbone_model, head_model = model.get_layer("backbone"), model.get_layer("head")
        # Transform left this training, and leaves the served network, whole grey levels. A
        # gradient goes through as if they were not.
        inputs = pixels + keras.ops.stop_gradient(keras.ops.round(pixels) - pixels)
    else:
        backbone_model, head_model, inputs = backbone.shared_backbone(spec), model, pixels
    network = next(layer for layer in backbone_model.layers if isinstance(layer, keras.Model))
    both = keras.Model(
        network.inputs, [_last_maps(network, cells), network.output], name=network.name
    )
    maps, embedding = both(backbone.scale_pixels(spec, inputs))
    if spec.pooling == "flatten":
        embedding = keras.layers.Flatten()(embedding)
    logits = _logits(head_model, scaling)
    # Who opens the file learns by the name how logits become scores.
    activation = head_model.get_layer("score").activation.__name__
    return keras.Model(pixels, [maps, logits(embedding)], name=f"explainable_{activation}")


def _last_maps(network: keras.Model, cells: int) -> keras.KerasTensor:
    """The deepest feature maps that still tell places apart, before a pooling or padding.

    All that the network computes goes through them: there is no branch beside them, and no shortcut
    around them.
    """
    last_use = {
        id(tensor): place
        for place, layer in enumerate(network.layers)
        if place
        for tensor in keras.tree.flatten(layer.input)
    }
    downsampling = (
        keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, keras.layers.ZeroPadding2D,
    )  # fmt: skip
    maps, open_until = [], 0
    for place, layer in enumerate(network.layers):
        if (
            open_until <= place
            and len(layer.output.shape) == 4
            and not isinstance(layer, downsampling)
        ):
            maps.append(layer.output)
        open_until = max(open_until, last_use.get(id(layer.output), 0))
    return next((x for x in reversed(maps) if min(x.shape[1:3]) >= cells), maps[-1])


def _logits(head: keras.Model, scaling: Scaling | None) -> keras.Model:
    """The head without its sigmoid: where a score is nearly 1, its gradient is nearly 0."""
    score = head.get_layer("score")
    logits = keras.layers.Dense(score.units, dtype="float32", name="logit")
    linear = keras.Model(head.inputs, logits(score.input), name="head")
    kernel, bias = score.get_weights()
    if scaling:
        kernel, bias = (weights / scaling.temperatures for weights in (kernel, bias))
        bias = bias + scaling.biases
    logits.set_weights([kernel, bias])
    return linear


def write_explainable(
    model: keras.Model, spec: backbone.BackboneSpec, scaling: Scaling, folder: str
) -> None:
    """Writes it into the folder of a served model, or says in the log why there is none.

    Args:
        model: See `build_explainable`.
        spec: The backbone.
        scaling: Of the logits.
        folder: Of the served model.
    """
    if spec.weights == "none" and len(model.input_shape) == 2:
        # Transform drew them, and its graph is the only one to hold them.
        progress.log.warning(
            "the frozen backbone's weights are random: what a deep one embeds says next to nothing "
            "(AUC near 0.5), and there are no heat maps of this model"
        )
        return
    try:
        with artifacts.local_target(os.path.join(folder, filenames.EXPLAIN)) as path:
            build_explainable(model, spec, scaling).save(path)
    except Exception as error:
        # What took hours to train is not to be lost for a picture: without network, say, the
        # weights that Transform downloaded cannot be had again.
        progress.log.warning("no heat maps of this model: %s", error)
        log.exception("no heat maps")
