"""Runs of a part, and what a clean leaves: on drawn X-rays, through the command line."""

import json
import shutil
from pathlib import Path

import pytest

STRICT = ("--set", "gate.auc.threshold=0.9999")
HEAD = ("--set", "model.head.hidden=[8]")
OTHER = ("--set", "model.head.hidden=[4]")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("history")


@pytest.fixture
def run(tfxray, drawn, quick_config, out):
    def call(*arguments, code=0, data=drawn):
        done = tfxray(
            "run", "--config", quick_config, "--data", data, "--out", out, "--json", *arguments
        )
        assert done.code == code, done.err
        return json.loads(done.out.strip().splitlines()[-1])

    return call


def versions(out):
    return {str(path) for path in (out / "serving" / "demo").iterdir()}


def ids(out, pattern):
    return {path.name for path in out.glob(f"artifacts/{pattern}/*")}


def test_parts_take_what_comes_before_and_push_what_was_blessed_alone(run, drawn, out, tmp_path):
    # Nothing to take yet, and nothing is begun.
    refused = run("--from", "Trainer", code=2)
    assert "the ingest would have to run" in refused["reason"]
    assert not list((out / "data").glob("*records*"))

    first = run()
    second = run("--from", "Trainer", *HEAD)
    assert {"ExampleGen", "DataGate", "Transform"} <= set(second["cached"])
    assert not {"Trainer", "Evaluator", "Pusher"} & set(second["cached"])
    again = run("--from", "Pusher", *HEAD)
    assert {"Trainer", "Evaluator"} <= set(again["cached"])
    # The newest version is this very model: to push it again would change nothing.
    assert again["pushed_model"] == second["pushed_model"] != first["pushed_model"]
    assert versions(out) == {first["pushed_model"], second["pushed_model"]}

    # Other data, as far as they are known.
    (tmp_path / "other").mkdir()
    for path in sorted(drawn.rglob("*.png"))[:-1]:
        copy = tmp_path / "other" / path.relative_to(drawn)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shutil.copy(drawn / "manifest.csv", tmp_path / "other")
    other = run("--from", "Trainer", code=2, data=tmp_path / "other")
    assert "the ingest would have to run" in other["reason"]


def test_a_part_that_pushes_nothing_says_so(run, tfxray, out):
    done = run("--to", "Trainer", *OTHER)
    assert (done["status"], done["auc"], done["pushed_model"]) == ("prepared", None, None)
    assert done["reason"] == "only a part was to be run: --to Trainer"
    assert "SchemaGen" in done["seconds"]
    assert not {"Evaluator", "Pusher"} & set(done["seconds"])
    assert "Done, nothing pushed" in Path(done["review"]).read_text()
    assert tfxray("schema", "--out", out).code == 0


def test_no_part_pushes_what_this_gate_did_not_bless(run, out):
    before = versions(out)
    unjudged = run("--from", "Pusher", *STRICT, code=2)
    assert "Evaluator would have to run" in unjudged["reason"]
    judged = run("--to", "Evaluator", *STRICT, code=3)
    assert judged["status"] == "not_blessed"
    assert "Pusher" not in judged["seconds"]
    refused = run("--from", "Pusher", *STRICT, code=3)
    assert (refused["status"], refused["pushed_model"]) == ("not_blessed", None)
    assert "Pusher" not in refused["cached"]
    assert versions(out) == before


def test_after_a_clean_runs_go_on_and_what_was_pushed_stays(run, tfxray, drawn, out):
    listed = tfxray("runs", "--out", out, "--json")
    past = [json.loads(line) for line in listed.out.splitlines()]
    pushed = [run["pushed_model"] for run in past if run["status"] == "pushed"]
    assert versions(out) == set(pushed)
    assert {"model.head.hidden": [4]}.items() <= past[-4]["changed"].items()
    assert past[-1]["data"] == str(drawn)

    trained = ids(out, "Trainer/model")
    told = tfxray("clean", "--out", out, "--keep", 1, "--dry-run").out
    assert "would free" in told
    assert ids(out, "Trainer/model") == trained
    assert tfxray("clean", "--out", out, "--keep", 1).code == 0
    assert len(trained - ids(out, "Trainer/model")) == 1  # never judged

    # What was pushed stays and works, and so does what is needed for the newest page.
    assert versions(out) == set(pushed)
    image = next(drawn.rglob("*.png"))
    assert tfxray("predict", image, "--model", pushed[0]).code == 0
    page = out / "runs" / past[-1]["run_id"] / "review.html"
    page.unlink()
    assert tfxray("review", "--out", out).code == 0
    assert "Not blessed" in page.read_text()
    # From the cache, what is there; anew, what is not.
    same = run(*HEAD)
    assert same["pushed_model"] == pushed[-1]
    assert {"Trainer", "Evaluator", "Pusher"} <= set(same["cached"])
    gone = run("--to", "Trainer", *OTHER)
    assert "Transform" in gone["cached"]
    assert "Trainer" not in gone["cached"]
