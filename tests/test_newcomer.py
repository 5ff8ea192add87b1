"""A newcomer's way from a folder to a score: each command is one that the last one printed."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tfxray.components.sample import draw

# For the test alone, which would take longer.
SMALLER = ("--set", "train.epochs=15")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working folder with 450 X-rays in class folders, and nothing that tells patients."""
    monkeypatch.chdir(tmp_path)
    draw.write_sample(tmp_path / "films", images=450, size=64, seed=11)
    (tmp_path / "films" / "manifest.csv").unlink()
    return tmp_path


def next_commands(said):
    """The commands among the lines that were said, by their names."""
    lines = [line.strip().removeprefix("next: ") for line in said.splitlines()]
    words = [shlex.split(line) for line in lines if line.startswith("tfxray ")]
    return {command[1]: command[1:] for command in words}


def test_from_init_to_predict_without_the_docs(tfxray, desk, monkeypatch):
    done = tfxray("init", "films")
    assert done.code == 0, done.err
    text = Path("films.yaml").read_text()
    assert "classes: [NORMAL, PNEUMONIA]" in text
    patients = {path.name.split("_")[0] for path in desk.glob("films/*/*.png")}
    assert f"patients: {len(patients)}" in done.err.splitlines()
    steps = next_commands(done.err)

    checked = tfxray(*steps["config"])
    assert checked.code == 0, checked.err
    assert checked.err.splitlines()[-1] == "ok"

    def refuse(*_, **__):
        raise OSError("Name or service not known")

    # Where there is no network, the refusal names what to say.
    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", refuse)
    refusal = tfxray(*steps["run"])
    assert refusal.code == 2
    told = re.findall(r"(--set) (model\.\w+=\w+)", refusal.err)
    assert len(told) == 2
    ran = tfxray(*steps["run"], *(word for pair in told for word in pair), *SMALLER)
    assert ran.code == 0, ran.err
    assert re.search(r"AUC 0\.\d+ .* on \d+ held-out images of \d+ patients", ran.err)
    predict = next_commands(ran.err)["predict"]
    assert predict[1] == "FOLDER"

    draw.write_sample(desk / "new", images=12, size=64, seed=12)
    scored = tfxray(*("new" if word == "FOLDER" else word for word in predict))
    assert scored.code == 0, scored.err
    assert Path(scored.out.strip()) == desk / "new_scores" / "predictions.csv"
    assert re.search(r"^NORMAL \d+, PNEUMONIA \d+$", scored.err, re.M)

    shutil.copy(next(desk.glob("new/PNEUMONIA/*.png")), desk / "film.png")
    (*single, model) = steps["predict"]
    one = tfxray(*("film.png" if word == "IMAGE" else word for word in single), model, "--force")
    assert one.code == 0, one.err
    assert re.search(r"film\.png: \w+  score [\d.]+ for PNEUMONIA, threshold [\d.]+", one.out)
