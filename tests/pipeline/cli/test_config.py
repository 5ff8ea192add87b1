"""`tfxray config`: it checks the network, its weights and the labels, and says so."""

import shutil

import pytest
import yaml

from tests.conftest import ROOT
from tfxray.components.networks import backbone

KEYS = {
    "name": "mine", "classes": ["NORMAL", "PNEUMONIA"],
    "model": {"arguments": {"alpha": 0.35}, "weights": "bundled", "image_size": 32},
}  # fmt: skip


@pytest.fixture
def check(tfxray, tmp_path):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(KEYS))

    def call(*arguments):
        options = [part for text in arguments for part in ("--set", text)]
        return tfxray("config", "--config", tmp_path / "c.yaml", *options)

    return call


def test_all_is_well(tfxray, check, drawn, tmp_path):
    done = check()
    assert done.code == 0, done.err
    assert done.err.splitlines()[1:] == [
        "network: MobileNetV2, 32 px; weights: bundled",
        "labels: not checked; --data FOLDER checks them",
        "ok",
    ]
    assert yaml.safe_load(done.out)["model"]["image_size"] == 32  # stdout stays a config
    done = tfxray("config", "--config", tmp_path / "c.yaml", "--data", drawn)
    told = done.err.splitlines()
    counts = {n: len(list((drawn / n).glob("*.png"))) for n in KEYS["classes"]}
    labels = ", ".join(f"{name} {count}" for name, count in counts.items())
    assert f"labels: {labels}; 300 images" in told
    patients = {line.split(",")[2] for line in (drawn / "manifest.csv").read_text().split()[1:]}
    assert f"patients: {len(patients)}" in told
    assert told[-1] == "ok"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=MobilNetV2", "no such network (did you mean MobileNetV2?); allowed: "),
        ("model.arguments={alpa: 1}", "MobileNetV2 takes no alpa (did you mean alpha?)"),
        ("model.weights=none.h5", "none.h5': no such file. Allowed: 'imagenet', 'bundled'"),
        ("model.arguments={alpha: 0.5}", "bundled weights for one network only"),
        ("model={backbone: cnn_150, image_size: 150}", "there are none of cnn_150; use 'none'"),
        ("train={mode: fine_tune, unfreeze: [blok_16]}", "(did you mean block_16?); allowed"),
    ],
)
def test_a_network_that_cannot_be_is_refused(check, override, message):
    done = check(override)
    assert done.code == 2
    assert message in done.err
    assert not done.out
    assert "ok" not in done.err.splitlines()


def test_weights_of_another_network_are_refused(check):
    done = check("model.backbone=MobileNet", f"model.weights={backbone.BUNDLED}",
                 "model.arguments={alpha: 0.25}")  # fmt: skip
    assert done.code == 2
    assert "these are not the weights of MobileNet" in done.err


def test_imagenets_weights_are_not_downloaded(check, monkeypatch):
    import keras

    def refuse(*_, **__):
        raise AssertionError("downloads")

    monkeypatch.setattr(keras.utils, "get_file", refuse)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    done = check("model.weights=imagenet")
    assert done.code == 0, done.err
    assert "weights: imagenet, which Keras downloads when a run begins" in done.err


def test_labels_that_are_not_there_are_refused_with_what_to_do(tfxray, drawn, tmp_path):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**KEYS, "classes": ["NORMAL", "PNUMONIA"]}))
    command = ("config", "--config", tmp_path / "c.yaml", "--data")
    done = tfxray(*command, drawn)
    assert done.code == 2
    assert "(did you mean PNUMONIA?)" in done.err
    assert "no such folder" in tfxray(*command, tmp_path / "none").err


def test_a_class_is_left_out_as_the_refusal_says(tfxray, drawn, tmp_path):
    for label in ("NORMAL", "PNEUMONIA", "covid: 19"):
        target = tmp_path / "in" / label
        target.mkdir(parents=True)
        for image in sorted((drawn / "PNEUMONIA").glob("*.png"))[:3]:
            shutil.copy(image, target)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(KEYS))
    command = ("config", "--config", tmp_path / "c.yaml", "--data", tmp_path / "in")
    refusal = tfxray(*command)
    assert refusal.code == 2
    remedy = refusal.err.split("have them counted: `")[1].split("`")[0]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**KEYS, **yaml.safe_load(remedy)}))
    done = tfxray(*command)
    assert done.code == 0, done.err
    assert "labels: NORMAL 3, PNEUMONIA 3; 6 images" in done.err
    assert "3 left out (dropped: 3)" in done.err


def test_every_config_that_comes_with_tfxray_names_a_network_that_can_be():
    """Names alone: to build all of them takes minutes; their own tests run them."""
    names = backbone.list_backbones()
    for path in (ROOT / "configs").glob("*.yaml"):
        model = yaml.safe_load(path.read_text()).get("model", {})
        assert model.get("backbone", "MobileNetV2") in names, path


def test_external_test_sets_are_looked_at(tfxray, drawn, tmp_path, small_config):
    def check(folder):
        override = f"evaluate.external={{north: {{data: {folder}}}}}"
        return tfxray("config", "--config", small_config, "--data", drawn, "--set", override)

    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "set" / label).mkdir(parents=True)
    empty = check(tmp_path / "set")
    assert empty.code == 2
    assert f"external test set north: {tmp_path / 'set'}: holds no images" in empty.err
    assert "(evaluate.external.north)" in empty.err
    gone = check(tmp_path / "gone")
    assert gone.code == 2
    assert f"{tmp_path / 'gone'}: no such folder (evaluate.external.north.data)" in gone.err
    for number, label in enumerate(("NORMAL", "PNEUMONIA", "PNEUMONIA")):
        image = sorted((drawn / label).glob("*.png"))[number]
        shutil.copy(image, tmp_path / "set" / label)
    well = check(tmp_path / "set")
    assert well.code == 0, well.err
    assert "external test set north: labels: NORMAL 1, PNEUMONIA 2; 3 images" in well.err
    assert "of PNEUMONIA in the split test: about 0" not in well.err  # none is in a split
    # On a cluster, the containers see folders that this machine has not.
    alone = tfxray("config", "--config", small_config, "--set",
                   "evaluate.external={north: {data: /cluster/data}}")  # fmt: skip
    assert alone.code == 0
    assert "external test sets: not checked; --data FOLDER checks them, too" in alone.err
