"""`explain` of one image: what it says of the score, on its line, in JSON and in the picture."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests import images
from tests.scorer import Unchecked, export
from tfxray.components.explain import heat_maps, one_image, overlay


@pytest.fixture
def captions(monkeypatch):
    """What pictures say. The model scores brightness, and its map is the image."""
    explainer = SimpleNamespace(
        size=8,
        cells=(2, 2),
        score=lambda pixels: pixels.mean((1, 2))[:, np.newaxis] / 255,
        heat=lambda pixels, method, background, output: pixels / 255,
    )
    monkeypatch.setattr(heat_maps, "load_explainer", lambda folder: explainer)
    written = []
    draw = overlay.draw_figure

    def keep(pixels, heat, caption):
        written.append(caption)
        return draw(pixels, heat, caption)

    monkeypatch.setattr(overlay, "draw_figure", keep)
    return written


def explain(tfxray, tmp_path, grey, *options, kind=None):
    Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / "image.png")
    model = export(tmp_path / f"{grey}", **({"kind": kind} if kind else {}))
    out = tmp_path / "map.png"
    shown = tfxray("explain", tmp_path / "image.png", "--model", model, "--out", out, *options)
    assert shown.code == 0, shown.err
    assert out.is_file()
    return shown.out.strip()


def test_the_score_of_a_usual_image_is_told(tfxray, tmp_path, captions):
    line = explain(tfxray, tmp_path, 102)
    assert line == f"PNEUMONIA: score 0.4000, threshold 0.5000: {tmp_path / 'map.png'}"
    assert "PNEUMONIA: score 0.4000, threshold 0.5000 " in captions[0]


def test_the_score_of_an_image_unlike_the_training_data_is_told_nowhere(tfxray, tmp_path, captions):
    line = explain(tfxray, tmp_path, 255)
    told = json.loads(explain(tfxray, tmp_path, 255, "--json"))
    assert (told["score"], told["unlike"], told["withheld"]) == (None, True, True)
    for text in (line, told["note"], *captions):
        assert "not like the training data (distance 2.00), score withheld" in text
        assert "1.0000" not in text
    assert "the map tells nothing of disease" in captions[0]


def test_force_tells_the_score_with_the_flag(tfxray, tmp_path, captions):
    line = explain(tfxray, tmp_path, 255, "--force")
    told = json.loads(explain(tfxray, tmp_path, 255, "--force", "--json"))
    assert (told["score"], told["unlike"], told["withheld"]) == (1.0, True, False)
    assert told["threshold"] == 0.5
    assert line.startswith(
        "PNEUMONIA: score 1.0000, threshold 0.5000 (not like the training data (distance 2.00)): "
    )
    assert "threshold 0.5000, not like the training data (distance 2.00)" in captions[0]


def test_an_older_model_is_said_not_to_check(tfxray, tmp_path, captions):
    line = explain(tfxray, tmp_path, 255, kind=Unchecked)
    assert line.startswith(
        "PNEUMONIA: score 1.0000, threshold 0.5000 (not checked whether it is like the training "
    )
    assert "not checked" in captions[0]


def test_another_models_map_is_refused_without_a_score(tfxray, tmp_path, captions, monkeypatch):
    monkeypatch.setattr(
        one_image.heat_maps, "load_explainer",
        lambda folder: SimpleNamespace(size=8, score=lambda pixels: np.array([[np.nan]])),
    )  # fmt: skip
    Image.new("L", (8, 8), 255).save(tmp_path / "image.png")
    model = export(tmp_path / "model")
    shown = tfxray(
        "explain", tmp_path / "image.png", "--model", model, "--out", tmp_path / "map.png"
    )
    assert shown.code == 2
    assert "it is another model's" in shown.err
    assert "1.0000" not in shown.err


def test_what_is_left_out_of_the_background_is_told_in_one_line(tfxray, tmp_path, captions):
    folder = tmp_path / "background"
    for name in ("a.png", "b.png", "a_mask.png", ".hidden.png", "masks/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 9).save(folder / name)
    (folder / "link").symlink_to(tmp_path)
    model, out = export(tmp_path / "model"), tmp_path / "map.png"
    shown = tfxray(
        "explain", folder / "a.png", "--model", model, "--out", out, "--method", "shap",
        "--background", folder,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    told = "5 found: 2 images, 3 left out (hidden: 1, mask: 2), 1 folders not entered"
    assert [line.strip() for line in shown.err.splitlines() if "left out" in line] == [
        f"{folder}: {told}"
    ]


def test_an_image_that_is_damaged_is_blamed_and_not_the_model(tfxray, tmp_path, captions):
    model = export(tmp_path / "model")
    pixels = np.full((8, 8), 102, np.uint8)
    for encoded, code, words in (
        (images.png(pixels, rows=6), 2, "bad.png: truncated: the PNG holds 54 of 72 bytes"),
        (images.png(pixels, end=b""), 0, ""),
    ):
        (tmp_path / "bad.png").write_bytes(encoded)
        out = tmp_path / "map.png"
        shown = tfxray("explain", tmp_path / "bad.png", "--model", model, "--out", out)
        assert shown.code == code
        assert words in shown.err
        assert "is no model" not in shown.err
