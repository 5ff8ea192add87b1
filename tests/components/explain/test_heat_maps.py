"""Heat maps: of the served model, of what it learned, and where the opacities are."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from scipy import stats

from tfxray.components.common import contract, filenames
from tfxray.components.common.errors import UserError
from tfxray.components.explain import heat_maps, overlay
from tfxray.components.networks import backbone, head
from tfxray.components.sample import draw
from tfxray.components.trainer import export_explainable, scaling

SIZE = 96
BUNDLED = backbone.BackboneSpec("MobileNetV2", SIZE, "bundled", {"alpha": 0.35})


def drawn(count, seed, strength=None):
    """X-rays, labels, and where the opacities are."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        patient, label = draw.draw_patient(rng, number), number % 2
        findings = draw.draw_findings(rng, (draw.NORMAL, draw.PNEUMONIA)[label])
        if strength and label:
            findings = draw.Findings("lobar", strength=strength)
        pixels, mask = draw.draw_xray(rng, patient, "PA", findings, SIZE)
        rows.append((pixels.astype(np.float32), label, mask > 0.3))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@pytest.fixture(scope="module")
def model():
    """A head that was fitted to the bundled backbone, and that backbone."""
    keras.utils.set_random_seed(0)
    pixels, labels, _ = drawn(200, seed=1, strength=0.35)
    embeddings = backbone.build_backbone(BUNDLED).predict(pixels[..., np.newaxis], verbose=0)
    top = head.build_head(head.HeadSpec(), embeddings.shape[1])
    top.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    top.fit(embeddings, labels[:, np.newaxis], epochs=15, verbose=0)
    return export_explainable.build_explainable(top, BUNDLED)


@pytest.fixture(scope="module")
def ill():
    pixels, labels, places = drawn(12, seed=2, strength=0.35)
    return pixels[labels == 1], places[labels == 1]


@pytest.fixture(scope="module")
def background():
    return drawn(8, seed=3)[0]


PLAIN = scaling.Scaling(np.ones(1), np.zeros(1), softmax=False)


def inside(heat, places):
    return ((heat * places).sum((1, 2)) / heat.sum((1, 2))).mean()


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("integrated-gradients", None),
        ("integrated-gradients", heat_maps.QUICK_STEPS),
        ("shap", None),
    ],
)
def test_heat_lies_on_opacities_more_than_chance_or_another_xrays_map(
    model, ill, background, method, steps
):
    """Grad-CAM's cells are too coarse for that: benchmarks/HEAT_MAPS.md."""
    pixels, places = ill
    heat = heat_maps.Explainer(model).heat(pixels, method, background, steps)
    assert inside(heat, places) > 1.7 * places.mean()
    assert inside(heat, places) > 1.3 * inside(np.roll(heat, 1, axis=0), places)


@pytest.mark.parametrize("method", contract.EXPLAIN_METHODS)
def test_heat_depends_on_what_was_learned(model, ill, background, method):
    """All weights drawn anew: Adebayo et al. 2018, Sanity Checks for Saliency Maps."""
    pixels = ill[0][:3]
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    other.trainable = True
    rng = np.random.default_rng(0)
    for weight in other.trainable_weights:
        weight.assign(rng.permutation(weight.numpy().ravel()).reshape(weight.shape))
    heat = heat_maps.Explainer(model).heat(pixels, method, background)
    again = heat_maps.Explainer(model).heat(pixels, method, background)
    random = heat_maps.Explainer(other).heat(pixels, method, background)
    assert heat.shape == pixels.shape
    assert heat.min() >= 0
    assert heat.max() == 1
    assert np.array_equal(heat, again)
    likeness = [
        stats.spearmanr(a.ravel(), b.ravel())[0] if b.any() else 0
        for a, b in zip(heat, random, strict=True)
    ]
    assert np.mean(likeness) < 0.5


def test_integrated_gradients_are_complete(model, ill):
    explainer = heat_maps.Explainer(model)
    pixels = ill[0][:6]
    logit = model(pixels[..., np.newaxis])[1][:, 0]
    start = model(explainer.baseline(pixels)[..., np.newaxis])[1][:, 0]
    shares = explainer.attributions(pixels, "integrated-gradients").sum((1, 2))
    assert np.allclose(shares, logit - start, rtol=0.1, atol=0.1)
    assert np.ptp(logit) > 0.5  # else a constant would do


def test_shap_values_sum_to_how_far_the_logit_lies_above_the_backgrounds(model, ill, background):
    explainer = heat_maps.Explainer(model)
    logit = model(ill[0][:4, ..., np.newaxis])[1][:, 0]
    mean = np.mean(model(background[..., np.newaxis])[1])
    shares = explainer.attributions(ill[0][:4], "shap", background).sum((1, 2))
    assert shares == pytest.approx(
        np.asarray(logit - mean), abs=0.35 * float(np.abs(logit - mean).max())
    )
    with pytest.raises(ValueError, match="lacks a background"):
        explainer.heat(ill[0][:1], "shap")


