"""Do heat maps show where the opacity is, and do they depend on what the model learned?

Draws X-rays whose opacities' places are known, trains both ways on some of them, and explains
others. Prints the table that stands in benchmarks/HEAT_MAPS.md.

    python benchmarks/heat_maps.py [WEIGHTS [SIZE]]

WEIGHTS are of MobileNetV2 0.35 without top; without them, the bundled ones. SIZE is that of the
images, 96 pixels by default.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
from scipy import stats
from sklearn.metrics import roc_auc_score

from tfxray.components.common import contract
from tfxray.components.explain import heat_maps
from tfxray.components.networks import backbone, head
from tfxray.components.sample import draw
from tfxray.components.trainer import export_explainable

TRAINING_IMAGES, TEST_IMAGES, EXPLAINED_IMAGES, COMPARED_IMAGES, BACKGROUND = 1000, 200, 40, 8, 32
DRAWING_SIZE = 160
MODES = ("frozen", "fine_tune")
SIZE = 96  # the demo's
# Feature maps of so many cells or more, for methods that no command offers.
CELLS = (export_explainable.CELLS, 24)
# A method: the cells of the feature maps that it needs, and how it draws images' heat maps by such
# a model.
Method = tuple[int, Callable[[keras.Model, np.ndarray], np.ndarray]]
# Of a mask, which fades out: from here on, a place belongs to the opacity.
EDGE = 0.3


def draw_xrays(count: int, seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X-rays as of `tfxray sample`, [n, size, size]; labels; and opacities, boolean like X-rays."""
    rng = np.random.default_rng(seed)
    images, labels, places = [], [], []
    for number in range(count):
        patient = draw.draw_patient(rng, number)
        label = (draw.NORMAL, draw.PNEUMONIA)[number % 2]
        view = str(rng.choice(["PA", "AP"], p=[0.7, 0.3]))
        findings = draw.draw_findings(rng, label)
        pixels, mask = draw.draw_xray(rng, patient, view, findings, DRAWING_SIZE)
        images.append(_resize(pixels, size))
        places.append(_resize(mask, size) > EDGE)
        labels.append(number % 2)
    return np.stack(images), np.array(labels), np.stack(places)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    return tf.image.resize(image[..., np.newaxis], [size, size], antialias=True)[..., 0].numpy()


def train_model(
    mode: str, spec: backbone.BackboneSpec, x: np.ndarray, y: np.ndarray
) -> keras.Model:
    """A head on the frozen backbone, or all of it, fitted for as long as it takes to be good."""
    keras.utils.set_random_seed(1)
    pixels, targets = x[..., np.newaxis], y[:, np.newaxis].astype(np.float32)
    if mode == "frozen":
        pixels = backbone.build_backbone(spec).predict(pixels, 64, verbose=0)
        model, rate, epochs = head.build_head(head.HeadSpec(), pixels.shape[1]), 1e-3, 20
    else:
        model, rate, epochs = head.build_classifier(spec, head.HeadSpec()), 3e-4, 6
        head.unfreeze(model, "all", batch_norm=False)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    model.fit(pixels, targets, 32, epochs, verbose=0)
    return model


def randomise_weights(model: keras.Model) -> Iterator[tuple[str, keras.Model]]:
    """Copies with weights drawn anew: of the head's last layer, and of all layers.

    Adebayo et al. 2018, https://arxiv.org/abs/1810.03292.
    """
    for name in ("last layer", "all layers"):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.trainable = True  # so that all that was ever learned is drawn anew
        rng = np.random.default_rng(2)
        layers = [copy.get_layer("head").get_layer("logit")] if name == "last layer" else [copy]
        for layer in layers:
            for weight in layer.trainable_weights:
                weight.assign(rng.permutation(weight.numpy().ravel()).reshape(weight.shape))
        yield name, copy


def share_inside(heat: np.ndarray, places: np.ndarray) -> float:
    """The mean share of a map's heat that lies in the opacity."""
    total = heat.sum((1, 2))
    return float(np.mean((heat * places).sum((1, 2))[total > 0] / total[total > 0]))


