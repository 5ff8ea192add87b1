"""Folders with names that TFX and Beam would take for patterns, and all the rest of a keyboard."""

import shutil
from pathlib import Path

import pytest
import yaml

ODD = " #%20ü';&,=@+(1)!$HOME~]{x}"
PATTERNS = ["[x]", "a*b", "a?b", "[!x]", "a\\b"]
CONFIG = {
    "name": "x",
    "classes": ["NORMAL", "PNEUMONIA"],
    "model": {"arguments": {"alpha": 0.35}, "weights": "bundled", "image_size": 64},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """X-rays and their records."""
    from click.testing import CliRunner

    from tfxray.pipeline.cli.main import main

    folder = tmp_path_factory.mktemp("plain")
    for command in (
        ["sample", "--out", f"{folder}/xrays", "--images", "60", "--size", "64"],
        ["ingest", f"{folder}/xrays", "--out", f"{folder}/records"],
    ):
        assert CliRunner().invoke(main, command).exit_code == 0
    return folder


@pytest.mark.parametrize("name", [ODD, *PATTERNS, "line\nbreak"])
@pytest.mark.parametrize("kind", ["xrays", "records"])
def test_data_may_lie_in_a_folder_of_any_name(
    tfxray, plain: Path, tmp_path: Path, name: str, kind: str
) -> None:
    folder = tmp_path / name
    shutil.copytree(plain / kind, folder / "data")
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    # Another folder that the name matches, if it is taken for a pattern.
    shutil.copytree(plain / "records", tmp_path / "x" / "data")
    command = ["run", "--config", config, "--data", folder / "data", "--out", tmp_path / "out"]
    outcome = tfxray(*command, "--to", "ExampleGen")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("name", [*PATTERNS, "line\nbreak"])
@pytest.mark.parametrize(
    "command",
    [
        ["run", "--config", "demo", "--out"],
        ["tune", "--config", "demo", "--out"],
        ["ingest", "{plain}/xrays", "--out"],
    ],
)
def test_nothing_is_written_below_a_folder_that_tfx_takes_for_a_pattern(
    tfxray, plain: Path, tmp_path: Path, command: list[str], name: str
) -> None:
    outcome = tfxray(*(part.format(plain=plain) for part in command), tmp_path / name / "out")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert "takes for a pattern" in line
    assert not (tmp_path / name).exists()


def test_records_may_be_written_below_any_other_name(tfxray, plain: Path, tmp_path: Path) -> None:
    assert tfxray("ingest", plain / "xrays", "--out", tmp_path / ODD).code == 0
    assert (tmp_path / ODD / "ingest.json").exists()
