"""Made models: files that look like a SavedModel's, and their record."""

from pathlib import Path

from tfxray.components.pusher import push, versions

FIGURES = versions.Figures(0.9312, (0.9011, 0.9523), 60, 40)


def make_model(folder: Path, content: bytes = b"a", size: int = 5000) -> Path:
    """Writes a model of three files and returns its folder."""
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/explain.keras"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content * size)
    return folder


def make_record(model: Path) -> versions.Record:
    """What Evaluator would have noted of it."""
    return versions.Record(versions.hash_files(str(model)), FIGURES)


def push_model(model: Path, base: Path) -> Path:
    """Pushes it as Pusher does."""
    return Path(push.push_version(str(model), str(base), make_record(model)))


def files_of(folder: Path) -> dict[str, bytes]:
    """What lies below a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