def share_pointed(heat: np.ndarray, places: np.ndarray) -> float:
    """How often the hottest pixel lies in the opacity: Zhang et al. 2016, the pointing game."""
    hottest = heat.reshape(len(heat), -1).argmax(1)
    return float(places.reshape(len(heat), -1)[np.arange(len(heat)), hottest].mean())


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The mean rank correlation of maps; one without any heat is like nothing."""
    correlations = [stats.spearmanr(x.ravel(), y.ravel())[0] for x, y in zip(a, b, strict=True)]
    return float(np.nan_to_num(correlations).mean())


def class_activation(kind: str, model: keras.Model, images: np.ndarray) -> np.ndarray:
    """HiResCAM, https://arxiv.org/abs/2011.08891, or LayerCAM, doi:10.1109/TIP.2021.3089943.

    `less-black` is HiResCAM of how far the maps lie from a black image's, which has the same
    padding at its border: integrated gradients in one step, of maps instead of pixels.
    """

    @tf.function(reduce_retracing=True)
    def compute_heat(part: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(part)
            maps, logit = model(part, training=False)
        slopes = tape.gradient(logit, maps)
        if kind == "layer-cam":
            slopes = tf.nn.relu(slopes)
        elif kind == "less-black":
            maps -= model(tf.zeros_like(part[:1]), training=False)[0]
        coarse = tf.nn.relu(tf.reduce_sum(slopes * maps, -1, keepdims=True))
        return tf.image.resize(coarse, images.shape[1:])[..., 0]

    pixels = tf.constant(images[..., np.newaxis], tf.float32)
    heat = np.concatenate(
        [compute_heat(pixels[i : i + 16]).numpy() for i in range(0, len(images), 16)]
    )
    top = heat.max((1, 2), keepdims=True)
    return np.divide(heat, top, where=top > 0, out=np.zeros_like(heat))


def list_methods(background: np.ndarray) -> Mapping[str, Method]:
    """All that are compared, by name."""

    def explain(
        method: str, steps: int | None, model: keras.Model, images: np.ndarray
    ) -> np.ndarray:
        return heat_maps.Explainer(model).heat(images, method, background, steps)

    plain: list[tuple[str, int | None]] = [(method, None) for method in contract.EXPLAIN_METHODS]
    few = [(heat_maps.INTEGRATED_GRADIENTS, n) for n in (4, heat_maps.QUICK_STEPS, 16)]
    methods_by_name: dict[str, Method] = {
        f"{method}, {steps} steps" if steps else method: (
            export_explainable.CELLS,
            functools.partial(explain, method, steps),
        )
        for method, steps in plain + few
    }
    for kind in ("hires-cam", "layer-cam", "less-black"):
        for cells in CELLS:
            drawing = functools.partial(class_activation, kind)
            methods_by_name[f"{kind}, {cells} x {cells} cells or more"] = cells, drawing
    return methods_by_name


def measure(mode: str, size: int, weights: str) -> None:
    """Trains, and prints a row for each method."""
    spec = backbone.BackboneSpec("MobileNetV2", size, weights, {"alpha": 0.35})
    x, y, _ = draw_xrays(TRAINING_IMAGES, 1, size)
    # Seed 2 is the one that smoothing, baseline and layer were chosen by.
    x_test, y_test, places = draw_xrays(TEST_IMAGES, 3, size)
    model = train_model(mode, spec, x, y)
    scores = heat_maps.Explainer(export_explainable.build_explainable(model, spec)).score(x_test)
    auc = roc_auc_score(y_test, scores)
    # An opacity that the model has not seen has no place in its map.
    hits = np.flatnonzero((y_test == 1) & (scores > 0.5) & places.any((1, 2)))[:EXPLAINED_IMAGES]
    images, masks = x_test[hits], places[hits]
    background = x[np.random.default_rng(0).choice(len(x), BACKGROUND, replace=False)]
    for method, (min_cells, draw_heat) in list_methods(background).items():
        explainable = export_explainable.build_explainable(model, spec, cells=min_cells)
        start = time.perf_counter()
        heat = draw_heat(explainable, images)
        seconds = (time.perf_counter() - start) / len(images)
        cells = [
            share_inside(heat, masks),
            float(masks.mean()),
            share_inside(np.roll(heat, 1, 0), masks),
        ]
        cells += [share_pointed(heat, masks)]
        cells += [
            rank_correlation(
                heat[:COMPARED_IMAGES], draw_heat(random_model, images[:COMPARED_IMAGES])
            )
            for _, random_model in randomise_weights(explainable)
        ]
        figures = " | ".join(f"{cell:.2f}" for cell in cells)
        print(
            f"| {mode} | {auc:.3f} | {len(hits)} | {method} | {figures} | {seconds:.2f} |",
            flush=True,
        )


def main() -> None:
    """Prints the table."""
    weights = sys.argv[1] if len(sys.argv) > 1 else "bundled"
    size = int(sys.argv[2]) if len(sys.argv) > 2 else SIZE
    print(
        "| mode | AUC | X-rays | method | in the opacity | its area "
        "| by another X-ray's map | hottest pixel in it | like: last layer random "
        "| like: all random | seconds |"
    )
    print("|" + "---|" * 11)
    for mode in MODES:
        measure(mode, size, weights)


if __name__ == "__main__":
    main()
