"""Dockerfiles: what holds for each of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_kubeflow_folder import the

DOCKERFILES = sorted(ROOT.glob("kubeflow/**/Dockerfile"))


def named(path: Path) -> str:
    return str(path.parent.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_it_keeps_hadolints_rules(path: Path, tmp_path: Path):
    hadolint = Path(sys.executable).with_name("hadolint")
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(path.read_text() + "\nRUN pip install requests\nUSER root\n")
    for file, code in ((path, 0), (spoilt, 1)):
        done = subprocess.run([hadolint, str(file)], capture_output=True, text=True)
        assert done.returncode == code, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_its_last_word_is_the_user_that_owns_the_volume(path: Path):
    user = the("Job", "tfxray-volume")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert re.findall(r"^USER (.*)$", path.read_text(), re.M)[-1] == f"{user}:{user}"


def test_both_images_are_looked_at():
    assert [named(path) for path in DOCKERFILES] == ["kubeflow", "kubeflow/serving/runtime"]
