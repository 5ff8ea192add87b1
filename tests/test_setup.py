"""setup.sh: which stack a machine gets, and what it is told where it gets none."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PYTHONS = ("python3", "python3.10", "python3.12", "python3.13")


def machine(folder: Path, glibc: str, pythons: dict[str, str]) -> dict[str, str]:
    """A machine of this glibc and these Pythons, without headers: nothing gets installed."""
    scripts = {"getconf": f"echo glibc {glibc}"}
    for name in PYTHONS:
        version = pythons.get(name)
        answers = f'case "$2" in *version_info*) echo {version} ;; *) echo /nowhere ;; esac'
        scripts[name] = answers if version else "exit 127"
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in ("STACK", "PYTHON")}
    return {**kept, "PATH": f"{folder}:/usr/bin:/bin"}


def setup(env: dict[str, str], venv: Path, **chosen: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "setup", f"VENV={venv}", *(f"{k}={v}" for k, v in chosen.items())]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


@pytest.mark.parametrize(
    ("glibc", "pythons", "chosen", "said"),
    [
        ("2.41", {"python3": "3.13"}, {}, "tfx-1.21: glibc 2.41, python3 is Python 3.13"),
        ("2.39", {"python3": "3.12"}, {}, "tfx-1.21: glibc 2.39, python3 is Python 3.12"),
        ("2.41", {"python3": "3.10", "python3.13": "3.13"}, {}, "tfx-1.21: .* python3.13 is"),
        ("2.36", {"python3": "3.10"}, {}, "tfx-1.16: glibc 2.36, python3 is Python 3.10"),
        ("2.36", {"python3": "3.13", "python3.10": "3.10"}, {}, "tfx-1.16: .* python3.10 is"),
        ("2.41", {"python3": "3.10"}, {}, "tfx-1.16: glibc 2.41, python3 is Python 3.10"),
        (
            "2.41",
            {"python3": "3.13", "python3.10": "3.10"},
            {"STACK": "tfx-1.16"},
            "tfx-1.16: .* python3.10 is",
        ),
        (
            "2.41",
            {"python3": "3.13", "python3.10": "3.10"},
            {"PYTHON": "python3.10"},
            "tfx-1.16: .* python3.10 is",
        ),
    ],
)
def test_a_machine_gets_the_newest_stack_that_it_takes(tmp_path, glibc, pythons, chosen, said):
    done = setup(machine(tmp_path / "bin", glibc, pythons), tmp_path / "venv", **chosen)
    assert done.returncode == 2
    assert re.match(said, done.stderr), done.stderr
    assert "needs g++ and the Python headers" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("glibc", "pythons", "chosen", "said"),
    [
        ("2.36", {"python3": "3.13"}, {}, "glibc 2.36, python3 is 3.13"),
        ("2.41", {"python3": "3.11"}, {}, "glibc 2.41, python3 is 3.11"),
        ("2.41", {}, {}, "python3 is none"),
        ("2.36", {"python3": "3.13"}, {"STACK": "tfx-1.21"}, "STACK=tfx-1.21, needs"),
        ("2.41", {"python3": "3.13"}, {"PYTHON": "python3.10"}, "python3.10 is none"),
        ("2.41", {"python3": "3.13"}, {"STACK": "tfx-9"}, "there are tfx-1.21 and tfx-1.16"),
    ],
)
def test_a_machine_that_takes_neither_is_told_what_to_install(
    tmp_path, glibc, pythons, chosen, said
):
    done = setup(machine(tmp_path / "bin", glibc, pythons), tmp_path / "venv", **chosen)
    assert done.returncode == 2
    assert said in done.stderr
    if "there are" not in said:
        assert "apt-get install python3 python3-venv python3-dev g++ make" in done.stderr
        assert "pyenv install 3.10" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_what_was_chosen_once_stays(tmp_path):
    env = machine(tmp_path / "bin", "2.41", {"python3": "3.13", "python3.10": "3.10"})
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(tmp_path / "bin" / "python3.10")
    assert "tfx-1.21" in setup(env, tmp_path / "venv").stderr  # nothing was installed there
    (tmp_path / "venv" / ".ready-before").touch()
    assert re.match("tfx-1.16: .*/venv/bin/python is", setup(env, tmp_path / "venv").stderr)
    assert "tfx-1.21" in setup(env, tmp_path / "venv", STACK="tfx-1.21").stderr
