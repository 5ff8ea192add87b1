"""`tfxray serving`: the versions that were pushed, and the way back to one of them."""

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.components.common import filenames
from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.disk import locks
from tfxray.components.listing import file_list
from tfxray.components.pusher import push, rollbacks, versions
from tfxray.pipeline.runs import lineage, listing, run_summary, store_check
from tfxray.pipeline.terminal.lines import format_table

_LOCK = ".rollback.lock"
_FIRST = 1_000_000_000  # September 2001; a lower number is no time


@dataclass(frozen=True)
class Version:
    """A version in a serving folder.

    Attributes:
        model: The model's name, which is the folder's.
        version: Its number.
        path: Its folder.
        served: Whether it is the newest, and sound. Where the newest is damaged, nobody is.
        damage: What is wrong with it; None where nothing is known to be.
        checksums: Whether it has any. Without, damage cannot be seen.
        pushed: When, in local time, to the second; None where unknown.
        copy_of: The version that a rollback copied to make this one; None of a push.
        noted: Whether the metadata store knows it.
        auc: On the held-out test split, as its record says.
        auc_interval: Its 95 % interval, by patient.
        images: Of the test split.
        patients: Likewise.
        run_id: The run that pushed it, or of a copy, the first version that was copied; None where
            the run was removed, or is not of this `--out`.
        data: The folder that was given to that run.
        rules: The gate's rules that it was blessed by.
    """

    model: str
    version: int
    path: str
    served: bool = False
    damage: str | None = None
    checksums: bool = False
    pushed: str | None = None
    copy_of: int | None = None
    noted: bool = False
    auc: float | None = None
    auc_interval: tuple[float, float] | None = None
    images: int | None = None
    patients: int | None = None
    run_id: str | None = None
    data: str | None = None
    rules: list[str] = field(default_factory=list)


def list_versions(out: Path, model: str | None = None) -> list[Version]:
    """All versions that the runs of a folder pushed, oldest first, one model after the other.

    All files of all versions are read, to compare them with their checksums.

    Args:
        out: The `--out` of the runs.
        model: The name of one model; by default all.

    Raises:
        UserError: There is none, or the metadata store cannot be read.
    """
    known = _Known(out)
    return [version for base in _choose(known, model) for version in known.describe(base)]


def _choose(known: "_Known", model: str | None) -> list[str]:
    bases = known.bases()
    if not bases:
        raise UserError(f"{known.out}: no model was pushed by the runs of this folder (--out)")
    chosen = [base for base in bases if model in (None, os.path.basename(base))]
    if not chosen:
        names = sorted({os.path.basename(base) for base in bases})
        raise UserError(
            f"{model}: no model of this name was pushed{did_you_mean(model or '', names)}; there "
            f"are: {', '.join(names)} (--name)"
        )
    return chosen


class _Known:
    """What the metadata store and the runs' summaries know of pushed versions.

    Attributes:
        out: The `--out` of the runs.
        store: None where there is none.
        artifacts: `PushedModel`s by the version's folder: of several, the first.
    """

    def __init__(self, out: Path):
        self.out = out.resolve()
        self.store = store_check.open_store(self.out)
        self.artifacts: dict[str, mlmd.Artifact] = {}
        kind = rollbacks.PUSHED_MODEL
        pushed = self.store.get_artifacts_by_type(kind) if self.store else []
        for artifact in sorted(pushed, key=lambda artifact: artifact.id):
            destination = artifact.custom_properties[rollbacks.DESTINATION].string_value
            if destination and (place := listing.find_version(self.out, destination)):
                self.artifacts.setdefault(place, artifact)
        self._summaries: dict[str, run_summary.Summary] = {}
        for folder in listing.list_folders(self.out):
            summary = run_summary.read_summary(folder)
            if not summary or not summary.pushed_model:
                continue
            if place := listing.find_version(self.out, summary.pushed_model):
                # The first: a later run of the same model finds it served already.
                self._summaries.setdefault(place, summary)

    def bases(self) -> list[str]:
        """The folders of versions: those below `out`, and where `serving.folder` led runs."""
        own = (str(p) for p in (self.out / "serving").glob("*") if p.is_dir())
        pushed = (os.path.dirname(place) for place in (*self.artifacts, *self._summaries))
        return [base for base in sorted({*own, *pushed}) if versions.list_versions(base)]

    def describe(self, base: str) -> list[Version]:
        """The versions of one model, the oldest first."""
        described: dict[int, Version] = {}
        places = versions.list_versions(base)
        for number, path in places.items():
            damage, record = versions.find_damage(path), None
            with contextlib.suppress(ValueError):
                record = versions.read_record(os.path.join(path, filenames.VERSION_RECORD))
            copied = described.get(record.copy_of) if record and record.copy_of else None
            described[number] = Version(
                model=os.path.basename(base),
                version=number,
                path=path,
                served=not damage and number == max(places),
                damage=damage,
                checksums=record is not None,
                pushed=self._when(number, path),
                copy_of=record.copy_of if record else None,
                noted=path in self.artifacts,
                **_figures(record),
                **(_origin(copied) if copied else self._run(path)),
            )
        return list(described.values())

    def _when(self, number: int, path: str) -> str | None:
        """When a version was pushed: by the store, else by its number, where that is a time."""
        seconds: float = number if _FIRST <= number < time.time() + 1 else 0
        if path in self.artifacts:
            seconds = self.artifacts[path].create_time_since_epoch / 1000 or seconds
        return str(datetime.datetime.fromtimestamp(seconds))[:19] if seconds else None

    def _run(self, path: str) -> dict[str, Any]:
        summary = self._summaries.get(path)
        if not summary:
            return {}
        passed = [str(rule.get("rule")) for rule in summary.rules if rule.get("passed") is True]
        return {
            "run_id": summary.run_id,
            "data": listing.read_source(self.out / "runs" / summary.run_id),
            "rules": list(dict.fromkeys(passed)),
        }


