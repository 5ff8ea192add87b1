"""Cached results go by the code behind them: all of it, and no other."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tfxray.components
from tests.conftest import ROOT
from tfxray.components.common import code_digest

# Modules that do what is cached, and one that none of them imports.
ENTRIES = (
    "tfxray.components.predict.batch_job",
    "tfxray.components.validation.data_gate",
    "tfxray.components.example_gen.executor",
    "tfxray.components.ingest.job",
    "tfxray.components.evaluator.component",
    "tfxray.components.trainer.run",
    "tfxray.components.transform.executor",
    "tfxray.components.transform.preprocessing",
    "tfxray.components.tuner.search",
)
UNRELATED = "tfxray.components.review.page"


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of the package, which the digests are then taken of."""
    for package in ("components", "pipeline", "schema"):
        shutil.copytree(ROOT / package, tmp_path / package)
    monkeypatch.setattr(code_digest, "_ROOT", tmp_path)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    for cached in (code_digest._beside, code_digest._content, code_digest._list_imports):
        cached.cache_clear()


def source(folder: Path, module: str) -> Path:
    path = folder.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def edited(path: Path) -> dict[str, str]:
    """The digests after one line more in a file, which is then as before."""
    content = code_digest._content
    before = path.read_bytes()
    path.write_bytes(before + b"\n# one line more\n")
    # What the other files hold is known: to read them all again for each edit takes long.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            code_digest,
            "_content",
            lambda file: (content.__wrapped__ if file == path else content)(file),
        )
        digests = {entry: code_digest.digest(entry) for entry in ENTRIES}
    path.write_bytes(before)
    return digests


def test_an_edit_of_any_module_changes_the_digests_of_those_that_import_it_alone(copy):
    as_they_are = {entry: code_digest.digest(entry) for entry in ENTRIES}
    behind = {entry: code_digest.own_modules(entry) for entry in ENTRIES}
    for module in sorted({module for modules in behind.values() for module in modules}):
        after = edited(source(copy, module))
        names_with_new_digest = {entry for entry in ENTRIES if after[entry] != as_they_are[entry]}
        assert names_with_new_digest == {entry for entry in ENTRIES if module in behind[entry]}, (
            module
        )
    assert edited(source(copy, UNRELATED)) == as_they_are
    assert {entry: code_digest.digest(entry) for entry in ENTRIES} == as_they_are


# Of these, one imports the least and one the most.
@pytest.mark.parametrize(
    "entry", ["tfxray.components.ingest.job", "tfxray.components.evaluator.component"]
)
def test_nothing_that_python_imports_is_missed(entry):
    """Python itself tells what an import loads; what is imported later is more, not less."""
    script = f"import sys, {entry}\nprint(*(m for m in sys.modules if m.startswith('tfxray.')))"
    command = [sys.executable, "-c", script]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = {"tfxray.pipeline", "tfxray.schema"}  # the digest's own imports
    assert set(modules) - own <= set(code_digest.own_modules(entry))


def test_files_beside_the_modules_count(copy):
    (weights,) = copy.rglob("*.weights.h5")
    before = (
        code_digest.digest("tfxray.components.transform.preprocessing"),
        code_digest.digest(UNRELATED),
    )
    with weights.open("ab") as file:
        file.write(b"another")
    forget()
    after = (
        code_digest.digest("tfxray.components.transform.preprocessing"),
        code_digest.digest(UNRELATED),
    )
    assert before[0] != after[0]
    (template, *_) = (copy / "components" / "review").rglob("*.html")
    template.write_text(template.read_text() + "<!-- -->")
    forget()
    assert code_digest.digest(UNRELATED) != after[1]
    assert code_digest.digest("tfxray.components.transform.preprocessing") == after[0]


def test_another_version_of_a_library_changes_the_digests_of_those_that_import_it(monkeypatch):
    before = {entry: code_digest.digest(entry) for entry in ENTRIES}
    version = code_digest._version
    other = lambda top: "0.0" if top == "tensorflow_transform" else version(top)  # noqa: E731
    monkeypatch.setattr(code_digest, "_version", other)
    names_with_new_digest = {
        entry for entry in ENTRIES if code_digest.digest(entry) != before[entry]
    }
    assert names_with_new_digest == {
        entry for entry in ENTRIES if "tensorflow_transform" in code_digest.libraries(entry)
    }
    assert {
        "tfxray.components.transform.executor",
        "tfxray.components.transform.preprocessing",
        "tfxray.components.trainer.run",
    } <= names_with_new_digest
    assert "tfxray.components.ingest.job" not in names_with_new_digest


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("if TYPE_CHECKING:\n    {}", False),
        ("if typing.TYPE_CHECKING:\n    {}", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    {}", True),
        ("if not TYPE_CHECKING:\n    {}", True),
        ("def later():\n    with open('x'):\n        {}", True),
        ("try:\n    pass\nexcept ImportError:\n    {}", True),
        ("try:\n    pass\nfinally:\n    {}", True),
        ("match 1:\n    case 1:\n        {}", True),
        ("class Later:\n    {}", True),
        ("from ..metrics import intervals", True),
        ("for x in ():\n    pass\nelse:\n    {}", True),
    ],
)
def test_an_import_counts_wherever_it_runs(copy, source, counts):
    entry = "tfxray.components.guard.rejects"
    assert "tfxray.components.metrics.intervals" not in code_digest.own_modules(entry)
    line = source.format("from tfxray.components.metrics import intervals")
    with (copy / "components" / "guard" / "rejects.py").open("a") as file:
        file.write(f"\n{line}\n")
    forget()
    own = code_digest.own_modules(entry)
    assert ("tfxray.components.metrics.intervals" in own) == counts


@pytest.mark.parametrize(
    "name",
    [
        "__pycache__/rejects.cpython-310.pyc.139872",
        ".job.py.swp",
        ".cache/x",
        "job.pyc",
        "README.md",
    ],
)
def test_what_programs_leave_beside_the_modules_does_not_count(copy, name):
    before = code_digest.digest("tfxray.components.guard.rejects")
    file = copy / "components" / "ingest" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"half written")
    forget()
    assert code_digest.digest("tfxray.components.guard.rejects") == before


def test_what_computes_behind_a_library_counts_with_it():
    read = code_digest.libraries("tfxray.components.pixels.dicom")
    assert {"pydicom", "python-gdcm"} <= set(read)
    assert "tfx-bsl" in code_digest.libraries("tfxray.components.transform.preprocessing")


def test_every_library_that_the_package_imports_has_a_version():
    """Else an upgrade would go unseen."""
    modules = [
        ".".join(("tfxray", *path.relative_to(ROOT).with_suffix("").parts))
        for path in Path(tfxray.components.__file__).parent.rglob("*.py")
    ]
    tops = {
        name.partition(".")[0] for module in modules for name in code_digest._list_imports(module)
    }
    foreign = tops - set(sys.stdlib_module_names) - {"tfxray"}
    assert {"tensorflow", "keras", "PIL"} <= foreign
    assert not [top for top in foreign if not code_digest._version(top)]
