"""What later runs do: they refuse, go on from the cache, and mend what was pushed."""

import csv
import html
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.conftest import last_line
from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.pusher import versions
from tfxray.components.sample import draw

# Seconds of each evaluation; `first_run` has it.
UNCHECKED = ("--set", "gate.servable=false")
STRICT = ("--set", "gate.auc.threshold=0.9999", *UNCHECKED)


def test_a_refused_model_is_not_pushed_and_the_last_good_one_stays(pushed, run, out):
    done = run(*STRICT)
    summary = last_line(done)
    assert done.code == 3
    assert (summary["status"], summary["pushed_model"]) == ("not_blessed", None)
    assert "below the threshold 0.9999" in summary["reason"]
    assert [str(p) for p in (out / "serving" / "demo").iterdir()] == [pushed["pushed_model"]]
    assert "Not blessed" in Path(summary["review"]).read_text()
    # Neither again, from the cache, nor by a blessing that somebody wrote.
    assert run(*STRICT).code == 3
    (refusal,) = out.glob("artifacts/Evaluator/blessing/*/NOT_BLESSED")
    refusal.rename(refusal.with_name("BLESSED"))
    done = run(*STRICT)
    assert done.code == 3
    assert last_line(done)["pushed_model"] is None
    assert [str(p) for p in (out / "serving" / "demo").iterdir()] == [pushed["pushed_model"]]


def test_a_rule_of_ours_takes_tfmas_blessing_back(pushed, run, out):
    before = set((out / "serving" / "demo").iterdir())
    done = run("--set", "gate.min_positives=1000", *UNCHECKED)
    summary = last_line(done)
    assert done.code == 3
    assert "at least 1000 are needed" in summary["reason"]
    assert [rule["rule"] for rule in summary["rules"] if rule["passed"] is False] == ["positives"]
    assert set((out / "serving" / "demo").iterdir()) == before
    # The refused model is no baseline, neither of models nor of data.
    again = last_line(run())
    assert again["status"] == "pushed"
    assert again["auc"] == pushed["auc"]


def test_a_damaged_push_is_named_and_pushed_again(pushed, run, tfxray, drawn):
    current = last_line(run())
    version = Path(current["pushed_model"])
    assert versions.find_damage(str(version)) is None
    index = version / "variables" / "variables.index"
    os.truncate(index, index.stat().st_size - 1)
    image = next(drawn.rglob("*.png"))
    for command in (("predict",), ("explain", "--out", drawn.parent / "none.png")):
        done = tfxray(*command, image, "--model", version.parent.parent.parent)
        assert done.code == 2
        assert "the newest version is damaged: variables/variables.index has" in done.err
    done = run()
    again = last_line(done)
    assert done.code == 0
    assert f"version {version.name} is damaged: variables/variables.index" in done.err
    assert int(Path(again["pushed_model"]).name) > int(version.name)
    assert versions.find_newest(str(version.parent)).sound == again["pushed_model"]


def test_a_push_that_was_removed_is_pushed_again(pushed, run):
    shutil.rmtree(pushed["pushed_model"])
    again = last_line(run())
    assert again["status"] == "pushed"
    assert (Path(again["pushed_model"]) / "saved_model.pb").is_file()
    assert again["pushed_model"] != pushed["pushed_model"]