def _figures(record: versions.Record | None) -> dict[str, Any]:
    heldout = record.heldout if record else None
    if not heldout:
        return {}
    return {
        "auc": heldout.auc,
        "auc_interval": heldout.auc_interval,
        "images": heldout.images,
        "patients": heldout.patients,
    }


def _origin(copied: Version) -> dict[str, Any]:
    return {"run_id": copied.run_id, "data": copied.data, "rules": copied.rules}


def roll_back(out: Path, number: int, model: str | None, say: Callable[[str], None]) -> Version:
    """Makes a copy of an earlier version the newest one, and notes it in the metadata store.

    A run that goes on is not waited for. A rollback that was broken off after the copy appeared is
    noted by the same command, once more.

    Args:
        out: The `--out` of the runs.
        number: The version to go back to.
        model: The model's name; may be None where there is no other with such a version.
        say: Takes a line.

    Returns:
        The copy.

    Raises:
        UserError: There is no such version, it is damaged, or served already; or the copy, or the
            metadata store, cannot be written.
    """
    file_list.require_folder(str(out), "--out")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(out / _LOCK, "tfxray serving", say, remove=True))
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
        store_check.check_store(out.resolve())  # before anything is copied
        known = _Known(out)
        base = _find_base(known, number, model)
        described = {version.version: version for version in known.describe(base)}
        wanted, newest = described[number], described[max(described)]
        copies = [v for v in described.values() if v.copy_of is not None and not v.damage]
        unnoted = [version for version in copies if not version.noted]
        for version in unnoted:
            _note(known, version.path, version.copy_of or 0)
            say(f"version {version.version}: a rollback that was broken off; it is noted now")
        if newest in unnoted and newest.copy_of == number:
            path = newest.path
        else:
            _require_other(wanted, newest)
            path = push.copy_version(wanted.path)
            _note(known, path, number)
    if not wanted.checksums:
        say(f"version {number} has no checksums: whether it is damaged, nobody can tell")
    return next(version for version in _Known(out).describe(base) if version.path == path)


def _find_base(known: _Known, number: int, model: str | None) -> str:
    bases = _choose(known, model)
    having = [base for base in bases if number in versions.list_versions(base)]
    if not having:
        there = [str(n) for base in bases for n in versions.list_versions(base)]
        raise UserError(
            f"{', '.join(bases)}: holds no version {number}; there are: {', '.join(there)} "
            "(--rollback)"
        )
    if len(having) > 1:
        names = ", ".join(map(os.path.basename, having))
        raise UserError(f"several models have a version {number}: {names}; name one (--name)")
    return having[0]


def _require_other(wanted: Version, newest: Version) -> None:
    """Refuses to go back to what is served."""
    if newest.damage or wanted.damage:
        return
    if wanted == newest:
        raise UserError(f"version {newest.version} is the newest already. Nothing was changed")
    if versions.hold_the_same(wanted.path, newest.path):
        raise UserError(
            f"version {newest.version}, the newest, holds the very model of version "
            f"{wanted.version} already. Nothing was changed"
        )


def _note(known: _Known, path: str, number: int) -> None:
    """Notes a copy in the metadata store, which is made where there is none."""
    original = known.artifacts.get(os.path.join(os.path.dirname(path), str(number)))
    try:
        store = lineage.open_store(lineage.local_connection(known.out))
        rollbacks.note_rollback(store, path, number, original)
    except (OSError, RuntimeError, errors.StatusError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
        raise UserError(
            f"{known.out / lineage.DATABASE}: cannot note that version {os.path.basename(path)} is "
            f"a copy of {number}: {reason}. The copy is served; to note it, run the same command "
            "again"
        ) from error


def format_versions(described: Sequence[Version]) -> list[str]:
    """Versions as lines of a table, as wide as the terminal."""
    several = len({version.model for version in described}) > 1
    headings = ("version", "pushed", "AUC", "data", "run", "state", "blessed by")
    rows = []
    for version in described:
        low_high = ", ".join(f"{value:.4f}" for value in version.auc_interval or ())
        row = (
            str(version.version),
            version.pushed or "",
            "" if version.auc is None else f"{version.auc:.4f}{low_high and f' [{low_high}]'}",
            Path(version.data).name if version.data else "",
            version.run_id or "",
            _state(version),
            ", ".join(version.rules),
        )
        rows.append((version.model, *row) if several else row)
    return format_table(("model", *headings) if several else headings, rows, ("version",))


def _state(version: Version) -> str:
    states = [
        "served" if version.served else "",
        f"damaged: {version.damage}" if version.damage else "",
        "" if version.copy_of is None else f"copy of {version.copy_of}",
        "" if version.copy_of is None or version.noted else "not noted in the store",
        "" if version.checksums or version.damage else "no checksums",
    ]
    return "; ".join(filter(None, states))
