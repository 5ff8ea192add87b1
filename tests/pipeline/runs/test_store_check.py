"""Metadata stores that are lost or damaged: found before anything is done, told with what to do.

What is damaged is SQLite's to say: `PRAGMA quick_check`, https://sqlite.org/pragma.html.
"""

import os
import shutil
import sqlite3

import pytest

from tests.pipeline.runs.made import Out
from tfxray.components.common.errors import UserError
from tfxray.pipeline.runs import lineage, run_summary, store_check

CONFIG = {"classes": ["NORMAL", "PNEUMONIA"]}


@pytest.fixture
def out(tmp_path):
    """A folder with a pushed version, and its store closed."""
    made = Out(tmp_path / "out")
    made.pushed(summary={"status": "pushed"}, config=CONFIG)
    del made.store
    return made.folder


def empty(path):
    path.write_bytes(b"")


def missing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def nowhere(path):
    path.unlink()
    path.symlink_to(path.with_name("gone.db"))


def text(path):
    path.write_text("not a database")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def page(path):
    """One page of garbage: opened without a word, and found out later by whoever reads it."""
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * 4096)


def other(path):
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE patients (name TEXT)")
    database.close()


DAMAGES = (empty, missing, folder, nowhere, text, zeros, cut, page, other)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_ends_a_run_at_once_and_a_new_one_keeps_what_was_pushed(
    out, damage, tfxray, tmp_path, small_config
):
    version = next(out.glob("serving/*/*"))
    damage(out / lineage.DATABASE)
    (tmp_path / "data").mkdir()
    result = tfxray("run", "--config", small_config, "--data", tmp_path / "data", "--out", out)
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert line.startswith(f"error: {out / lineage.DATABASE}: is ")
    assert f"tfxray clean --new-store --out {out}" in line
    assert next(out.glob("artifacts/*/*/*/file")).is_file()

    told = tfxray("clean", "--new-store", "--out", out, "--dry-run")
    assert (told.code, next(out.glob("artifacts/*/*/*/file")).is_file()) == (0, True)
    done = tfxray("clean", "--new-store", "--out", out)
    assert (done.code, done.out) == (0, told.out)
    assert store_check.find_damage(out) is None
    assert not (out / "artifacts").exists()
    assert version.is_dir()
    assert next(out.glob("runs/*/summary.json")).is_file()


READERS = (
    ("clean", "--keep", 1),
    ("clean", "--keep", 1, "--dry-run"),
    ("serving",),
    ("runs",),
    ("review",),
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", READERS, ids=lambda words: " ".join(map(str, words)))
def test_a_damaged_store_is_neither_read_nor_made_anew(out, tfxray, damage, command):
    """By one without runs, a served version's run would go, and a page say what is untrue."""
    damage(out / lineage.DATABASE)
    before = snapshot(out)
    result = tfxray(command[0], "--out", out, *command[1:])
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.strip().splitlines()
    assert line.startswith(f"error: {out / lineage.DATABASE}: is ")
    assert f"tfxray clean --new-store --out {out}" in line
    assert snapshot(out) == before


def snapshot(folder):
    """What is in a folder, but for the log and locks."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name not in (run_summary.LOG, ".lock")
    }


def test_an_empty_store_without_artifacts_stays_empty_when_it_is_read(out, tfxray):
    shutil.rmtree(out / "artifacts")
    empty(out / lineage.DATABASE)
    assert tfxray("runs", "--out", out).code == 0
    assert not (out / lineage.DATABASE).stat().st_size


def test_a_whole_store_is_not_given_up(out, tfxray):
    assert store_check.find_damage(out) is None
    result = tfxray("clean", "--new-store", "--out", out)
    assert result.code == 2
    assert "nothing is wrong with it" in result.err
    assert next(out.glob("artifacts/*/*/*/file")).is_file()


@pytest.mark.parametrize("damage", [empty, missing])
def test_without_artifacts_there_is_nothing_to_lose(out, damage):
    shutil.rmtree(out / "artifacts")
    damage(out / lineage.DATABASE)
    store_check.check_store(out)


def test_a_journal_that_a_kill_left_is_taken_back(out):
    """SQLite's own way: https://sqlite.org/atomiccommit.html, 'hot rollback journals'."""
    path = out / lineage.DATABASE
    pid = os.fork()
    if not pid:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the end
        database.execute("BEGIN")
        database.execute("CREATE TABLE half (n)")
        for _ in range(2000):
            database.execute("INSERT INTO half VALUES (randomblob(1000))")
        os._exit(9)
    os.waitpid(pid, 0)
    assert path.with_name(f"{path.name}-journal").stat().st_size
    store_check.check_store(out)
    with sqlite3.connect(path) as database:
        assert ("half",) not in database.execute("SELECT name FROM sqlite_master").fetchall()
    database.close()


def test_a_store_that_another_program_has_locked_is_not_taken_for_damaged(out, monkeypatch, tfxray):
    monkeypatch.setattr(store_check, "_PATIENCE", 0.1)
    database = sqlite3.connect(out / lineage.DATABASE, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="another program has it locked"):
        store_check.check_store(out)
    assert tfxray("clean", "--new-store", "--out", out).code == 2
    database.execute("ROLLBACK")
    database.close()
    store_check.check_store(out)


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT RUN: root may write what is read-only")
def test_a_store_that_may_not_be_written_is_told(out):
    (out / lineage.DATABASE).chmod(0o444)
    with pytest.raises(UserError, match="cannot be written"):
        store_check.check_store(out)


def test_keep_and_new_store_exclude_each_other(out, tfxray):
    assert tfxray("clean", "--out", out).code == 2
    assert tfxray("clean", "--out", out, "--new-store", "--keep", 1).code == 2
