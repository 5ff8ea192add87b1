import math
import re
import sys

import keras
import numpy as np
import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.networks import backbone, head, summary

ALPHA = {"alpha": 0.35}


def test_the_bundled_weights_load_and_are_small():
    model = backbone.build_backbone(backbone.BackboneSpec("MobileNetV2", 96, "bundled", ALPHA))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 1)).astype("float32")
    assert backbone.BUNDLED.stat().st_size < 2_000_000
    assert not model.trainable_weights
    assert np.asarray(model(pixels)).shape == (2, 1280)
    assert np.asarray(model(pixels)).std() > 0.05


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16", "ResNet50V2", "EfficientNetB0"])
def test_a_backbone_scales_pixels_as_it_was_trained(name):
    keras.utils.set_random_seed(1)
    arguments = ALPHA if name == "MobileNetV2" else {}
    model = backbone.build_backbone(backbone.BackboneSpec(name, 64, "none", arguments))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype("float32")
    network = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    scaled = backbone.list_backbones()[name].preprocess_input(np.repeat(pixels, 3, axis=-1))
    expected = np.asarray(network(scaled, training=False))
    assert np.allclose(np.asarray(model(pixels)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (backbone.BackboneSpec("MobileNetV9", 96), "allowed: ConvNeXtBase"),
        (backbone.BackboneSpec("VGG16", 96, "none", ALPHA), "VGG16 takes no alpha"),
        (backbone.BackboneSpec("VGG16", 96, "bundled"), "MobileNetV2"),
        (backbone.BackboneSpec("VGG16", 96, "/no/such.h5"), "no such file. Allowed: 'imagenet'"),
        (backbone.BackboneSpec("MobileNetV2", 96, str(backbone.BUNDLED)), "not the weights of"),
        (backbone.BackboneSpec("InceptionV3", 40, "none"), "cannot be built"),
    ],
)
def test_what_cannot_be_built_is_refused(spec, message):
    with pytest.raises(UserError) as caught:
        backbone.build_backbone(spec)
    assert message in str(caught.value)


def test_imagenet_weights_that_cannot_be_downloaded_name_the_other_choices(monkeypatch):
    def offline(**arguments):
        assert arguments["weights"] == "imagenet"
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    offline.__signature__ = __import__("inspect").signature(keras.applications.VGG16)
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(UserError, match=r"cannot be downloaded .*'none'.*'bundled'"):
        backbone.build_backbone(backbone.BackboneSpec("VGG16", 96, "imagenet"))


def test_the_head_gives_one_score_between_nought_and_one():
    model = head.build_head(head.HeadSpec(hidden=[8]), width=5)
    scores = np.asarray(model(np.random.default_rng(0).normal(size=(7, 5)).astype("float32")))
    assert scores.shape == (7, 1)
    assert ((scores > 0) & (scores < 1)).all()


def counts(model):
    return (
        model.count_params(),
        sum(math.prod(v.shape) for v in model.trainable_weights),
        sum(math.prod(v.shape) for v in model.non_trainable_weights),
    )


def test_the_vgg16_recipe_has_the_published_parameters():
    spec = backbone.BackboneSpec("VGG16", 224, "none", pooling="flatten")
    dense = head.HeadSpec(hidden=[512, 64], dropout=0.4, batch_norm=False)
    model = head.build_classifier(spec, dense)
    head.unfreeze(model, ["block5"], batch_norm=False)
    assert counts(model) == (27_593_153, 19_957_889, 7_635_264)
    network = summary.describe_network(
        model.get_layer("backbone"), model.get_layer("head"), "VGG16"
    )
    assert (network.parameters, network.learnt) == (27_593_153, 19_957_889)
    assert sum(part.parameters for part in network.parts) == network.parameters
    assert {x.name for x in network.layers if x.learns} == {f"block5_conv{i}" for i in (1, 2, 3)}
    assert next(x for x in network.layers if x.name == "block1_pool").shape == "112 × 112 × 64"


def test_the_cnn_150_is_the_published_stack():
    spec = backbone.BackboneSpec("cnn_150", 150, "none", pooling="flatten")
    model = head.build_classifier(spec, head.HeadSpec([256, 128], 0.2, batch_norm=False))
    network = model.get_layer("backbone").get_layer("cnn_150")
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    assert network.input_shape == (None, 150, 150, 1)
    assert [x.filters for x in convolutions] == [64, 64, 128, 256, 256, 512]
    assert network.output_shape == (None, 5, 5, 512)
    head.unfreeze(model, "all", batch_norm=True)
    # Only the running means and variances do not learn.
    assert counts(model)[2] == 2 * (64 + 128 + 256 + 256 + 512)


@pytest.mark.parametrize(
    ("layers", "learning"),
    [
        ("none", 0),
        (4, 4),  # two convolutions with their biases; both poolings have no weights
        (["block5"], 6),
        (["block4_conv3", "block5"], 8),
        ("all", 26),
    ],
)
def test_as_much_of_the_network_learns_as_is_said(layers, learning):
    spec = backbone.BackboneSpec("VGG16", 32, "none")
    model = head.build_classifier(spec, head.HeadSpec(batch_norm=False))
    head.unfreeze(model, layers, batch_norm=False)
    assert len(model.trainable_weights) == learning + 2
    head.unfreeze(model, "none", batch_norm=False)
    assert len(model.trainable_weights) == 2


def test_frozen_batch_normalisation_keeps_what_came_with_the_weights():
    spec = backbone.BackboneSpec("MobileNetV2", 32, "bundled", ALPHA)
    model = head.build_classifier(spec, head.HeadSpec(batch_norm=False, dropout=0))
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 1)).astype("float32")
    for batch_norm in (False, True):
        head.unfreeze(model, "all", batch_norm=batch_norm)
        still = np.allclose(model(pixels, training=True), model(pixels, training=False), atol=1e-6)
        assert still is not batch_norm


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["block9"], r"begins with block9 \(did you mean block5\?\); allowed: all, none, a number"),
        (99, "the network has 20 layers"),
    ],
)
def test_layers_that_are_not_there_are_named(layers, message):
    model = head.build_classifier(backbone.BackboneSpec("VGG16", 32, "none"), head.HeadSpec())
    with pytest.raises(UserError, match=message):
        head.unfreeze(model, layers, batch_norm=False)


def imports(name):
    """What a module of the room imports at its top, besides what Python has."""
    source = (backbone.BUNDLED.parent.parent / f"{name}.py").read_text()
    modules = re.findall(r"^(?:import|from) (\S+)", source, re.MULTILINE)
    return {module.removesuffix(".abc") for module in modules} - sys.stdlib_module_names


@pytest.mark.parametrize("name", ["backbone", "head", "cnn_150", "distortions"])
def test_what_builds_networks_needs_no_tensorflow_of_its_own(name):
    """So that it runs on any of Keras's backends."""
    room = "tfxray.components.networks"
    own = {"tfxray.components.common.errors", room, f"{room}.backbone"}
    assert imports(name) <= {"keras", f"{room}.distortion_ranges"} | own


def test_the_ranges_of_distortions_need_not_even_keras():
    """So that a config is read without it."""
    assert imports("distortion_ranges") == {"pydantic"}
