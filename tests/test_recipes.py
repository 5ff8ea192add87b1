"""The published recipes as they stand in configs/, on drawn X-rays under the published names.

Small images, random weights, a few steps: what a recipe is made of, not what it is worth.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import stand_ins
from tests.conftest import ROOT, last_line
from tfxray.components.layouts import public
from tfxray.components.sample import draw
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.loader import load_config


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
    """Named as NLM names them: the finding is the last digit. Montgomery's lie among them."""
    folder = tmp_path_factory.mktemp("CXR_png")
    for number, (path, ill) in enumerate(xrays):
        name = "MCUCXR" if number % 4 < 2 else "CHNCXR"
        shutil.copy(path, folder / f"{name}_{number:04d}_{int(ill)}.png")
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


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    """Packed and split as the NIH do it; findings that are not drawn are told by chance."""
    folder = tmp_path_factory.mktemp("nih")
    names = yaml.safe_load((ROOT / "configs" / "chexnet.yaml").read_text())["findings"]
    return folder, stand_ins.nih(folder, names)


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
    ingested = summary["ingest"]
    assert (ingested["found"], ingested["rejected"]) == (ingested["images"], 0)


def test_the_tuberculosis_recipe_takes_the_names_of_both_sets(tmp_path):
    names = ("CHNCXR_0001_0.png", "CHNCXR_0002_1.png", "MCUCXR_0001_0.png", "MCUCXR_0002_1.png")
    for name in names:
        (tmp_path / name).write_bytes(b"\x89PNG")
    config = load_config(ROOT / "configs" / "inception_v3_bottleneck.yaml")
    rules = data_folder.label_rules(config, data_folder.Folder(str(tmp_path), None))
    rows = public.label_images(tmp_path, rules).rows
    told = [(r.label, r.metadata["patient"], r.metadata["site"]) for r in rows]
    assert told == [
        ("NORMAL", "CHNCXR_0001", "Shenzhen"), ("TUBERCULOSIS", "CHNCXR_0002", "Shenzhen"),
        ("NORMAL", "MCUCXR_0001", "Montgomery"), ("TUBERCULOSIS", "MCUCXR_0002", "Montgomery"),
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", ["cnn_150", "vgg16_block5"])
def test_a_recipe_of_pixels_trains_from_scratch(tfxray, tmp_path, kermany, recipe):
    summary, told = trained(tfxray, tmp_path, recipe, kermany, "model.image_size=32",
                            "train.unfreeze=all", "train.epochs=1")  # fmt: skip
    assert "training 1/1" in told
    assert 0 < summary["metrics"]["eval"]["cross_entropy"] < 100
    if recipe == "cnn_150":  # Kaggle's test folder stays what it is
        assert summary["examples"]["test"] == 20


def test_chexnet_goes_all_the_way_on_the_official_split(tfxray, tmp_path, nih):
    """With a smaller network: DenseNet-121 takes minutes to compile. And with one slice."""
    folder, lists = nih
    settings = (
        "model.weights=none", "model.backbone=cnn_150", "model.image_size=32", "train.epochs=1",
        "validation.gate.near_identical=warn", "gate.unjudged=name", "gate.servable=false",
        "evaluate.slices=[patient/sex]",
    )  # fmt: skip
    done = tfxray(
        "run", "--config", "chexnet", "--data", folder, "--out", tmp_path, "--json",
        *(word for each in settings for word in ("--set", each)),
    )  # fmt: skip
    assert done.code == 3, done.err  # one epoch learns nothing
    assert "given by the lists train_val_list.txt, test_list.txt" in done.err
    summary = last_line(done)
    assert summary["status"] == "not_blessed"
    assert summary["examples"]["test"] == len(lists["test"])
    assert summary["examples"]["train"] + summary["examples"]["eval"] == len(lists["train_val"])
    assert len(summary["findings"]) == 14
    of_each = summary["metrics"]["train"]["findings"]
    areas = [figures["auc"] for figures in of_each.values()]
    assert summary["metrics"]["train"]["auc"] == pytest.approx(np.mean(areas))
    assert "NIH ChestX-ray14" in Path(summary["review"]).read_text()


def test_kermanys_file_names_tell_three_classes(tfxray, tmp_path, kermany):
    for number, path in enumerate(sorted(kermany.rglob("*virus*"))):
        if number % 2:
            path.rename(path.with_name(path.name.replace("virus", "bacteria")))
    summary, _ = trained(tfxray, tmp_path, "kermany_three_classes", kermany, "model.image_size=32",
                         "train.epochs=1")  # fmt: skip
    assert {"NORMAL", "BACTERIAL", "VIRAL"} == set(summary["metrics"]["eval"]["findings"])
