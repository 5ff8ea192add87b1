"""Words that are not allowed: what may be meant, and what to do, for commands and options."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (("prdict", "x.png"), "predict"),
        (("config", "--confg", "demo"), "--config"),
        (("config", "--config", "demo_finding"), "demo_findings"),
        (("run", "--config", "demo", "--out", "o", "--from", "trainr"), "Trainer"),
        (("run", "--config", "demo", "--out", "o", "--to", "Transfrom"), "Transform"),
        (("explain", "a.png", "--model", "m", "--out", "o.png", "--method", "gradcam"), "grad-cam"),
        (("datasets", "montgomry"), "montgomery"),
        (("ingest", ".", "--out", "o", "--dataset", "chexprt"), "chexpert"),
        (("config", "--config", "demo", "--set", "trian.epochs=3"), "train"),
        (("config", "--config", "demo", "--set", "epochs=3"), "train.epochs"),
        (("config", "--config", "demo", "--set", "threshold=0.8"), "gate.auc.threshold"),
        (("config", "--config", "demo", "--set", "model.pooling=maximum"), "max"),
        (("config", "--config", "demo", "--set", "evaluate.slices=[patient/sx]"), "patient/sex"),
        (("config", "--config", "demo", "--set", "beam.engine=flinck"), "flink"),
        (("config", "--config", "demo", "--set", "ingest.dataset=padchst"), "padchest"),
        (("config", "--config", "demo", "--set", "ingest.columns={pacient: x}"), "patient"),
        (("config", "--config", "demo", "--set", "ingest.uncertain=ignor"), "ignore"),
        (("config", "--config", "demo", "--set", "kubeflow.nodes={Traner: {}}"), "Trainer"),
        (("config", "--config", "demo", "--set", "tune.ranges={train.epoch: {min: 1, max: 2}}"),
         "train.epochs"),
        (("config", "--config", "demo_findings", "--set", "gate.auc.each={Efusion: 0.8}"),
         "Effusion"),
    ],
)  # fmt: skip
def test_what_a_wrong_word_may_mean(tfxray, tmp_path, monkeypatch, arguments, guess):
    monkeypatch.chdir(tmp_path)
    done = tfxray(*arguments)
    assert done.code == 2
    said = done.err.lower().replace("'", "")
    assert "did you mean " in said
    assert guess.lower() in said.split("did you mean ")[1].split("?")[0].split(", ")


@pytest.mark.parametrize(
    "arguments",
    [("run", "--config", "demo", "--out", "o", "--from", "x" * 3000), ("datasets", "zzz")],
)
def test_nothing_is_guessed_far_off(tfxray, arguments):
    done = tfxray(*arguments)
    assert done.code == 2
    assert "did you mean" not in done.err


def test_what_is_missing_is_told_with_what_to_do(tfxray):
    assert "`tfxray init FOLDER` writes a config" in tfxray("run", "--out", "o").err
    assert "the --out of a run that pushed a model" in tfxray("predict", "x.png").err
