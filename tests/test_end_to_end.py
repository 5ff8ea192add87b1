"""The whole pipeline on drawn X-rays: pushed, from the cache, refused; and what was pushed."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.conftest import last_line
from tests.dicoms import dicom
from tfxray.components.common.contract import Task
from tfxray.components.common.filenames import VERSION_RECORD
from tfxray.components.evaluator import results
from tfxray.components.evaluator.heldout_scores import read_scores
from tfxray.components.predict import serving_check
from tfxray.components.shortcuts import shortcut_report
from tfxray.pipeline.config.nodes import NODES, ON_DEMAND


def test_a_run_pushes_a_model_and_says_so(pushed, out):
    assert pushed["status"] == "pushed"
    assert pushed["auc"] > 0.8
    assert pushed["auc_interval"][0] < pushed["auc"] < pushed["auc_interval"][1]
    assert sum(pushed["examples"].values()) == 300
    assert set(pushed["seconds"]) >= set(NODES) - set(ON_DEMAND)
    assert pushed["cached"] == []
    assert Path(pushed["pushed_model"]).parent == out / "serving" / "demo"
    folder = out / "runs" / pushed["run_id"]
    assert json.loads((folder / "summary.json").read_text()) == pushed
    assert (folder / "config.yaml").is_file()
    assert "training on 1 replicas" in (folder / "log.txt").read_text()
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert not list((out / "state").rglob("*.npz"))  # nothing is left to go on with


def test_the_check_of_the_export_reads_from_any_file_system_of_tensorflows(pushed, out):
    model = next(out.glob("artifacts/Trainer/model/*/Format-Serving"))
    scored = next(out.glob("artifacts/Trainer/model_run/*/scored.npz"))
    records = out.glob("artifacts/ExampleGen/examples/*/Split-eval/*")
    paths = [f"file://{path}" for path in (model, scored, *records)]
    done = subprocess.run(
        [sys.executable, "-I", serving_check.__file__, *paths], capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["checked"] > 0
    assert found["largest"] < 1e-4


def test_figures_are_told_split_by_split(pushed):
    assert list(pushed["metrics"]) == ["train", "eval", "test"]
    for split, figures in pushed["metrics"].items():
        positives = figures["true_positives"] + figures["false_negatives"]
        negatives = figures["true_negatives"] + figures["false_positives"]
        assert positives + negatives == pushed["examples"][split]
        right = figures["true_positives"] + figures["true_negatives"]
        assert figures["accuracy"] == pytest.approx(right / (positives + negatives))
        assert figures["recall"] == pytest.approx(figures["true_positives"] / positives)
        assert 0.5 < figures["auc"] <= 1
        assert 0 < figures["cross_entropy"] < 1
    assert pushed["metrics"]["test"]["auc"] == pushed["auc"]


def test_sites_reach_the_trainer_and_the_page_says_why_they_are_too_few(pushed):
    page = Path(pushed["review"]).read_text()
    assert "No table: it takes two sites, one with 10 training patients" in page


def test_the_model_is_held_beside_what_is_known_besides_the_xray(pushed, out):
    (verdict,) = out.glob("artifacts/DataGate/verdict/*")
    associations = {one["trait"]: one for one in shortcut_report.read_found(str(verdict))}
    assert {"study/site", "study/view", "patient/sex", "image/mean"} <= set(associations)
    images = sum(pushed["examples"][split] for split in ("train", "eval", "test"))
    for trait in ("study/view", "image/mean"):
        assert sum(rate["images"] for rate in associations[trait]["rates"]) == images
    (evaluation,) = out.glob("artifacts/Evaluator/evaluation/*")
    beside = {one["trait"]: one for one in shortcut_report.read_found(str(evaluation))}
    view = beside["study/view"]
    assert view["model"]["value"] == pytest.approx(pushed["auc"])
    assert sum(part["images"] for part in view["strata"]) == pushed["examples"]["test"]
    page = Path(pushed["review"]).read_text()
    assert 'id="shortcuts"' in page
    assert "What the embedding tells" in page


def test_no_patient_is_in_two_splits(pushed, out):
    patients = {}
    for split in ("train", "eval", "test"):
        for features in examples(out, split):
            patient = features["patient/id"].bytes_list.value[0]
            patients.setdefault(patient, set()).add(split)
    assert len(patients) > 75
    assert all(len(splits) == 1 for splits in patients.values())


def test_the_page_holds_verdict_slices_and_anomalies(pushed):
    page = Path(pushed["review"]).read_text()
    assert "<strong>Pushed</strong>" in page
    assert "study/site: north" in page
    assert "patient/sex: F" in page
    assert "no blessed run over other data to compare with" in page
    assert "http://" not in page.split("<script>")[0]


def test_an_identical_run_comes_from_the_cache(pushed, run):
    again = last_line(run())
    # Resolvers are asked anew each time; that is what they are for.
    resolvers = {"BaselineModel", "BaselineStatistics"}
    assert set(again["cached"]) == set(NODES) - set(ON_DEMAND) - resolvers
    assert again["pushed_model"] == pushed["pushed_model"]
    assert again["auc"] == pushed["auc"]


def test_rules_and_operating_point_are_told(pushed, out):
    rules = {rule["rule"]: rule for rule in pushed["rules"]}
    assert set(rules) >= {"auc", "positives", "negatives", "baseline", "servable"}
    assert rules["servable"]["passed"]
    assert rules["baseline"]["passed"] is None
    (path,) = out.glob("artifacts/Trainer/model_run/*/operating_point.json")
    decision = json.loads(path.read_text())
    assert 0 < decision["threshold"] < 1
    counted = decision["validation"]["positives"] + decision["validation"]["negatives"]
    assert counted == pushed["examples"]["eval"]


def test_a_photograph_gets_no_score_unless_forced(pushed, tfxray, tmp_path):
    from sklearn.datasets import load_sample_images

    path = tmp_path / "china.png"
    Image.fromarray(load_sample_images().images[0]).save(path)
    done = tfxray("predict", path, "--model", pushed["pushed_model"])
    assert done.code == 0
    assert "not like the training data" in done.out
    assert "NORMAL" not in done.out
    forced = tfxray("predict", path, "--model", pushed["pushed_model"], "--force", "--json")
    found = json.loads(forced.out.strip().splitlines()[-1])
    assert found["unlike"]
    assert set(found["scores"]) == {"NORMAL", "PNEUMONIA"}


def test_a_folder_is_scored_as_its_images_are(pushed, tfxray, drawn, tmp_path):
    model = pushed["pushed_model"]
    done = tfxray("predict", "--input", drawn, "--output", tmp_path / "out", "--model", model)
    assert done.code == 0, done.err
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert len(rows) == 300
    told = tfxray(
        "predict", *(drawn / row["name"] for row in rows[:40]), "--model", model, "--json"
    )
    for row, line in zip(rows, told.out.strip().splitlines(), strict=False):
        one = json.loads(line)
        assert (row["label"], row["unlike"] == "true") == (one["label"] or "", one["unlike"])
        if one["scores"]:
            assert float(row["score"]) == pytest.approx(one["scores"]["PNEUMONIA"], abs=1e-5)


def test_what_was_scored_is_watched(pushed, tfxray, drawn, tmp_path):
    """A quiet month, a brighter one, and labels that arrive later."""
    model = shutil.copytree(pushed["pushed_model"], tmp_path / "copy" / "1").parent
    manifest = list(csv.DictReader((drawn / "manifest.csv").open()))
    for row in manifest:
        pixels = np.asarray(Image.open(drawn / row["path"])).astype(int)
        (tmp_path / "brighter" / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        brighter = np.clip(pixels + 60, 0, 255).astype(np.uint8)
        Image.fromarray(brighter).save(tmp_path / "brighter" / row["path"])
    for source, out in ((drawn, "october"), (tmp_path / "brighter", "november")):
        done = tfxray("predict", "--input", source, "--output", tmp_path / out, "--model", model)
        assert done.code == 0, done.err
    quiet = tfxray("monitor", "--model", model, "--scored", tmp_path / "october")
    assert quiet.code == 0, quiet.err
    assert "All right" in quiet.err
    assert "not compared, since these images do not tell it: patient/age" in quiet.err
    page = Path(quiet.out.strip())
    assert page == tmp_path / "october" / "monitor.html"
    for place in (page, tmp_path / "october" / "statistics.json", model / "1" / "assets.extra" /
                  "monitoring.json"):  # fmt: skip
        text = place.read_text()
        assert not any(row["patient"] in text or row["path"] in text for row in manifest)

    labels = tmp_path / "labels.csv"
    rows = "".join(f"{row['path']},{row['label']},{row['patient']}\n" for row in manifest)
    labels.write_text(f"name,label,patient\n{rows}")
    command = ("monitor", "--model", model, "--scored", tmp_path / "november")
    changed = tfxray(*command, tmp_path / "october", "--labels", labels, "--json")
    assert changed.code == 0, changed.err
    november, october = last_line(changed)["months"]
    assert november["status"] == "drifted"
    assert "image/mean" in [m["name"] for m in november["measures"] if m["drifted"]]
    assert october["labelled"]["patients"] == len({row["patient"] for row in manifest})
    scores = {row["name"]: row for row in csv.DictReader((tmp_path / "october" /
              "predictions.csv").open())}  # fmt: skip
    pairs = [(row["label"] == "PNEUMONIA", float(scores[row["path"]]["score"]))
             for row in manifest if scores[row["path"]]["score"]]  # fmt: skip
    assert october["labelled"]["auc"]["value"] == pytest.approx(
        roc_auc_score(*zip(*pairs, strict=True))
    )
    assert tfxray(*command).code == 4
    again = tfxray("predict", "--input", drawn, "--output", tmp_path / "october", "--model", model)
    assert "nothing to do" in again.err  # the page does no harm

    labels.write_text("name,label\nnowhere.png,NORMAL\n")
    stranger = tfxray(*command, "--labels", labels)
    assert (stranger.code, "never scored" in stranger.err) == (2, True)
    other = shutil.copytree(model, tmp_path / "other")
    (other / "1" / "assets.extra" / "monitoring.json").unlink()
    bare = tfxray("monitor", "--model", other, "--scored", tmp_path / "october")
    assert (bare.code, "holds no assets.extra/monitoring.json" in bare.err) == (2, True)


def examples(out, split):
    paths = [str(p) for p in out.glob(f"artifacts/ExampleGen/examples/*/Split-{split}/*")]
    for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


# A process that has TensorFlow and cannot import tfxray, TFX or Keras 3's models.
ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tfxray", "tfx", "tensorflow_transform", "tfx_bsl"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import json, base64
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = [base64.b64decode(line) for line in sys.stdin]
key, name = sys.argv[2:]
result = model.signatures[name](**{key: tf.constant(given)})
print(json.dumps({k: v.numpy().tolist() if v.dtype != tf.string else [
    [c.decode() for c in row] for row in v.numpy()] for k, v in result.items()}))
"""


