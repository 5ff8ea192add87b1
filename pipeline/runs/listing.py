"""`tfxray runs`: what ran in a folder, by the metadata store and the runs' own files."""

import datetime
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.pipeline.runs import locks, run_summary
from tfxray.pipeline.terminal.lines import format_table

# Beside the summary, not in it, nor on the page: both are handed on, and a path may tell too much.
SOURCE = "source.json"
_STATUS_TEXTS = {
    "not_blessed": "not blessed",
    "data_rejected": "data refused",
    "prepared": "done, nothing pushed",
    "all_right": "all right, nothing trained",
}
_MILLISECOND = datetime.timedelta(milliseconds=1)
_REASON_LENGTH = 72  # characters of a reason


@dataclass(frozen=True)
class PastRun:
    """A run, as far as is known of it.

    Attributes:
        run_id: Its id.
        started: Date and time.
        config: The config's name.
        changed: Keys whose values differ from those of the run of this name before it.
        data: The folder that was given.
        status: As of `run_summary.Summary`; or `running`, `interrupted`, and `unknown`.
        reason: Why it was not pushed.
        auc: On the held-out test split.
        auc_interval: Its 95 % interval.
        seconds: In all.
        pushed_model: The version's folder, from the root on, if it is still there.
    """

    run_id: str
    started: str
    config: str | None = None
    changed: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    status: str = "unknown"
    reason: str | None = None
    auc: float | None = None
    auc_interval: list[float] | None = None
    seconds: float | None = None
    pushed_model: str | None = None


def write_source(folder: Path, data: str) -> None:
    """Keeps the folder that a run's data came from.

    Args:
        folder: The run's.
        data: As it was given.
    """
    durable.write_file(folder / SOURCE, json.dumps({"data": data}))


def read_source(folder: Path) -> str | None:
    """The folder that a run's data came from; None where that is not known.

    Args:
        folder: The run's.
    """
    return str(_keys(folder / SOURCE).get("data") or "") or None


def make_folder(out: Path) -> Path:
    """Makes the folder of a new run; its name is the run's id, and no other run's.

    The name is the time in milliseconds, but later than that of each run before, also where the
    clock was set back: runs are ordered by their names.

    Args:
        out: The `--out` of the runs.

    Raises:
        OSError: It cannot be made.
    """
    while True:
        starts = [start for folder in list_folders(out) if (start := start_of(folder.name))]
        now = max([datetime.datetime.now(), *(start + _MILLISECOND for start in starts)])
        folder = out / "runs" / f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another run's, of the same millisecond
            if not folder.is_dir():
                raise
        else:
            return folder


def list_folders(out: Path) -> list[Path]:
    """The runs' folders, oldest first; what else lies beside them, and links, are none.

    Args:
        out: The `--out` of the runs.
    """
    paths = (out / "runs").glob("*")
    return sorted(p for p in paths if start_of(p.name) and p.is_dir() and not p.is_symlink())


def start_of(run_id: str) -> datetime.datetime | None:
    """When a run began, by its id; None where it is none."""
    try:
        return datetime.datetime.strptime(run_id, "%Y%m%d-%H%M%S-%f")
    except ValueError:
        return None


def find_version(out: Path, destination: str) -> str | None:
    """Where a pushed model lies, also when `out` was moved since; None where it was removed.

    Args:
        out: The `--out` of its run.
        destination: Where it was pushed to. Of a bucket, nobody asks whether it is still there.
    """
    if not filesystem.is_local(destination):
        return destination
    path = Path(destination)
    places = [path]
    if path.parent.parent.name == "serving":  # or a folder of `serving.folder` that is called so
        places.insert(0, out / "serving" / path.parent.name / path.name)
    return next((str(place) for place in places if place.is_dir()), None)