def test_drift_against_the_last_blessed_run_stops_the_next(
    pushed, tfxray, drawn, small_config, out
):
    """Another machine, of another exposure: after a blessed run, it is stopped and named."""
    folder = out / "another-machine"
    for path in drawn.rglob("*.png"):
        copy = folder / path.relative_to(drawn)
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).point(lambda grey: min(255, grey // 3 + 150)).save(copy)
    (folder / "manifest.csv").write_bytes((drawn / "manifest.csv").read_bytes())
    done = tfxray("run", "--config", small_config, "--data", folder, "--out", out, "--json")
    summary = last_line(done)
    assert done.code == 4
    assert summary["status"] == "data_rejected"
    assert "drift against the latest blessed run" in summary["reason"]
    assert "image/mean (Jensen-Shannon" in summary["reason"]
    assert "Transform" not in summary["seconds"]
    stopped = summary["run_id"]
    compared = tfxray("review", "--out", out, "--compare", pushed["run_id"], stopped)
    assert compared.code == 2
    assert f"run {stopped}: data_rejected, no model was judged" in compared.err


def test_swapped_labels_are_refused(pushed, tfxray, drawn, small_config, out):
    """The blessed model's AUC falls on them, which once was taken for the candidate's progress."""
    folder = out / "swapped"
    shutil.copytree(drawn, folder)
    with (drawn / "manifest.csv").open() as manifest:
        rows = list(csv.DictReader(manifest))
    other = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    with (folder / "manifest.csv").open("w") as manifest:
        writer = csv.DictWriter(manifest, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": other[row["label"]]} for row in rows)
    before = set((out / "serving" / "demo").iterdir())
    done = tfxray(
        "run", "--config", small_config, "--data", folder, "--out", out, "--json", *UNCHECKED
    )
    summary = last_line(done)
    assert done.code == 3, done.err
    rules = {rule["rule"]: rule for rule in summary["rules"]}
    assert rules["baseline"]["passed"]
    failed = [rule["rule"] for rule in summary["rules"] if rule["passed"] is False]
    assert set(failed) == {"label_shift", "relabelled"}
    test = pushed["examples"]["test"]
    assert f"{test} of {test} held-out images known to the latest blessed run" in summary["reason"]
    # The blessed model's figures of its day are those that its own run told.
    assert f"had {pushed['auc']:.4f} in its own run" in rules["label_shift"]["text"]
    assert "as if they had been swapped" in summary["reason"]
    assert "Labels, by the latest blessed model" in Path(summary["review"]).read_text()
    assert set((out / "serving" / "demo").iterdir()) == before


def test_a_model_that_fails_at_another_hospital_is_refused(pushed, run, out, tmp_path):
    """Of two hospitals with the same images, one calls healthy what the other one calls ill."""
    draw.write_sample(tmp_path / "other", images=80, size=96, seed=31)
    other = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    north = {"data": str(tmp_path / "other"), "patients": "own"}
    sets = {"north": north, "turned": {**north, "ingest": {"labels": other}}}
    before = set((out / "serving" / "demo").iterdir())
    limit = ("--set", "gate.external.auc=0.6", *UNCHECKED)
    done = run("--set", f"evaluate.external={json.dumps(sets)}", *limit)
    summary = last_line(done)
    assert done.code == 3, done.err
    assert "Trainer" in summary["cached"]
    assert set((out / "serving" / "demo").iterdir()) == before
    failed = [r for r in summary["rules"] if r["passed"] is False]
    assert {(r["rule"], r["slice"]) for r in failed} == {
        ("external_auc", "external: turned"), ("external_drop", "external: turned")
    }  # fmt: skip
    assert "external test set turned: AUC 0." in summary["reason"]
    assert "(gate.external.auc)" in summary["reason"]
    told = summary["external"]
    (folder,) = out.glob("artifacts/ExternalTest/scores/*")
    table = heldout_scores.read_scores(folder / "north")
    area = roc_auc_score(table[contract.LABEL], table[contract.SCORE])
    assert told["north"]["auc"] == pytest.approx(area)
    assert told["turned"]["auc"] == pytest.approx(1 - area)
    change = told["north"]["change_from_test"]
    assert change == pytest.approx(told["north"]["auc"] - summary["auc"])
    assert told["north"]["images"] == len(table) == 80
    assert told["north"]["unlike"] == pytest.approx(table[contract.UNLIKE].mean())
    assert told["north"]["positives"] == told["turned"]["negatives"]
    page = Path(summary["review"]).read_text()
    assert "External test sets</h2>" in page
    card = (Path(summary["review"]).parent / "MODEL_CARD.md").read_text()
    assert "| turned | 80 |" in card
    assert "FAILED: external test set turned" in card


def test_two_runs_are_compared(pushed, run, tfxray, out):
    # Of the same model, under a stricter gate.
    refused = last_line(run(*STRICT))["run_id"]
    done = tfxray("review", "--out", out, "--compare", pushed["run_id"], refused)
    assert done.code == 0
    assert pushed["run_id"] in done.out
    assert f"On the {pushed['examples']['test']} held-out images" in done.out
    auc = next(line for line in done.out.splitlines() if line.startswith("AUC"))
    assert auc.split()[-3:] == ["+0.0000", "[+0.0000,", "+0.0000]"]
    folder = out / "runs" / refused
    as_json = tfxray("review", "--compare", folder, folder, "--json")
    assert json.loads(as_json.out)["images"] == pushed["examples"]["test"]
    assert tfxray("review", "--out", out, "--compare", "a", "b").code == 2
    assert tfxray("review").code == 2


def test_without_a_metadata_store_what_was_pushed_is_not_replaced(
    pushed, tfxray, drawn, quick_config, out
):
    command = ("run", "--config", quick_config, "--data", drawn, "--out", out, "--json")
    served = versions.find_newest(str(out / "serving" / "demo")).sound
    (out / "metadata.db").unlink()
    done = tfxray(*command)
    assert done.code == 2
    assert "is missing, beside the artifacts of earlier runs" in done.err
    assert tfxray("clean", "--new-store", "--out", out).code == 0
    done = tfxray(*command)
    summary = last_line(done)
    assert done.code == 3, done.err
    assert [rule["rule"] for rule in summary["rules"] if rule["passed"] is False] == ["baseline"]
    assert f"version {Path(served).name} was pushed (AUC 0." in summary["reason"]
    assert versions.find_newest(str(out / "serving" / "demo")).sound == served
    assert summary["reason"] in html.unescape(Path(summary["review"]).read_text())
    done = tfxray(*command, "--set", f"gate.accept_without_baseline={Path(served).name}")
    assert done.code == 0, done.err
    assert last_line(done)["pushed_model"] != served
