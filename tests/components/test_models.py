import keras
import numpy as np
import pytest

from tfxray.components import models
from tfxray.components.errors import UserError

ALPHA = {"alpha": 0.35}


def test_the_bundled_weights_load_and_are_small():
    model = models.backbone(models.BackboneSpec("MobileNetV2", 96, "bundled", ALPHA))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    assert models.BUNDLED.stat().st_size < 2_000_000
    assert not model.trainable_weights
    assert np.asarray(model(pixels)).shape == (2, 1280)
    assert np.asarray(model(pixels)).std() > 0.05


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16", "ResNet50V2", "EfficientNetB0"])
def test_a_backbone_scales_pixels_as_it_was_trained(name):
    keras.utils.set_random_seed(1)
    arguments = ALPHA if name == "MobileNetV2" else {}
    model = models.backbone(models.BackboneSpec(name, 64, "none", arguments))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    network = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    scaled = models.backbones()[name].preprocess_input(pixels.copy())
    expected = np.asarray(network(scaled, training=False))
    assert np.allclose(np.asarray(model(pixels)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (models.BackboneSpec("MobileNetV9", 96), "allowed: ConvNeXtBase"),
        (models.BackboneSpec("VGG16", 96, "none", ALPHA), "VGG16 takes no alpha"),
        (models.BackboneSpec("VGG16", 96, "bundled"), "MobileNetV2"),
        (models.BackboneSpec("VGG16", 96, "/no/such.h5"), "no such file. Allowed: 'imagenet'"),
        (models.BackboneSpec("MobileNetV2", 96, str(models.BUNDLED)), "not the weights of"),
        (models.BackboneSpec("InceptionV3", 40, "none"), "cannot be built"),
    ],
)
def test_what_cannot_be_built_is_refused(spec, message):
    with pytest.raises(UserError) as caught:
        models.backbone(spec)
    assert message in str(caught.value)


def test_imagenet_weights_that_cannot_be_downloaded_name_the_other_choices(monkeypatch):
    def offline(**arguments):
        assert arguments["weights"] == "imagenet"
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    offline.__signature__ = __import__("inspect").signature(keras.applications.VGG16)
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(UserError, match=r"cannot be downloaded .*'bundled'.*'none'"):
        models.backbone(models.BackboneSpec("VGG16", 96, "imagenet"))


def test_the_heads_scores_sum_to_one():
    head = models.head(models.HeadSpec(hidden=[8]), width=5, classes=2)
    scores = np.asarray(head(np.random.default_rng(0).normal(size=(7, 5)).astype("float32")))
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-6)
