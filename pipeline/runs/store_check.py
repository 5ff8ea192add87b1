"""Whether a folder's metadata store can be worked with; told in a line before anything is done."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.components.common.errors import UserError
from tfxray.components.listing import file_list
from tfxray.components.text import escape
from tfxray.pipeline.runs import lineage, locks
from tfxray.pipeline.runs.lineage import ARTIFACTS, DATABASE

_PATIENCE = 20.0  # seconds for another program that has the store locked
# What holds the outputs of a store's executions, by their numbers, and states of trainings.
_OF_STORE = (ARTIFACTS, "state")


def find_store(out: Path) -> mlmd.ConnectionConfig | None:
    """The store of earlier local runs, after a look at it; None where nothing was recorded yet.

    Args:
        out: The `--out` of the runs.

    Raises:
        UserError: See `check_store`; or there is no such folder.
    """
    file_list.require_folder(str(out), "--out")
    check_store(out, writes=False)
    path = out / DATABASE
    # ML Metadata would make its tables in an empty file: whoever asks must leave it as it is.
    return lineage.local_connection(out) if path.is_file() and path.stat().st_size else None


def open_store(out: Path) -> metadata_store.MetadataStore | None:
    """The same, opened.

    Args:
        out: The `--out` of the runs.

    Raises:
        UserError: See `check_store`; or it is of another version.
    """
    connection = find_store(out)
    try:
        return lineage.open_store(connection) if connection else None
    except RuntimeError as error:  # MLMD's own, of many lines
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{out / DATABASE}: cannot be read: {reason}") from None


def check_store(out: Path, writes: bool = True) -> None:
    """Looks at the store of local runs, as SQLite sees it.

    None, and an empty one, are well where there are no artifacts: TFX makes it at the first node.
    Beside artifacts, a new store would number its executions from one again, and their outputs
    would lie among those of old ones.

    Args:
        out: The `--out` of the runs.
        writes: Whether it is to be written, too.

    Raises:
        UserError: Runs cannot work with it.
    """
    if damage := find_damage(out, writes):
        raise UserError(
            f"{out / DATABASE}: {damage}. Put a copy of it back; or begin a new store: "
            f"`tfxray clean --new-store --out {escape.for_shell(str(out))}` removes it and "
            f"{ARTIFACTS}/, whose parts nobody knows without it, and keeps pushed versions, pages "
            "and records"
        )


def find_damage(out: Path, writes: bool = True) -> str | None:
    """What is wrong with a folder's store; None if nothing is.

    Args:
        out: The `--out` of the runs.
        writes: Whether it is to be written, too.

    Raises:
        UserError: It may be whole, but nobody can write into it now, or read it.
    """
    path = out / DATABASE
    if not path.is_file():
        if path.is_dir():
            return "is a folder, where the metadata store must be"
        if os.path.lexists(path):
            return "is a link that leads nowhere, or no file"
        return "is missing, beside the artifacts of earlier runs" if _has_artifacts(out) else None
    if not path.stat().st_size:
        return "is empty, beside the artifacts of earlier runs" if _has_artifacts(out) else None
    # `rw`: never makes one; a journal that a kill left is taken back.
    address = f"file:{quote(str(path.resolve()))}?mode=rw"
    try:
        database = sqlite3.connect(address, timeout=_PATIENCE, uri=True)
        with contextlib.closing(database):
            database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            problems = [text for (text,) in database.execute("PRAGMA quick_check(1)")]
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            database.rollback()
    except sqlite3.OperationalError as error:
        raise UserError(
            f"{path}: {_explain(error, writes)}, then run the same command again"
        ) from None
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    if problems != ["ok"]:
        return "is damaged (SQLite's quick_check)"
    return None if not tables or "MLMDEnv" in tables else "is a database of something else"


def _explain(error: sqlite3.OperationalError, writes: bool) -> str:
    if "locked" in str(error):
        return f"another program has it locked, for {_PATIENCE:.0f} seconds now; end that one"
    if not writes:
        return f"cannot be read ({error}); make the file readable"
    return f"cannot be written ({error}); make the file and its folder writable"


@contextlib.contextmanager
def plan_new_store(out: Path, say: Callable[[str], None]) -> Iterator["NewStore"]:
    """Plans a new store while no run goes on or starts.

    Args:
        out: The `--out` of the runs.
        say: Takes a line.

    Raises:
        UserError: There is no such folder, the store is whole, or a run goes on.
    """
    file_list.require_folder(str(out), "--out")
    with locks.take_turn(out, "tfxray clean", say, wait=False):
        if not find_damage(out):
            raise UserError(
                f"{out / DATABASE}: nothing is wrong with it; --keep removes what old runs left"
            )
        yield NewStore(out)


class NewStore:
    """What goes before a new store can begin.

    Attributes:
        paths: Files and folders.
    """

    def __init__(self, out: Path):
        """Looks, and removes nothing.

        Args:
            out: The `--out` of the runs.
        """
        # The store goes last: broken off, the next one finds the damage still.
        names = [*_OF_STORE, f"{DATABASE}-journal", f"{DATABASE}-wal", f"{DATABASE}-shm", DATABASE]
        self.paths = [out / name for name in names if os.path.lexists(out / name)]

    def __call__(self) -> None:
        """Removes it.

        Raises:
            UserError: Something cannot be removed.
        """
        for path in self.paths:
            try:
                if path.name == DATABASE and path.is_dir() and not path.is_symlink():
                    path.rmdir()  # whoever put something into it wants to have it
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except OSError as error:
                raise UserError(f"{path}: cannot be removed: {error.strerror}") from None


def _has_artifacts(out: Path) -> bool:
    return any((out / ARTIFACTS).glob("*"))
