"""Files that appear whole or not at all: by POSIX, `rename` replaces a file at once."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.components.disk import durable

# Writes a file again and again, in many calls of the operating system.
WRITER = """
import sys
from tfxray.components.disk import durable
while True:
    for letter in "ab":
        with durable.fresh_file(sys.argv[1]) as fresh, fresh.open("w") as file:
            for _ in range(200):
                file.write(letter * 1000)
                file.flush()
"""


def full(*arguments, **more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there_and_nothing_beside(tmp_path, monkeypatch, call):
    path = tmp_path / "summary.json"
    path.write_text("old")
    if call == "write":
        monkeypatch.setattr("pathlib.Path.write_bytes", full)
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write_file(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    for wait in (0.01, 0.02, 0.05, 0.1, 0.15):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        before = path.stat().st_ino if path.exists() else None
        while not path.exists() or path.stat().st_ino == before:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert path.read_text() in ("a" * 200_000, "b" * 200_000)


def test_a_link_stays_one_and_a_mode_is_kept_from_the_first_moment(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "key")
    with durable.fresh_file(tmp_path / "link", 0o600) as fresh:
        assert fresh.stat().st_mode & 0o777 == 0o600
        fresh.write_text("secret")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "key").read_text() == "secret"
    assert (tmp_path / "there" / "key").stat().st_mode & 0o777 == 0o600


def test_a_folder_takes_another_ones_place_whole(tmp_path, monkeypatch):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.move_folder(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old" / "file").read_text() == "old"
    monkeypatch.undo()
    durable.move_folder(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device"),
        (OSError(errno.EDQUOT, "x"), "Disk quota exceeded"),
        (OSError(errno.EROFS, "x"), "Read-only file system"),
        # As Beam, TensorFlow and ML Metadata raise them: without a number.
        (OSError("[Errno 28] No space left on device [while running 'Write']"), "No space left"),
        (RuntimeError("RESOURCE_EXHAUSTED: out/data; No space left on device"), "No space left"),
        (RuntimeError("Error when executing query: database or disk is full"), "No space left"),
    ],
)
def test_a_disks_refusal_becomes_one_line_with_what_to_do(error, words):
    failure = ValueError("an export failed")
    failure.__cause__ = error
    with pytest.raises(UserError) as caught, explain_refusals("/there"):
        raise failure
    text = str(caught.value)
    assert text.startswith(f"/there: {words}")
    assert "run the same command again" in text
    assert "\n" not in text


def test_other_errors_stay_as_they_are():
    for error in (ValueError("no"), UserError("bad"), OSError(errno.ENOENT, "none")):
        with pytest.raises(type(error)) as caught, explain_refusals("/there"):
            raise error
        assert caught.value is error


def test_a_folder_in_the_place_of_a_file_is_told_in_a_line_and_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for name in ("there", "link"):
        place = tmp_path / name
        with pytest.raises(UserError) as caught, explain_refusals(place, "--page"):
            durable.write_file(place, "x")
        assert str(caught.value) == f"{place}: is a folder; name a file (--page)"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]
    # Another folder is no fault of the place that the user named.
    with pytest.raises(IsADirectoryError), explain_refusals(tmp_path / "elsewhere"):
        durable.write_file(tmp_path / "there", "x")