def alone(model, key, signature, given):
    import base64

    lines = "\n".join(base64.b64encode(item).decode() for item in given)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, model, key, signature],
        input=lines, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_tensorflow_alone_scores_as_tfma_judged(pushed, out):
    held_out = list(examples(out, "test"))
    labels = [f["image/class/label"].int64_list.value[0] for f in held_out]
    images = [f["image/encoded"].bytes_list.value[0] for f in held_out]
    by_bytes = alone(pushed["pushed_model"], "image_bytes", "serving_bytes", images)
    serialized = [
        tf.train.Example(features=tf.train.Features(feature=dict(f))).SerializeToString()
        for f in held_out
    ]
    by_example = alone(pushed["pushed_model"], "examples", "serving_default", serialized)

    scores = np.array(by_bytes["scores"])
    assert np.allclose(scores, by_example["scores"], atol=1e-5)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert by_bytes["classes"][0] == ["NORMAL", "PNEUMONIA"]
    assert np.allclose(scores[:, 1], by_bytes["score"])
    # The area, and example by example the scores, are those that TFMA judged.
    exact = roc_auc_score(labels, scores[:, 1])
    assert exact == pytest.approx(pushed["auc"], abs=1e-6)
    evaluation = min(out.glob("artifacts/Evaluator/evaluation/*"), key=lambda path: int(path.name))
    read = results.read_results(str(evaluation), Task(("NORMAL", "PNEUMONIA")))
    assert exact == pytest.approx(read.slices[0].figures["auc"].value, abs=1e-3)
    table = read_scores(evaluation)
    assert sorted(table["score"]) == pytest.approx(sorted(scores[:, 1]), abs=1e-4)
    assert set(table["image/filename"]) == {
        f["image/filename"].bytes_list.value[0].decode() for f in held_out
    }
    # What the model says of an image is what its threshold says.
    assert by_bytes["positive"] == [float(s >= t) for s, t in zip(
        by_bytes["score"], by_bytes["threshold"], strict=True)]  # fmt: skip


