"""The published recipes as they stand in configs/, on drawn X-rays under the published names.

Small images, random weights, a few steps: what a recipe is made of, not what it is worth.
"""

import csv
import json
import shutil

import pytest

from tests.conftest import ROOT
from tfxray.components.sample import draw


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """80 drawn X-rays and whether they are ill."""
    folder = tmp_path_factory.mktemp("xrays")
    draw.write_sample(folder, images=80, size=64, seed=3)
    with (folder / "manifest.csv").open() as manifest:
        rows = list(csv.DictReader(manifest))
    return [(folder / row["path"], row["label"] != "NORMAL") for row in rows]


@pytest.fixture(scope="module")
def shenzhen(xrays, tmp_path_factory):
    """Named as NLM names them: the finding is the last digit."""
    folder = tmp_path_factory.mktemp("CXR_png")
    for number, (path, ill) in enumerate(xrays):
        shutil.copy(path, folder / f"CHNCXR_{number:04d}_{int(ill)}.png")
    return folder


@pytest.fixture(scope="module")
def kermany(xrays, tmp_path_factory):
    """Named and split as on Kaggle."""
    folder = tmp_path_factory.mktemp("chest_xray")
    for number, (path, ill) in enumerate(xrays):
        label, name = ("PNEUMONIA", f"person{number}_virus_{number}.png") if ill else (
            "NORMAL", f"IM-{number:04d}-0001.png")  # fmt: skip
        target = folder / ("test" if number % 4 == 0 else "train") / label / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def trained(tfxray, out, recipe, data, *overrides):
    """Runs a recipe up to Trainer; its summary and what it told."""
    settings = ["model.weights=none", *overrides]
    told = tfxray(
        "run", "--config", ROOT / "configs" / f"{recipe}.yaml", "--data", data, "--out", out,
        "--to", "Trainer", "--json", *(word for each in settings for word in ("--set", each)),
    )  # fmt: skip
    assert told.code == 0, told.err
    return json.loads(told.out.splitlines()[-1]), told.err


def test_inception_bottlenecks_tell_of_every_tenth_step(tfxray, tmp_path, shenzhen):
    summary, told = trained(tfxray, tmp_path, "inception_v3_bottleneck", shenzhen,
                            "model.image_size=75", "train.steps=40")  # fmt: skip
    rounds = [line for line in told.splitlines() if line.strip().startswith("training ")]
    assert [line.split(":")[0].split()[1] for line in rounds] == ["1/4", "2/4", "3/4", "4/4"]
    for figure in ("accuracy", "cross_entropy", "val_accuracy"):
        assert all(f" {figure} " in line for line in rounds)
    assert summary["examples"]["train"] > 4 * summary["examples"]["eval"]
    assert set(summary["metrics"]) == {"train", "eval"}


@pytest.mark.parametrize("recipe", ["cnn_150", "vgg16_block5"])
def test_a_recipe_of_pixels_trains_from_scratch(tfxray, tmp_path, kermany, recipe):
    summary, told = trained(tfxray, tmp_path, recipe, kermany, "model.image_size=32",
                            "train.unfreeze=all", "train.epochs=1")  # fmt: skip
    assert "training 1/1" in told
    assert 0 < summary["metrics"]["eval"]["cross_entropy"] < 100
    if recipe == "cnn_150":  # Kaggle's test folder stays what it is
        assert summary["examples"]["test"] == 20
