"""What `python -m build` makes: its contents, and that it works away from this repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import ROOT


def tree() -> set[str]:
    """What git knows, or would know, of this repository; without git, what a checkout holds."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}
    names = {path.relative_to(ROOT).parts for path in ROOT.rglob("*") if path.is_file()}
    made = {"build", "data", "dist", "runs", ".venv"}  # as in .gitignore
    return {"/".join(n) for n in names if n[0] not in made and "__pycache__" not in n}


TREE = tree()
# The folders of the root that are packages, but the tests.
PACKAGES = {name.split("/")[0] for name in TREE if Path(name).parts[1:] == ("__init__.py",)}
PACKAGES -= {"tests"}


def packaged() -> set[str]:
    """All files of the packages but notes to their readers."""
    inside = {name for name in TREE if name.split("/")[0] in PACKAGES}
    return {name for name in inside if Path(name).name != "README.md"}


def copy(names: set[str], target: Path) -> Path:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    return target


def build(source: Path, target: Path, *options: str) -> list[Path]:
    """The files that were built."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *options]
    done = subprocess.run([*command, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(target.iterdir())


@pytest.fixture(scope="module")
def dists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, which was built from the sdist, and the sdist."""
    source = copy(TREE, tmp_path_factory.mktemp("clean"))
    files = build(source, tmp_path_factory.mktemp("dist"))
    wheel, sdist = sorted(files, key=lambda path: path.suffix != ".whl")
    assert sdist.name.endswith(".tar.gz")
    return wheel, sdist


def contents(wheel: Path) -> set[str]:
    """A wheel's files but its metadata, as they are named in this repository."""
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("tfxray/", "tfxray-")) for name in names)
    return {name.removeprefix("tfxray/") for name in names if name.startswith("tfxray/")}


def metadata(wheel: Path, file: str) -> bytes:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(f".dist-info/{file}")]
    return archive.read(name)


def test_the_packages_and_their_data_are_found():
    assert {"components", "configs", "pipeline", "schema"} <= PACKAGES
    for pattern in ("*/weights/*.h5", "*/templates/*.html", "schema/*.pbtxt", "configs/demo.yaml"):
        assert [name for name in packaged() if fnmatch(name, pattern)], pattern


def test_the_wheel_holds_the_packages_whole_and_nothing_else(dists):
    members = contents(dists[0])
    assert packaged() - members == set()
    assert members - TREE == set()


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_tests(dists):
    with tarfile.open(dists[1]) as archive:
        members = {m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile()}
    papers = {name for name in TREE if name in ("LICENSE", "NOTICE", "README.md")}
    assert {*packaged(), *papers, "pyproject.toml", "setup.py"} - members == set()
    foreign = {name for name in members - TREE if not name.startswith("tfxray.egg-info/")}
    assert foreign == {"PKG-INFO", "setup.cfg"}
    assert not [name for name in members if name.startswith(("tests/", "benchmarks/"))]


def test_the_metadata_says_whose_it_is_and_what_it_is(dists):
    headers: Message = message_from_bytes(metadata(dists[0], "METADATA"))
    assert (headers["Name"], headers["Author"]) == ("tfxray", "The tfxray maintainers")
    assert headers["License-Expression"] == "Apache-2.0"
    licences = [name for name in ("LICENSE", "NOTICE") if name in TREE]
    assert (headers.get_all("License-File") or []) == licences
    for name in licences:
        assert metadata(dists[0], f"licenses/{name}") == (ROOT / name).read_bytes()
    assert headers["Description-Content-Type"] == "text/markdown"
    body = headers.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().strip() == (ROOT / "README.md").read_text().strip()
    assert {"Homepage", "Issues"} <= {u.split(",")[0] for u in headers.get_all("Project-URL") or []}
    assert headers.get_all("Provides-Extra") == ["dev"]
    assert 'pytest; extra == "dev"' in (headers.get_all("Requires-Dist") or [])


def test_the_image_is_built_from_the_same_packages(dists, tmp_path):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = [line[1:] for line in lines if line.startswith("!")]
    context = {n for n in TREE if any(fnmatch(n.split("/")[0], pattern) for pattern in admitted)}
    (wheel,) = build(copy(context, tmp_path / "context"), tmp_path / "dist", "--wheel")
    assert contents(wheel) == contents(dists[0])


class Fresh:
    """An environment of its own with this one's libraries, and without this repository."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
        self.site = Path(paths["purelib"])
        # Links to each of them, since a path to all of them would find the editable install too,
        # and some of their .pth files want to lie beside what they name.
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if (
                not entry.name.startswith(("__editable__", "tfxray"))
                and entry.name != "__pycache__"
            ):
                (self.site / entry.name).symlink_to(entry)

    def __call__(self, program: str, *arguments: object, cwd: Path) -> str:
        """What a program of this environment prints."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            capture_output=True, text=True, cwd=cwd, timeout=300,
            env={**env, "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def fresh(dists: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The wheel, installed."""
    folder = tmp_path_factory.mktemp("fresh")
    environment = Fresh(folder / "venv")
    look = "import importlib.util; print(importlib.util.find_spec('tfxray'))"
    assert environment("python", "-c", look, cwd=folder) == "None\n"
    command = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--offline"]
    python = environment.bin / "python"
    subprocess.run([*command, "--no-deps", "--python", python, dists[0]], check=True)
    # Once here, not in each process: some machines tell Python to write no bytecode.
    environment("python", "-m", "compileall", "-q", environment.site / "tfxray", cwd=folder)
    return environment


def test_all_packages_come_from_the_wheel(fresh, tmp_path):
    names = ["tfxray", *(f"tfxray.{package}" for package in sorted(PACKAGES))]
    code = f"import json, {', '.join(names)}; print(json.dumps([list(tfxray.__path__), "
    code += ", ".join(f"{name}.__file__" for name in names[1:]) + "]))"
    path, *files = json.loads(fresh("python", "-c", code, cwd=tmp_path))
    # Whatever lies below is found by this path alone.
    assert path == [str(fresh.site / "tfxray")]
    assert {Path(file).parent.parent for file in files} == {fresh.site / "tfxray"}


def test_the_installed_command_works_outside_the_repository(fresh, tmp_path):
    assert "Trains, judges and ships" in fresh("tfxray", "--help", cwd=tmp_path)
    assert fresh("tfxray", "config", "--config", "demo", cwd=tmp_path).startswith("name: demo\n")
    drawn = fresh("tfxray", "sample", "--out", "xrays", "--images", "8", cwd=tmp_path)
    assert drawn.startswith("8 X-rays of ")
    assert len(list((tmp_path / "xrays").rglob("*.png"))) == 8


def test_the_demo_runs_outside_the_repository(fresh, tmp_path):
    # Small and for speed: tests/test_end_to_end.py holds the demo against its gate.
    settings = (
        "ingest.sample={images: 200, size: 96, seed: 7}", "train.epochs=4", "evaluate.slices=[]",
        "gate.auc.threshold=0.5", "gate.slice_auc=null", "gate.calibration_error=null",
        "gate.min_positives=5", "gate.min_negatives=5", "gate.servable=false",
        "train.distribution=one_device",
    )  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    printed = fresh(
        "tfxray", "run", "--config", "demo", "--out", "demo", *sets, "--json", cwd=tmp_path
    )
    summary = json.loads(printed.splitlines()[-1])
    assert summary["status"] == "pushed", summary["reason"]
    assert (tmp_path / summary["pushed_model"] / "saved_model.pb").is_file()
    assert "<html" in (tmp_path / summary["review"]).read_text()
