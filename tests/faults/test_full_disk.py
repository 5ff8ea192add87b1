"""Disks that take no more, for a moment: one line, and afterwards all is as if nothing had been."""

import os
import subprocess
from pathlib import Path

import pytest

from tfxray.components.ingest import output
from tfxray.pipeline.runs import run_summary

FILLER = "filler"


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def fill(self, left: int) -> None:
        """Leaves so many KiB."""
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize - left * 1024
        with (self.folder / FILLER).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def free(self) -> None:
        (self.folder / FILLER).unlink()

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"NOT RUN: no file system may be mounted here ({done.stderr.strip()})")


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    small = Disk(folder)
    small.mount("size=64m")
    yield small
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def one_line(result):
    """The error of a command, which is a line."""
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    return next(line for line in result.err.splitlines() if line.startswith("error: "))


@pytest.mark.parametrize("left", [0, 8, 400])
def test_an_ingest(disk, drawn, tfxray, left):
    command = ("ingest", drawn, "--out", disk.folder / "records", "--classes", "NORMAL,PNEUMONIA")
    disk.fill(left)
    line = one_line(tfxray(*command))
    assert f"{disk.folder / 'records'}" in line
    assert "No space left on device" in line
    assert set(os.listdir(disk.folder)) <= {FILLER, "pseudonym.key"}
    disk.free()
    assert tfxray(*command).code == 0
    report = output.read_report(str(disk.folder / "records"))
    assert report
    assert report["written"] == {"all": 300}


def test_a_sample(disk, tfxray):
    disk.fill(40)
    line = one_line(tfxray("sample", "--out", disk.folder / "x", "--images", 20, "--size", 64))
    assert "No space left on device" in line
    assert not (disk.folder / "x" / "manifest.csv").exists()
    disk.free()
    assert tfxray("sample", "--out", disk.folder / "x", "--images", 20, "--size", 64).code == 0


def test_a_run(disk, drawn, tfxray, small_config):
    """Before its folder is made, in the ingest, and in the nodes, one after the other."""
    out = disk.folder / "out"
    command = ("run", "--config", small_config, "--data", drawn, "--out", out, "--to", "DataGate")
    for left in (0, 200, 1500):
        disk.fill(left)
        line = one_line(tfxray(*command))
        assert str(out) in line
        assert "No space left on device" in line
        for summary in out.glob(f"runs/*/{run_summary.SUMMARY}"):
            assert run_summary.read_summary(summary.parent)  # whole, where it is there
        disk.free()
    result = tfxray(*command)
    assert result.code == 0, result.err
    latest = run_summary.read_summary(max(out.glob("runs/*")))
    assert latest
    assert sum(latest.examples.values()) == 300


def test_a_read_only_disk(disk, drawn, tfxray, small_config):
    disk.mount("remount,ro")
    command = ("run", "--config", small_config, "--data", drawn, "--out", disk.folder / "out")
    assert "cannot be written: Read-only file system (--out)" in one_line(tfxray(*command))
    ingest = ("ingest", drawn, "--out", disk.folder / "records")
    assert "cannot be written: Read-only file system (--out)" in one_line(tfxray(*ingest))
