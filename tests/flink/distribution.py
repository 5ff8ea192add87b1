"""Flink and Beam's job server, from the registries into a folder that git ignores."""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import apache_beam
import pytest

from tests.conftest import ROOT

CACHE = ROOT / "build" / "flink"
POM = Path(__file__).parent / "job_server.xml"
_PATIENCE = 600  # seconds for one of the registries' programs
_BEAM = apache_beam.__version__

# What goes with Beam's SDK: the job server that Beam publishes for it, and Flink, of the version
# that both stacks' Beam takes.
FLINK = "1.19.3"
JOB_SERVER = f"org.apache.beam:beam-runners-flink-1.19-job-server:{_BEAM}"
# Where that job server is not served: the newest of Beam's runners for Flink that is.
SERVED_FLINK = "1.16.3"
SERVED_RUNNER = {
    "runner": "beam-runners-flink-1.16",
    "runner.version": "2.59.0",
    "job.service": "2.62.0",
}


@dataclass(frozen=True)
class Distribution:
    """What a cluster is made of.

    Attributes:
        name: Its parts, with their versions.
        flink: The folder of Flink's jars.
        job_server: The jar of Beam's job server.
    """

    name: str
    flink: Path
    job_server: Path


def find() -> Distribution:
    """Brings what is not here yet; skips the test, and says why, where it is not to be had."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        not_run(f"no {' and no '.join(missing)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    job_server, version, runner = _published(), FLINK, JOB_SERVER
    if job_server is None:
        job_server, version = _own(), SERVED_FLINK
        runner = f"{SERVED_RUNNER['runner']}:{SERVED_RUNNER['runner.version']}"
    name = f"Flink {version}, {runner.removeprefix('org.apache.beam:')}, Beam's SDK {_BEAM}"
    return Distribution(name, _flink(version), job_server)


def not_run(why: str) -> None:
    """Skips the test."""
    pytest.skip(f"NOT RUN on Flink: {why}")


def _published() -> Path | None:
    """The job server as Beam publishes it. A registry's no is kept: it is asked once."""
    folder = CACHE / JOB_SERVER.replace(":", "-")
    if not folder.exists():
        folder.mkdir()
        copied = (f"-Dartifact={JOB_SERVER}", f"-DoutputDirectory={folder}", "-Dtransitive=false")
        _call("mvn", "-q", "-B", "dependency:get", *copied) and _call(
            "mvn", "-q", "-B", "dependency:copy", *copied
        )
    return next(folder.glob("*.jar"), None)


def _own() -> Path:
    """One jar of the runner and of what it needs."""
    folder = CACHE / "-".join(SERVED_RUNNER.values())
    jar = folder / "target" / "job-server-1.jar"
    if not jar.exists():
        folder.mkdir(exist_ok=True)
        shutil.copy(POM, folder / "pom.xml")
        versions = [f"-D{name}={value}" for name, value in SERVED_RUNNER.items()]
        if not _call("mvn", "-q", "-B", "-f", folder / "pom.xml", *versions, "package"):
            not_run(f"no job server: see {_log()}")
    return jar


def _flink(version: str) -> Path:
    """The folder of Flink's jars, from PyPI's package for PyFlink."""
    folder = CACHE / f"flink-{version}"
    if not folder.exists():
        source = f"apache-flink-libraries=={version}"
        download = CACHE / "download"
        if not _call(
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation"),
            *("--no-binary=:all:", f"--dest={download}", source),
        ):
            not_run(f"no Flink: see {_log()}")
        partial = CACHE / "partial"
        partial.mkdir(exist_ok=True)
        with tarfile.open(next(download.glob("*.tar.gz"))) as archive:
            for member in archive:
                if "/deps/lib/" in member.name and member.isfile():
                    member.name = os.path.basename(member.name)
                    archive.extract(member, partial)
        shutil.rmtree(download)
        partial.rename(folder)
    return folder


def _call(*command: object) -> bool:
    with _log().open("ab") as log, contextlib.suppress(subprocess.TimeoutExpired):
        arguments = list(map(str, command))
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=_PATIENCE
        )
        return done.returncode == 0
    return False


def _log() -> Path:
    return CACHE / "download.log"
