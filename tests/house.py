"""The import graph of the package, and the order of its rooms, for `test_house.py`."""

import ast
import functools
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path

# From the ground up: a room imports from those before it, never from those after it. A room is a
# folder; `pipeline` stands for the files that lie directly in it, but for the DOORS.
ROOMS = (
    "components.disk",
    "components.object_store",
    "components.common",
    "components.jobs",
    "components.runners",
    "components.pusher",
    "components.text",
    "components.metrics",
    "components.watch",
    "components.sample",
    "components.guard",
    "components.metadata",
    "components.listing",
    "components.manifest",
    "components.pixels",
    "components.source",
    "components.datasets",
    "components.layouts",
    "components.ingest",
    "components.shortcuts",
    "components.example_gen",
    "components.networks",
    "components.transform",
    "components.predict",
    "components.explain",
    "components.evaluator",
    "components.validation",
    "components.external",
    "components.trainer.distributed",
    "components.trainer",
    "components.tuner",
    "components.review",
    "components.monitor",
    "pipeline.config",
    "pipeline.terminal",
    "pipeline.runs",
    "pipeline",
    "pipeline.proposal",
    "pipeline.engines",
    "pipeline.kubeflow",
    "pipeline.cli",
)
# The names that other versions call: each hands on to one function above it.
DOORS = {"pipeline.node": "pipeline.cli.start", "pipeline.worker": "pipeline.cli.start"}
MOST_FILES, MOST_LINES = 12, 400

Graph = Mapping[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Every module of components/ and pipeline/ below a root, by its dotted name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for package in ("components", "pipeline")
        for path in sorted((root / package).rglob("*.py"))
        if path.name != "__init__.py"
    }


def import_graph(root: Path) -> dict[str, set[str]]:
    """What each module imports of the others, also within functions and for types alone."""
    files = modules(root)
    return {name: set(_imports(path, files)) - {name} for name, path in files.items()}


def _imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in _statements(path.read_text(encoding="utf-8")):
        for name in _names(node):
            if (own := name.removeprefix("tfxray.")) in known:
                yield own


@functools.cache
def _statements(source: str) -> tuple[ast.AST, ...]:
    """What imports, or may: kept by the source, since the tests read copies of the house."""
    kinds = ast.Import | ast.ImportFrom | ast.Attribute
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    return tuple(
        node
        for node in nodes
        if not isinstance(node, ast.Attribute) or node.attr in ("import_module", "__import__")
    )


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _hidden(root: Path) -> Iterator[str]:
    """Imports that do not say which module is meant."""
    files = modules(root)
    packages = {room_of(name) for name in files} | {"components", "pipeline"}
    for package in ("components", "pipeline"):
        for path in sorted((root / package).rglob("*.py")):
            where = path.relative_to(root)
            for node in _statements(path.read_text(encoding="utf-8")):
                # Of `from a import b`, what is meant is `a.b`.
                meant = _names(node)[isinstance(node, ast.ImportFrom) :]
                if path.name == "__init__.py" and isinstance(node, ast.Import | ast.ImportFrom):
                    yield f"{where}: a package imports nothing"
                if isinstance(node, ast.ImportFrom) and node.level:
                    yield f"{where}: imports by dots, which hide the room that is meant"
                if {name.removeprefix("tfxray.") for name in meant} & packages:
                    yield f"{where}: imports a room, not one of its modules"
                if isinstance(node, ast.Attribute):
                    yield f"{where}: imports by a name that this test cannot read"


def room_of(module: str) -> str:
    """The room that a module lies in."""
    return module.rpartition(".")[0]


def room_graph(graph: Graph) -> dict[str, set[str]]:
    """Which rooms a room imports from; the doors are left out."""
    rooms: dict[str, set[str]] = {}
    for module, imported in graph.items():
        if module not in DOORS:
            room = room_of(module)
            rooms.setdefault(room, set()).update(room_of(name) for name in imported)
    return {room: imported - {room} for room, imported in rooms.items()}


def wrong(root: Path) -> list[str]:
    """All that breaks the order of the house, a line each."""
    graph = import_graph(root)
    faults = [
        *_hidden(root),
        *_homeless(graph),
        *_upward(graph),
        *_circles(graph),
        *_too_large(root),
    ]
    for door, behind in DOORS.items():
        if graph.get(door) != {behind}:
            faults.append(f"{door}: hands on to {behind}, and imports nothing else")
    return faults


def _homeless(graph: Graph) -> Iterator[str]:
    for module in graph:
        if room_of(module) not in ROOMS:
            yield f"{module}: lies in no room; the rooms stand in tests/house.py"


def _upward(graph: Graph) -> Iterator[str]:
    floors = {room: floor for floor, room in enumerate(ROOMS)}
    for module, imported in graph.items():
        for name in sorted(imported):
            here, there = room_of(module), room_of(name)
            upward = floors.get(there, -1) > floors.get(here, len(ROOMS))
            if (upward and module not in DOORS) or name in DOORS:
                yield f"{module}: imports {name}, from a room above its own"


def _circles(graph: Graph) -> Iterator[str]:
    for what, edges in (("files", graph), ("rooms", room_graph(graph))):
        try:
            graphlib.TopologicalSorter(edges).prepare()
        except graphlib.CycleError as error:
            yield f"{what} in a circle: {' → '.join(error.args[1])}"


def _too_large(root: Path) -> Iterator[str]:
    folders: dict[Path, int] = {}
    for name, path in modules(root).items():
        folders[path.parent] = folders.get(path.parent, 0) + 1
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            yield f"{name}: has {lines} lines; at most {MOST_LINES} are allowed"
    for folder, count in folders.items():
        if count > MOST_FILES:
            yield f"{folder.relative_to(root)}: holds {count} files; at most {MOST_FILES}"
