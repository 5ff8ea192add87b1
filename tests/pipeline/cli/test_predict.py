"""`tfxray predict --input`: what it prints, and how it ends."""

import json

import pytest
from PIL import Image

from tests.scorer import export
from tfxray.components.common import progress


@pytest.fixture
def xrays(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), number * 90).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "letter.png").write_text("Dear Sir")
    return tmp_path / "in"


def test_a_folder_is_scored_once(tfxray, xrays, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    model, out = export(tmp_path / "model" / "1"), tmp_path / "out"
    command = ("predict", "--input", xrays, "--output", out, "--model", model.parent)
    result = tfxray(*command)
    assert result.code == 0, result.err
    assert result.out.strip() == str(out / "predictions.csv")
    assert "4 of 4 images" in result.err
    assert f"1 of 4 rejected: {out / 'rejects.csv'}" in result.err
    again = tfxray(*command, "--json")
    assert again.code == 0
    assert "nothing to do" in again.err
    report = json.loads(again.out.strip().splitlines()[-1])
    assert report == json.loads((out / "predict.json").read_text())
    assert (report["images"], report["scored"], report["reasons"]) == (4, 3, {"not_an_image": 1})
    assert (report["model"], report["classes"][-1]) == (str(model), "PNEUMONIA")
    refusal = tfxray(*command[:3], "--output", xrays, *command[5:])
    assert refusal.code == 2
    assert "it would be lost" in refusal.err
    assert "Traceback" not in refusal.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("xray.png", "--input", "in", "--output", "out"),
        ("--input", "in"),
        ("xray.png", "--output", "out"),
        ("xray.png", "--set", "ingest.max_pixels=1024"),
    ],
)
def test_neither_or_both_are_refused(tfxray, arguments):
    assert tfxray("predict", *arguments, "--model", "none").code == 2


def test_limits_come_from_a_config(tfxray, small_config, xrays, tmp_path):
    Image.new("L", (99, 99)).save(xrays / "large.png")
    result = tfxray(
        "predict", "--input", xrays, "--output", tmp_path / "out", "--model",
        export(tmp_path / "model"), "--config", small_config, "--set", "ingest.max_pixels=2000",
        "--json",
    )  # fmt: skip
    report = json.loads(result.out.strip().splitlines()[-1])
    assert report["reasons"] == {"not_an_image": 1, "too_large": 1}
