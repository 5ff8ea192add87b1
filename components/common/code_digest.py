"""What decides a result besides its inputs: the code that computes it, and its libraries.

A cache that forgets either keeps results that the new code would not give. Nobody lists the modules
by hand: they follow from the imports of the module that does the work.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

OWN = "tfxray"
_ROOT = Path(__file__).parents[2]  # of the repository, or of the installed package
# What a library is called where it is installed, if it is not called as it is imported.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "google": "protobuf",
    "yaml": "pyyaml",
}
_NO_DATA = (".py", ".pyc", ".md")
_TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
# Libraries that compute for another one, and that no module of ours imports.
_BEHIND = {
    "pydicom": ("pyjpegls", "pylibjpeg", "python-gdcm"),
    "tensorflow_data_validation": ("tfx-bsl",),
    "tensorflow_model_analysis": ("tfx-bsl",),
    "tensorflow_transform": ("tfx-bsl",),
}


def digest(*entries: str) -> str:
    """A digest of the code and the libraries behind some modules.

    Of a module of ours: its source, those of all modules of ours that it imports, directly or not,
    also within functions, and the files that lie beside them, such as weights. Of other modules:
    the version of their library. Sources are read; nothing is imported.

    Args:
        entries: Modules by their dotted names, such as `tfxray.components.trainer.run`. Of a module
            that is not ours and that is loaded, its own direct imports count too.

    Returns:
        16 hexadecimal digits.
    """
    result = hashlib.sha256()
    for name in own_modules(*entries):
        for file in _files(name):
            result.update(f"{name}:{file.name}:{_content(file)}\n".encode())
    for library, version in libraries(*entries).items():
        result.update(f"{library}=={version}\n".encode())
    return result.hexdigest()[:16]


def source_digests(*entries: str) -> dict[str, str]:
    """A digest of each module of ours behind some modules, with the files that lie beside it."""
    return {
        name: hashlib.sha256("".join(map(_content, _files(name))).encode()).hexdigest()[:16]
        for name in own_modules(*entries)
    }


def own_modules(*entries: str) -> list[str]:
    """The modules of ours behind some modules, sorted; see `digest`."""
    modules: set[str] = set()
    waiting = [entry for entry in entries if _is_own(entry)]
    while waiting:
        module = waiting.pop()
        # To import a module, Python runs the packages around it.
        for name in _with_packages(module):
            if name not in modules and _source(name):
                modules.add(name)
                waiting += filter(_is_own, _list_imports(name))
    return sorted(modules)


def libraries(*entries: str) -> dict[str, str]:
    """The libraries behind some modules, with their versions, sorted; see `digest`."""
    own = own_modules(*entries)
    foreign = [entry for entry in entries if not _is_own(entry)]
    names = {library for module in (*own, *foreign) for library in _list_imports(module)}
    tops = {library.partition(".")[0] for library in (*names, *foreign)} - {OWN}
    tops |= {behind for top in tops for behind in _BEHIND.get(top, ())}
    versions = {_DISTRIBUTIONS.get(top, top): _version(top) for top in tops}
    return {library: version for library, version in sorted(versions.items()) if version}


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == OWN


def _with_packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:count]) for count in range(2, len(parts) + 1))


def _source(module: str) -> Path | None:
    """The file of a module; None where the name is something within a module."""
    if not _is_own(module):
        module_object = sys.modules.get(module)
        file = (module_object.__file__ if module_object else None) or ""
        return Path(file) if file.endswith(".py") else None
    path = _ROOT.joinpath(*module.split(".")[1:])
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _files(module: str) -> list[Path]:
    """A module's source; a package's, with the files of no language that lie below it."""
    source = _source(module)
    assert source
    if source.name != "__init__.py":
        return [source]
    return [source, *_beside(source.parent)]


@functools.lru_cache(maxsize=256)
def _beside(folder: Path) -> tuple[Path, ...]:
    """The data files of a package: not those of packages within it, nor what programs leave."""
    depth = len(folder.parts)
    return tuple(
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and file.suffix not in _NO_DATA
        and not any(part.startswith((".", "__pycache__")) for part in file.parts[depth:])
        and not any(
            (parent / "__init__.py").is_file()
            for parent in file.parents
            if parent != folder and folder in parent.parents
        )
    )


@functools.lru_cache(maxsize=1024)
def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=1024)
def _list_imports(module: str) -> tuple[str, ...]:
    """All that a module imports, dotted; of `from a import b`, both `a` and `a.b`."""
    source = _source(module)
    if not source:
        return ()
    names: list[str] = []
    for node in _statements(ast.parse(source.read_bytes()).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module if source.name == "__init__.py" else module.rpartition(".")[0]
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _statements(block: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All statements, within functions too, but those that only a type checker sees."""
    for node in block:
        blocks: tuple[str, ...] = ("body", "orelse", "finalbody", "handlers", "cases")
        if isinstance(node, ast.If) and ast.unparse(node.test) in _TYPE_CHECKING:
            blocks = ("orelse",)
        yield node
        for name in blocks:
            yield from _statements(getattr(node, name, ()))


@functools.lru_cache(maxsize=256)
def _version(top: str) -> str:
    """The version of what a top-level name is imported from; empty for Python's own modules."""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(top, top))
    except importlib.metadata.PackageNotFoundError:
        return ""