@pytest.mark.parametrize(
    ("name", "size", "pooling", "cells"),
    [
        ("MobileNetV2", 96, "avg", (6, 6)),
        ("MobileNetV2", 192, "max", (6, 6)),
        ("VGG16", 96, "flatten", (6, 6)),
        ("cnn_150", 150, "flatten", (10, 10)),
        ("InceptionV3", 139, "avg", (7, 7)),
    ],
)
def test_any_classifier_is_loaded_in_safe_mode_and_scores_the_same(
    tmp_path, name, size, pooling, cells
):
    arguments = {"alpha": 0.35} if name == "MobileNetV2" else {}
    spec = backbone.BackboneSpec(name, size, "none", arguments, pooling)
    classifier = head.build_classifier(spec, head.HeadSpec([8], batch_norm=False))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size)).astype(np.float32)
    export_explainable.write_explainable(classifier, spec, PLAIN, str(tmp_path))
    explainer = heat_maps.load_explainer(tmp_path)
    served_scores = classifier(np.round(pixels)[..., np.newaxis], training=False)[:, 0]
    assert explainer.cells == cells
    assert explainer.size == size
    assert explainer.score(pixels)[:, 0] == pytest.approx(np.asarray(served_scores), abs=1e-5)


def test_keras_alone_loads_it(tmp_path, model):
    explainable_path = tmp_path / "explain.keras"
    model.save(explainable_path)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    process = subprocess.run(
        [sys.executable, "-c", ALONE, explainable_path, tmp_path / "pixels.npy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    alone = [float(x) for x in process.stdout.splitlines()[-1].split()]
    assert alone == pytest.approx(np.ravel(model(pixels[..., np.newaxis])[1]), abs=1e-4)


ALONE = """
import sys
sys.modules["tfxray"] = None  # importing it fails
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1], safe_mode=True, custom_objects={})
print(*np.ravel(model(np.load(sys.argv[2])[..., None])[1]))
"""


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    with pytest.raises(UserError, match="an older tfxray exported it"):
        heat_maps.load_explainer(tmp_path)
    path = tmp_path / filenames.EXPLAIN
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(UserError, match="is no model of tfxray's"):
        heat_maps.load_explainer(tmp_path)
    pixels = keras.Input((8, 8, 1))
    unsafe = keras.layers.Lambda(lambda x: x[:, 0, 0])(pixels)
    keras.Model(pixels, [pixels, unsafe]).save(path)
    with pytest.raises(UserError, match="is no model of tfxray's"):
        heat_maps.load_explainer(tmp_path)


def test_weights_that_nobody_kept_cost_the_heat_maps_and_not_the_model(tmp_path):
    top = head.build_head(head.HeadSpec(), 1280)
    for weights in ("none", "/gone/since.h5"):
        spec = backbone.BackboneSpec("MobileNetV2", 96, weights, {"alpha": 0.35})
        export_explainable.write_explainable(top, spec, PLAIN, str(tmp_path))
        assert not list(tmp_path.rglob("*.keras"))


def test_the_xray_is_left_alone_where_there_is_no_heat():
    pixels = np.full((60, 40), 100, np.uint8)
    heat = np.zeros((6, 4))
    assert np.all(np.asarray(overlay.lay_heat(pixels, heat)) == 100)
    heat[4:, :2] = 1
    drawn_over = np.asarray(overlay.lay_heat(pixels, heat)).astype(int)
    assert np.all(drawn_over[:25, 25:] == 100)
    assert np.ptp(drawn_over[-1, 0]) > 50  # a colour, no grey
    assert (
        overlay.draw_figure(pixels, heat, "a\nb").size
        == overlay.draw_figure(pixels.T, heat, "a\nb").size
    )


@pytest.mark.parametrize("softmax", [False, True])
def test_each_score_has_a_map_of_its_own_that_is_complete(ill, softmax):
    keras.utils.set_random_seed(4)
    spec = head.HeadSpec(batch_norm=False, outputs=3, softmax=softmax)
    explainable = export_explainable.build_explainable(
        head.build_head(spec, 1280),
        BUNDLED,
        scaling.Scaling(
            np.array([2.0] * 3 if softmax else [1.0, 2.0, 0.5]), np.array([0.5, -0.5, 0]), softmax
        ),
    )
    explainer = heat_maps.Explainer(explainable)
    pixels = ill[0][:2]
    black = explainer.baseline(pixels)
    scores, dark = explainer.score(pixels), explainer.score(black)
    if softmax:
        assert scores.sum(1) == pytest.approx(1, abs=1e-5)
    for output in range(3):
        shares = explainer.attributions(pixels, "integrated-gradients", output=output).sum((1, 2))
        above, below = (np.log(s[:, output] / (1 - s[:, output])) for s in (scores, dark))
        assert shares == pytest.approx(above - below, rel=0.06, abs=0.02)