def test_predict_prints_scores_in_file_order_and_goes_on_past_a_bad_image(
    pushed, tfxray, drawn, out, tmp_path
):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    sick = next((drawn / "PNEUMONIA").glob("*.png"))
    well = next((drawn / "NORMAL").glob("*.png"))
    done = tfxray("predict", sick, bad, well, "--model", out)
    lines = done.out.strip().splitlines()
    assert done.code == 2
    assert "bad.png: not_an_image" in done.err
    assert [line.split(":")[0] for line in lines] == [str(sick), str(well)]
    for line in lines:
        label, score, threshold = re.search(
            r": (\S+)  score (\S+) for PNEUMONIA, threshold (\S+)$", line
        ).groups()
        assert (label == "PNEUMONIA") == (float(score) >= float(threshold))
    assert tfxray("predict", sick, "--model", pushed["pushed_model"]).code == 0
    film = tmp_path / "film.dcm"
    film.write_bytes(dicom(np.asarray(Image.open(sick)), bits=8))
    as_dicom = tfxray("predict", film, sick, "--model", out).out.strip().splitlines()
    assert as_dicom[0].split(": ")[1] == as_dicom[1].split(": ")[1]


def test_explain_draws_what_the_served_model_goes_by(pushed, tfxray, drawn, out, tmp_path):
    ill = next((drawn / "PNEUMONIA").glob("*.png"))
    picture = tmp_path / "why" / "ill.png"
    told = []
    for method in ("grad-cam", "integrated-gradients", "shap"):  # the last one by the run's images
        done = tfxray(
            "explain", ill, "--model", out, "--out", picture, "--method", method, "--json"
        )
        assert done.code == 0, done.err
        told.append(last_line(done))
        with Image.open(picture) as drawn_over:
            drawn_over.load()
            assert min(drawn_over.size) > 500
    predicted = last_line(tfxray("predict", ill, "--model", out, "--json"))
    for one in told:
        assert one["class"] == "PNEUMONIA"
        assert one["model"] == pushed["pushed_model"]
        assert one["score"] == pytest.approx(predicted["scores"]["PNEUMONIA"], abs=1e-6)

    # The maps' model is the served one, to its last bit: nothing is rounded in this mode.
    from tfxray.components.explain import heat_maps
    from tfxray.components.transform import preprocessing

    explainer = heat_maps.load_explainer(Path(pushed["pushed_model"]))
    pixels = preprocessing.decode_pixels(tf.constant(ill.read_bytes()), explainer.size)[
        np.newaxis, ..., 0
    ]
    assert explainer.score(pixels.numpy())[0] == pytest.approx(told[0]["score"], abs=1e-4)

    # A copy of the model knows no training images, and says what to give instead.
    alone = tmp_path / "alone"
    shutil.copytree(pushed["pushed_model"], alone)
    command = ("explain", ill, "--model", alone, "--method", "shap", "--out", picture)
    refused = tfxray(*command)
    assert refused.code == 2
    assert "give a folder of X-rays as --background" in refused.err
    assert tfxray(*command, "--background", drawn).code == 0

    # A model's older neighbour's layers would explain another model.
    import keras

    path = alone / "assets.extra" / "explain.keras"
    other = keras.saving.load_model(path)
    logit = other.get_layer("head").get_layer("logit")
    logit.set_weights([weight + 1 for weight in logit.get_weights()])
    other.save(path)
    refused = tfxray("explain", ill, "--model", alone, "--out", picture)
    assert refused.code == 2
    assert "this version is damaged: assets.extra/explain.keras" in refused.err
    (alone / VERSION_RECORD).unlink()  # as of a model that another tool copied
    refused = tfxray("explain", ill, "--model", alone, "--out", picture)
    assert refused.code == 2
    assert "it is another model's" in refused.err


def test_review_writes_the_latest_page_again(pushed, tfxray, out):
    latest = max(out.glob("runs/*"))
    (latest / "review.html").unlink()
    done = tfxray("review", "--out", out)
    assert done.code == 0
    assert done.out.strip() == str(latest / "review.html")
    assert (latest / "review.html").is_file()
