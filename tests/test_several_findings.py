"""A whole run of several findings, and of several classes: what is pushed, and what it tells."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from sklearn.metrics import roc_auc_score

from tests.conftest import last_line
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores, results
from tfxray.components.sample import several
from tfxray.components.shortcuts import shortcut_report

NAMES = ["Effusion", "Cardiomegaly", "Pneumothorax"]
TASK = Task(tuple(NAMES), exclusive=False)


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("findings") / "xrays"
    several.write_findings(folder, images=400, size=96, seed=5)
    return folder


@pytest.fixture(scope="module")
def config(small_config, tmp_path_factory):
    settings = yaml.safe_load(small_config.read_text())
    settings |= {"name": "findings", "findings": NAMES}
    del settings["classes"]
    settings["gate"] |= {"unjudged": "name", "min_positives": 3, "min_negatives": 3}
    settings["gate"]["servable"] = False
    path = tmp_path_factory.mktemp("config") / "findings.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def run(tfxray, config, xrays, out):
    def call(*arguments):
        return tfxray(
            "run", "--config", config, "--data", xrays, "--out", out, "--json", *arguments
        )

    return call


def scored(out):
    (folder,) = (out / "artifacts" / "Evaluator" / "evaluation").iterdir()
    return str(folder), heldout_scores.read_scores(folder)


def test_a_model_of_findings_is_pushed_with_figures_of_each(pushed, out):
    assert pushed["status"] == "pushed"
    folder, table = scored(out)
    labels, scores = heldout_scores.matrices(table, TASK)
    areas = [
        roc_auc_score(own[own >= 0], score[own >= 0])
        for own, score in zip(labels.T, scores.T, strict=True)
    ]
    assert pushed["auc"] == pytest.approx(np.mean(areas), abs=1e-9)
    low, high = pushed["auc_interval"]
    assert low < pushed["auc"] <= high
    assert pushed["metrics"]["test"]["auc"] == pytest.approx(pushed["auc"])
    assert list(pushed["findings"]) == NAMES
    for told, area, own in zip(pushed["findings"].values(), areas, labels.T, strict=True):
        assert told["auc"] == pytest.approx(area, abs=1e-9)
        assert told["auc_interval"][0] < area <= told["auc_interval"][1]
        counts = [int((own == value).sum()) for value in (1, 0, -1)]
        assert [told["positives"], told["negatives"], told["unknown"]] == counts
        assert 0 < told["operating_point"] < 1
    of_each = pushed["metrics"]["test"]["findings"]
    read = results.read_results(folder, TASK)
    for name, area in zip(NAMES, areas, strict=True):
        tfmas = read.by_finding[name][0]
        known = heldout_scores.view(table, TASK, name)
        assert tfmas.images == len(known)
        assert tfmas.figures["auc"].value == pytest.approx(area, abs=1e-3)
        assert of_each[name]["auc"] == pytest.approx(area, abs=1e-3)
        assert {"auc", "accuracy", "recall"} <= pushed["metrics"]["eval"]["findings"][name].keys()


def test_each_finding_is_held_beside_what_is_known_besides_the_xray(pushed, out):
    folder, _ = scored(out)
    models = {one["finding"]: one["model"]["value"] for one in shortcut_report.read_found(folder)}
    assert list(models) == NAMES
    for name, told in pushed["findings"].items():
        assert models[name] == pytest.approx(told["auc"])


def test_labels_are_those_of_the_manifest(pushed, xrays, out):
    _, table = scored(out)
    with (xrays / "manifest.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    for name in NAMES:
        told = [rows[path][name] or "-1" for path in table["image/filename"]]
        assert table[f"label/{name}"].astype(str).tolist() == told


def test_tensorflow_alone_scores_as_the_pipeline_did(pushed, xrays, out):
    _, table = scored(out)
    model = tf.saved_model.load(pushed["pushed_model"])
    paths = table["image/filename"][:8]
    encoded = tf.constant([(xrays / path).read_bytes() for path in paths])
    outputs = model.signatures["serving_bytes"](image_bytes=encoded)
    _, scores = heldout_scores.matrices(table, TASK)
    assert outputs["scores"].numpy() == pytest.approx(scores[:8], abs=1e-6)
    assert outputs["classes"].numpy()[0].tolist() == [name.encode() for name in NAMES]
    assert outputs["threshold"].shape == outputs["positive"].shape == (8, 3)
    assert outputs["score"].numpy() == pytest.approx(scores[:8].max(1), abs=1e-6)
    names = json.loads((Path(pushed["pushed_model"]) / "assets.extra" / "classes.json").read_text())
    assert names == {"findings": NAMES}


def test_images_are_scored_and_explained(pushed, xrays, out, tfxray, tmp_path):
    image = next((xrays / "images").glob("*.png"))
    done = tfxray("predict", image, "--model", out, "--force", "--json")
    prediction = json.loads(done.out)
    above = [name for name, score in prediction["scores"].items()
             if score >= prediction["thresholds"][name]]  # fmt: skip
    assert list(prediction["scores"])[: len(above)] == above
    assert prediction["label"] == "|".join(above)
    assert set(prediction["scores"]) == set(NAMES)
    done = tfxray(
        "predict", "--input", xrays / "images", "--output", tmp_path / "scores", "--model", out
    )
    assert done.code == 0, done.err
    with (tmp_path / "scores" / "predictions.csv").open() as file:
        (first, *_) = csv.DictReader(file)
    assert list(first) == ["name", "label", *(f"score {name}" for name in NAMES), "distance",
                           "unlike"]  # fmt: skip
    for name in (NAMES[1], "Hernia"):
        done = tfxray("explain", image, "--model", out, "--out", tmp_path / "why.png",
                      "--finding", name, "--force", "--json")  # fmt: skip
        if name == "Hernia":
            assert done.code == 2
            assert "scores no 'Hernia'; allowed: Effusion, Cardiomegaly, Pneumothorax" in done.err
        else:
            told = json.loads(done.out)
            assert told["class"] == name
            assert told["score"] == pytest.approx(prediction["scores"][name], abs=1e-6)


def test_another_policy_trains_anew_and_ingests_nothing(pushed, run):
    done = run("--set", "ingest.uncertain=positive", "--to", "Trainer")
    summary = last_line(done)
    assert done.code == 0, done.err
    assert {"ExampleGen", "StatisticsGen"} <= set(summary["cached"])
    assert not {"Transform", "Trainer"} & set(summary["cached"])
    assert summary["metrics"]["train"] != pushed["metrics"]["train"]


def test_three_classes_are_told_apart(tfxray, drawn, quick_config, tmp_path):
    """The healthy, those with a lobar opacity and those with another."""
    with (drawn / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    manifest = tmp_path / "data" / "manifest.csv"
    manifest.parent.mkdir()
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "patient"])
        writer.writeheader()
        for row in rows:
            kind = {"": "NORMAL", "lobar": "LOBAR"}.get(row["opacity"], "OTHER")
            writer.writerow({"path": row["path"], "label": kind, "patient": row["patient"]})
    for name in ("NORMAL", "PNEUMONIA"):
        (manifest.parent / name).symlink_to(drawn / name)
    settings = yaml.safe_load(quick_config.read_text())
    settings |= {"name": "three", "classes": ["NORMAL", "LOBAR", "OTHER"]}
    settings["ingest"] = {"follow_links": True}
    (tmp_path / "three.yaml").write_text(yaml.safe_dump(settings))
    done = tfxray("run", "--config", tmp_path / "three.yaml", "--data", manifest.parent,
                  "--out", tmp_path / "out", "--json")  # fmt: skip
    assert done.code == 0, done.err
    summary = last_line(done)
    task = Task(("NORMAL", "LOBAR", "OTHER"))
    _, table = scored(tmp_path / "out")
    labels, scores = heldout_scores.matrices(table, task)
    assert scores.sum(1) == pytest.approx(1, abs=1e-5)
    assert labels.sum(1).tolist() == [1] * len(labels)
    areas = [roc_auc_score(own, score) for own, score in zip(labels.T, scores.T, strict=True)]
    assert summary["auc"] == pytest.approx(np.mean(areas), abs=1e-9)
    image = drawn / rows[0]["path"]
    done = tfxray("predict", image, "--model", tmp_path / "out", "--force", "--json")
    prediction = json.loads(done.out)
    assert prediction["label"] == max(prediction["scores"], key=prediction["scores"].get)
