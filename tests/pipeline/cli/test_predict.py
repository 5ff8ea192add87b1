"""`tfxray predict --input`: what it prints, and how it ends."""

import io
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.faults.traps import PROGRAM
from tests.scorer import Brightness, Unchecked, export
from tfxray.components.common import progress
from tfxray.components.text import tables


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
    assert f"model: {model}" in result.err.splitlines()
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
        ("xray.png", "."),
        ("xray.png", "--output", "out"),
        ("xray.png", "--set", "ingest.max_pixels=1024"),
    ],
)
def test_neither_or_both_are_refused(tfxray, arguments):
    assert tfxray("predict", *arguments, "--model", "none").code == 2


def test_a_folder_is_told_by_its_name_alone_with_counts(tfxray, xrays, tmp_path, monkeypatch):
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    model = export(tmp_path / "model")
    done = tfxray("predict", xrays, "--model", model)
    assert (done.code, done.out.strip()) == (0, str(desk / "in_scores" / "predictions.csv"))
    assert "NORMAL 2, PNEUMONIA 1" in done.err.splitlines()
    assert "threshold: PNEUMONIA from a score of 0.5000 on" in done.err.splitlines()
    rows = tables.read_table(str(desk / "in_scores" / "predictions.csv"))
    assert sorted(row["label"] for row in rows) == ["NORMAL", "NORMAL", "PNEUMONIA"]
    monkeypatch.chdir(xrays)
    among = tfxray("predict", ".", "--model", model)
    assert among.code == 2
    assert "say where they may go (--output)" in among.err
    two = tfxray("predict", xrays, desk, "--model", model)
    assert two.code == 2
    assert f"{xrays}: is a folder; give it by itself" in two.err


def test_limits_come_from_a_config(tfxray, small_config, xrays, tmp_path):
    Image.new("L", (99, 99)).save(xrays / "large.png")
    result = tfxray(
        "predict", "--input", xrays, "--output", tmp_path / "out", "--model",
        export(tmp_path / "model"), "--config", small_config, "--set", "ingest.max_pixels=2000",
        "--json",
    )  # fmt: skip
    report = json.loads(result.out.strip().splitlines()[-1])
    assert report["reasons"] == {"not_an_image": 1, "too_large": 1}


def test_what_is_left_out_of_a_folder_is_told_in_one_line(tfxray, xrays, tmp_path):
    for name in ("masks/a.png", ".hidden.png", "notes.txt"):
        (xrays / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(xrays / name, "PNG")
    command = ("predict", "--input", xrays, "--output", tmp_path / "out", "--model",
               export(tmp_path / "model"))  # fmt: skip
    for _ in range(2):  # what is done already is told, too
        told = [line for line in tfxray(*command).err.splitlines() if "left out" in line]
        assert len(told) == 1
        assert told[0].endswith("3 left out (hidden: 1, mask: 1, other_kind: 1)")


WHITE, GREY = 255, 102
ODD = "=\x1b[31m\u202ewhite\n.png"


def test_a_few_images_are_flagged_and_withheld(tfxray, tmp_path):
    for name, level in ((ODD, WHITE), ("grey.png", GREY)):
        Image.new("L", (8, 8), level).save(tmp_path / name, "PNG")
    images = (tmp_path / ODD, tmp_path / "grey.png")
    command = ("predict", *images, "--model", export(tmp_path / "model"))
    shown = tfxray(*command)
    assert shown.code == 0, shown.err
    white, grey = shown.out.splitlines()
    assert white.isprintable()
    assert "not like the training data (distance 2.00), score withheld; --force shows it" in white
    assert "1.0000" not in white
    assert grey.endswith("NORMAL  score 0.4000 for PNEUMONIA, threshold 0.5000")
    forced = tfxray(*command, "--force").out.splitlines()[0]
    assert "PNEUMONIA  score 1.0000 for PNEUMONIA, threshold 0.5000" in forced
    assert "(not like the training data (distance 2.00))" in forced
    lines = tfxray(*command, "--json").out
    assert lines.isascii()
    white, grey = map(json.loads, lines.splitlines())
    assert white["path"] == str(images[0])
    assert (white["unlike"], white["withheld"], white["scores"]) == (True, True, {})
    assert (grey["unlike"], grey["withheld"], grey["note"]) == (False, False, "")
    unchecked = ("predict", *images, "--model", export(tmp_path / "old", kind=Unchecked))
    for line in tfxray(*unchecked).out.splitlines():
        assert "(not checked whether it is like the training data)" in line


def test_a_folder_is_flagged_alike(tfxray, tmp_path):
    (tmp_path / "in").mkdir()
    for name, level in ((ODD, WHITE), ("'grey.png", GREY), ("=1+1.png", GREY)):
        Image.new("L", (8, 8), level).save(tmp_path / "in" / name, "PNG")
    (tmp_path / "in" / "@bad.png").write_text("Dear Sir")

    def score(out, *options, kind=Brightness):
        model = export(tmp_path / f"model of {out}", kind=kind)
        command = ("predict", "--input", tmp_path / "in", "--output", tmp_path / out)
        shown = tfxray(*command, "--model", model, "--json", *options)
        assert shown.code == 0, shown.err
        report = json.loads(shown.out.strip().splitlines()[-1])
        rows = tables.read_table(str(tmp_path / out / "predictions.csv"))
        return report, {row["name"]: row for row in rows}, shown.err

    report, rows, told = score("withheld")
    assert set(rows) == {ODD, "'grey.png", "=1+1.png"}
    assert (rows[ODD]["score"], rows[ODD]["label"], rows[ODD]["unlike"]) == ("", "", "true")
    assert (report["withheld"], report["unlike"], report["scored"]) == (1, 1, 2)
    assert "1 of 4 not like the training data, score withheld; --force shows it" in told
    (reject,) = tables.read_table(str(tmp_path / "withheld" / "rejects.csv"))
    assert reject["name"] == "@bad.png"
    report, rows, told = score("forced", "--force")
    assert (rows[ODD]["score"], rows[ODD]["unlike"]) == ("1", "true")
    assert (report["withheld"], report["unlike"], report["scored"]) == (0, 1, 3)
    assert "1 of 4 not like the training data" in told
    report, rows, told = score("unchecked", kind=Unchecked)
    assert {(row["distance"], row["unlike"]) for row in rows.values()} == {("", "not checked")}
    assert report["unlike"] is None
    assert "not checked whether it is like the training data" in told


def test_a_codecs_own_lines_are_on_no_screen(tmp_path):
    """libjpeg tells of damage by lines on stderr."""
    ramp = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    written = io.BytesIO()
    Image.fromarray(ramp ^ (ramp.T & 64)).save(written, "JPEG")
    damaged = bytearray(written.getvalue())
    middle = len(damaged) * 3 // 4
    damaged[middle : middle + 2] = b"\xff\xd9"  # the mark of the end
    path = tmp_path / "x.jpg"
    path.write_bytes(damaged)
    model = export(tmp_path / "model" / "1")
    decoded = subprocess.run(
        [PROGRAM.with_name("python"), "-c",
         f"import tensorflow as tf; tf.io.decode_jpeg(tf.io.read_file({str(path)!r}))"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Corrupt JPEG data" in decoded.stderr
    told = subprocess.run(
        [PROGRAM, "predict", path, "--model", model.parent, "--force"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 0
    assert "Corrupt" not in told.stderr + told.stdout
    assert str(path) in told.stdout
