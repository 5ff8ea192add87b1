"""The house keeps its order: see ARCHITECTURE.md for the rooms, and `house.py` for the rules."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house
from tests.conftest import ROOT

USED_ELSEWHERE = ROOT / "tests" / "used_elsewhere.py"


@pytest.fixture
def copy(tmp_path) -> Path:
    for package in ("components", "pipeline"):
        shutil.copytree(ROOT / package, tmp_path / package)
    return tmp_path


def test_the_house_is_in_order():
    assert house.wrong(ROOT) == []


def test_every_room_is_there():
    rooms = {house.room_of(module) for module in house.modules(ROOT)}
    assert rooms == set(house.ROOMS)


def test_a_file_in_no_room_is_found(copy):
    shutil.move(copy / "components/evaluator/gate.py", copy / "components/gate.py")
    assert any("components.gate: lies in no room" in line for line in house.wrong(copy))


def test_a_file_in_the_wrong_room_is_found(copy):
    shutil.move(copy / "components/evaluator/gate.py", copy / "components/common/gate.py")
    fault = (
        "components.common.gate: imports components.metrics.intervals, from a room above its own"
    )
    assert fault in house.wrong(copy)


@pytest.mark.parametrize(
    "line",
    [
        "from tfxray.components.review import page",
        "def later():\n    from tfxray.components.review.page import write_page",
        "import tfxray.components.review.page",
        "if TYPE_CHECKING:\n    from tfxray.components.review.page import write_page",
    ],
)
def test_an_import_that_points_up_is_found(copy, line):
    with (copy / "components/networks/backbone.py").open("a") as file:
        file.write(f"\n{line}\n")
    fault = (
        "components.networks.backbone: imports components.review.page, from a room above its own"
    )
    assert fault in house.wrong(copy)


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("common/errors.py", "from . import contract", "imports by dots"),
        ("common/errors.py", "from .. import trainer", "imports by dots"),
        ("common/errors.py", "from ..trainer import run", "imports by dots"),
        ("common/errors.py", "from tfxray.components import trainer", "imports a room"),
        ("common/errors.py", "import tfxray.components.trainer as t", "imports a room"),
        ("common/errors.py", "from tfxray import components", "imports a room"),
        ("common/errors.py", "importlib.import_module('tfxray.x')", "cannot read"),
        ("common/__init__.py", "from tfxray.components.trainer import run", "imports nothing"),
    ],
)
def test_an_import_that_hides_its_module_is_found(copy, file, line, fault):
    with (copy / "components" / file).open("a") as module:
        module.write(f"\n{line}\n")
    assert any(fault in told for told in house.wrong(copy))


def test_a_circle_is_found(copy):
    with (copy / "components/networks/backbone.py").open("a") as file:
        file.write("\nfrom tfxray.components.networks import head\n")
    (fault,) = house.wrong(copy)
    assert fault.startswith("files in a circle: ")
    assert "components.networks.head" in fault


def test_what_has_grown_too_large_is_found(copy):
    with (copy / "components/networks/backbone.py").open("a") as file:
        file.write("#\n" * house.MOST_LINES)
    for number in range(house.MOST_FILES):
        (copy / f"components/networks/more{number}.py").touch()
    faults = house.wrong(copy)
    assert any("components.networks.backbone: has" in line for line in faults)
    assert any("components/networks: holds" in line for line in faults)


def test_nobody_but_the_doors_is_reached_through_them(copy):
    with (copy / "pipeline/engines/local.py").open("a") as file:
        file.write("\nfrom tfxray.pipeline import node\n")
    assert any("imports pipeline.node" in line for line in house.wrong(copy))
    (copy / "pipeline/worker.py").write_text('"""No door any more."""\n')
    assert any(line.startswith("pipeline.worker: hands on") for line in house.wrong(copy))


def unused(*paths: Path) -> list[str]:
    decorators = "@*.command,@field_validator,@model_validator,@model_serializer"
    command = [sys.executable, "-m", "vulture", "--ignore-decorators", decorators]
    command += ["--min-confidence", "60", *map(str, paths)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode in (0, 3), found.stderr
    return found.stdout.splitlines()


def test_no_public_name_is_unused():
    """By the package itself: what only a test calls is of no use to a user."""
    assert unused(ROOT / "components", ROOT / "pipeline", USED_ELSEWHERE) == []


def test_an_unused_name_is_found(tmp_path):
    """In two modules: to read the whole house for it takes many seconds."""
    (tmp_path / "head.py").write_text(
        "def build():\n    pass\n\n\ndef build_nothing():\n    pass\n"
    )
    (tmp_path / "run.py").write_text("import head\n\nhead.build()\n")
    told = unused(tmp_path)
    assert len(told) == 1
    assert "build_nothing" in told[0]