def list_runs(out: Path) -> list[PastRun]:
    """All runs in a folder, oldest first.

    Args:
        out: The `--out` of the runs.

    Raises:
        UserError: There is none, or no such folder.
    """
    stored_runs = _StoredRuns(out)
    ids = {folder.name for folder in list_folders(out)} | set(
        filter(start_of, stored_runs.pipelines)
    )
    if not ids:
        raise UserError(f"{out}: holds no run of tfxray (--out)")
    past = []
    before: dict[str | None, dict[str, Any]] = {}
    for run_id in sorted(ids):
        folder = out / "runs" / run_id
        config = _keys(folder / run_summary.RESOLVED)
        name = config.get("name") or stored_runs.pipelines.get(run_id)
        changes = _differences(before.get(name) or config, config) if config else {}
        before[name] = config or before.get(name, {})
        outcome = _from_summary(out.resolve(), folder) or stored_runs.unfinished(folder, name)
        data = read_source(folder)
        when = str(start_of(run_id))[:19]
        past.append(PastRun(run_id, when, name, changes, data, **outcome))
    return past


def _from_summary(out: Path, folder: Path) -> dict[str, Any]:
    summary = run_summary.read_summary(folder)
    if not summary:
        return {}
    place = find_version(out, summary.pushed_model) if summary.pushed_model else None
    return {
        "status": summary.status,
        "reason": summary.reason,
        "auc": summary.auc,
        "auc_interval": summary.auc_interval,
        "seconds": summary.seconds.get("total"),
        "pushed_model": place,
    }


class _StoredRuns:
    """What the metadata store knows of the runs in a folder; nothing where there is no store."""

    def __init__(self, out: Path):
        from tfxray.pipeline.runs import lineage, store_check

        self._connection, store = store_check.find_store(out), store_check.open_store(out)
        self.pipelines = lineage.list_pipelines(store) if store else {}

    def unfinished(self, folder: Path, name: str | None) -> dict[str, Any]:
        """Status and reason of a run without a summary: how far its nodes came."""
        if not folder.is_dir():
            return {"status": "unknown", "reason": "its folder is gone"}
        if (folder / run_summary.SUMMARY).exists():
            return {"status": "unknown", "reason": f"{run_summary.SUMMARY} cannot be read"}
        node, state = self._last(folder.name, name)
        if locks.is_running(folder):
            return {"status": "running", "reason": node}
        return {"status": "failed" if state == "FAILED" else "interrupted", "reason": node}

    def _last(self, run_id: str, name: str | None) -> tuple[str, str | None]:
        from tfxray.pipeline.runs import lineage

        node_runs = {}
        if self._connection and name and run_id in self.pipelines:
            node_runs = lineage.node_runs(self._connection, name, run_id)
        if not node_runs:
            return "before its first node", None
        node, last = list(node_runs.items())[-1]
        return f"{'after' if last.complete else 'in'} {node}", last.state


def _keys(path: Path) -> dict[str, Any]:
    """A file's keys and values, in YAML or JSON; none where it cannot be read."""
    try:
        keys = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError):
        return {}
    return keys if isinstance(keys, dict) else {}


def _differences(before: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    earlier, now = dict(_flat(before)), dict(_flat(config))
    return {
        key: now.get(key)
        for key in sorted({*earlier, *now})
        if earlier.get(key) != now.get(key)
    }  # fmt: skip


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def format_runs(past: Sequence[PastRun]) -> list[str]:
    """Runs as lines of a table, as wide as the terminal."""
    rows = []
    for run in past:
        low_high = ", ".join(f"{value:.4f}" for value in run.auc_interval or ())
        cells = (
            run.run_id,
            run.config or "",
            Path(run.data).name if run.data else "",
            "" if run.auc is None else f"{run.auc:.4f}{low_high and f' [{low_high}]'}",
            _verdict(run),
            str(datetime.timedelta(seconds=round(run.seconds))) if run.seconds else "",
            "  ".join(
                f"{key}={json.dumps(value, default=str)}" for key, value in run.changed.items()
            ),
        )
        rows.append(cells)
    headings = ("run", "config", "data", "AUC", "verdict", "time", "changed")
    return format_table(headings, rows, narrow=("run", "AUC", "time"))


def _verdict(run: PastRun) -> str:
    if run.status == "pushed":
        return f"pushed: {Path(run.pushed_model).name}" if run.pushed_model else "pushed, removed"
    status = _STATUS_TEXTS.get(run.status, run.status)
    return textwrap.shorten(f"{status}: {run.reason}" if run.reason else status, _REASON_LENGTH,
                            placeholder=" …")  # fmt: skip
