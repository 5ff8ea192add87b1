"""`tfxray tune`: what it refuses, what it finds and writes, and that it goes on."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import DEMO
from tfxray.components.trainer import training
from tfxray.pipeline.cli import tune
from tfxray.pipeline.config import loader
from tfxray.pipeline.config.tune import Range


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tune.ranges={model.backbone: [VGG16]}", "allowed: train.learning_rate, train.batch_size"),
        ("tune.ranges={train.copies: [1, 2]}", "tune.ranges.train.copies = 'train.copies': cannot"),
        ("tune.ranges={train.seed: [1, 2]}", "cannot be tuned"),
        ("tune.ranges={}", "nothing to search"),
        ("tune.ranges={train.batch_size: []}", "tune.ranges.train.batch_size = []: there are no"),
        ("tune.ranges={train.batch_size: [8, 8]}", "named twice"),
        ("tune.ranges={train.learning_rate: {min: 1}}", "needs min and max"),
        ("tune.ranges={train.learning_rate: {min: 1, max: 0.1}}", "min 1 is greater than max 0.1"),
        (
            "tune.ranges={train.weight_decay: {min: 0, max: 1, log: true}}",
            "log needs a min above 0",
        ),
        ("tune.ranges={train.weight_decay: {min: 0, max: .inf}}", "must be finite"),
        ("tune.ranges={train.weight_decay: {min: 0, max: 1, step: 0}}", "step 0: must be above 0"),
        ("tune.ranges={train.epochs: {min: 1, max: 8, log: true, step: 1}}", "factor, above 1"),
        ("tune.ranges={train.epochs: {min: 1, max: 8, step: 0.5}}", "takes whole numbers"),
        ("tune.ranges={train.epochs: {min: 0.5, max: 8}}", "train.epochs = 0.5"),
        ("tune.ranges={train.epochs: {least: 1}}", "tune.ranges.train.epochs.least: no such key"),
        ("tune.ranges={model.head.dropout: {min: 0, max: 1.5}}", "model.head.dropout = 1.5"),
        ("tune.ranges={model.head.hidden: [[], [0]]}", "model.head.hidden.0 = 0"),
        ("tune.ranges={train.optimizer: [adam, adamx]}", "train.optimizer = 'adamx'"),
        ("tune.ranges={train.optimizer: {min: 0, max: 1}}", "train.optimizer = 0"),
        ("tune.ranges={train.class_weights: {min: 0, max: 1}}", "takes no numbers"),
        ("tune.trials=1", "tune.trials = 1"),
        ("tune.monitor=f1", "'cross_entropy'"),
        ("train.mode=fine_tune", "which only mode frozen has"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_data_is_processed(
    tfxray, tmp_path, override, message
):
    outcome = tfxray("tune", "--config", DEMO, "--out", tmp_path / "out", "--set", override)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_target_that_cannot_be_written_is_refused_at_once(tfxray, tmp_path):
    for target, message in ((DEMO, "is the config itself"), (tmp_path / "no" / "c", "a folder")):
        outcome = tfxray("tune", "--config", DEMO, "--out", tmp_path / "out", "--write", target)
        assert outcome.code == 2
        assert message in outcome.err
    assert not (tmp_path / "out").exists()


def test_ranges_are_taken_as_the_config_takes_their_values(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "name: a\nclasses: [A, B]\ntune: {ranges: {train.learning_rate: {min: 1e-4, max: 1, "
        "log: true}, train.epochs: {min: 2, max: 9}, train.schedule: [cosine]}}\n"
    )
    rate, epochs, schedule = tune.read_spaces(loader.load_config(path))
    assert (rate.least, rate.most, rate.whole, rate.own, rate.start) == (1e-4, 1, False, 1e-3, 1e-3)
    assert rate.value(0.00123456) == 0.001235
    assert (epochs.whole, epochs.own, epochs.start) == (True, 40, 2)
    assert not epochs.holds_own
    assert (schedule.start, schedule.value(schedule.start)) == ('"cosine"', "cosine")
    assert Range.model_validate([[], [8]]).model_dump() == [[], [8]]
    assert Range(min=0, max=1).model_dump() == {"min": 0, "max": 1}


def result(outcome):
    """The table and what follows; in this process, libraries' output stands before it."""
    return outcome.out[outcome.out.rindex("trial  ") :].strip()


def test_it_finds_writes_and_goes_on(tfxray, drawn, quick_config, tmp_path, monkeypatch):
    raw = yaml.safe_load(quick_config.read_text())
    raw["tune"] = {
        "trials": 3,
        "ranges": {
            "train.learning_rate": {"min": 1e-3, "max": 0.1, "log": True},
            "model.head.hidden": [[], [16]],
        },
    }
    source, out = tmp_path / "mine.yaml", tmp_path / "out"
    source.write_text(yaml.safe_dump(raw, sort_keys=False))

    def search(*more):
        arguments = ("--config", source, "--data", drawn, "--out", out, "--set", "train.epochs=4")
        return tfxray("tune", *arguments, *more)

    outcome = search()
    assert outcome.code == 0, outcome.err
    *rows, verdict, path = result(outcome).splitlines()
    rows = [row.split() for row in rows]
    figures = [float(row[1]) for row in rows[1:]]
    assert rows[0] == ["trial", "auc", "learning_rate", "hidden"]
    assert len(figures) == 3
    assert figures == sorted(figures, reverse=True)
    assert sum("trial " in line for line in outcome.err.splitlines()) == 3
    assert ["0", "0.001", "[]"] in [[row[0], *row[2:]] for row in rows]
    assert ("nothing beat" in verdict) == (rows[1][0] == "0")
    (summary_file,) = out.glob("runs/*/summary.json")
    assert json.loads(summary_file.read_text())["status"] == "prepared"
    assert tfxray("review", "--out", out).code == 2  # there is no run to write the page of

    config = loader.load_config(Path(path))
    mine = loader.load_config(source, ("train.epochs=4",))
    best = {"train.learning_rate": float(rows[1][2]), "model.head.hidden": json.loads(rows[1][3])}
    assert config == tune.with_values(mine, best, "test")
    text = Path(path).read_text()
    assert "from mine.yaml" in text
    assert f"tfxray run --config {path} --data DIR --out {out}" in text
    assert set(yaml.safe_load(text)) == set(raw)

    fit, fits = training.Training.fit, []
    monkeypatch.setattr(training.Training, "fit", lambda *a: fits.append(1) or fit(*a))
    assert result(search()) == result(outcome)
    assert not fits
    more = search("--trials", 4, "--write", tmp_path / "found.yaml")
    assert result(more).endswith("found.yaml")
    assert len(fits) == 1


def test_refused_data_ends_it_as_it_ends_a_run(tfxray, drawn, quick_config, tmp_path):
    shutil.copytree(drawn, tmp_path / "data")
    for path in sorted((tmp_path / "data").rglob("*.png"))[::12]:
        path.write_bytes(path.read_bytes()[:200])
    out = tmp_path / "out"
    outcome = tfxray("tune", "--config", quick_config, "--data", tmp_path / "data", "--out", out)
    assert outcome.code == 4, outcome.err
    assert "25 of 300 images were rejected" in outcome.err
    assert len(list(out.glob("runs/*/summary.json"))) == 1
    assert not (out / "tune").exists()
