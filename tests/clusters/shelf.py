"""What a cluster is made of, from the registries into a folder that git ignores."""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

_POM = Path(__file__).parent / "job_server.xml"
_PATIENCE = 600  # seconds for one of the registries' programs


@dataclass(frozen=True)
class Shelf:
    """An engine's folder.

    Attributes:
        engine: Its name, such as `Flink`.
    """

    engine: str

    @property
    def folder(self) -> Path:
        return ROOT / "build" / self.engine.lower()

    def open(self) -> None:
        """Makes the folder; skips the test where a program is missing that fills it."""
        missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
        if missing:
            self.not_run(f"no {' and no '.join(missing)}")
        self.folder.mkdir(parents=True, exist_ok=True)

    def not_run(self, why: str) -> None:
        """Skips the test."""
        pytest.skip(f"NOT RUN on {self.engine}: {why}")

    def artifact(self, name: str) -> Path | None:
        """One jar of Maven's. A registry's no is kept: it is asked once."""
        folder = self.folder / name.replace(":", "-")
        if not folder.exists():
            folder.mkdir()
            copied = (f"-Dartifact={name}", f"-DoutputDirectory={folder}", "-Dtransitive=false")
            self._call("mvn", "-q", "-B", "dependency:get", *copied) and self._call(
                "mvn", "-q", "-B", "dependency:copy", *copied
            )
        return next(folder.glob("*.jar"), None)

    def job_server(self, versions: Mapping[str, str]) -> Path:
        """One jar of a runner of Beam's and of what it needs, but for the engine.

        Args:
            versions: What `job_server.xml` leaves open.
        """
        folder = self.folder / "-".join(versions.values())
        jar = folder / "target" / "job-server-1.jar"
        if not jar.exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(_POM, folder / "pom.xml")
            settings = [f"-D{name}={value}" for name, value in versions.items()]
            if not self._call("mvn", "-q", "-B", "-f", folder / "pom.xml", *settings, "package"):
                self.not_run(f"no job server: see {self._log}")
        return jar

    def jars(self, package: str, version: str, place: str, below: str = "") -> Path:
        """The folder of the engine's own jars, out of a package of PyPI's.

        Args:
            package: Its name.
            version: Its version, and the engine's.
            place: Where they lie in the package, such as `/deps/lib/`.
            below: The name that the folder gets within the one that is returned.
        """
        folder = self.folder / f"{self.engine.lower()}-{version}"
        if not folder.exists():
            download = self.folder / "download"
            if not self._call(
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation"),
                *("--no-binary=:all:", f"--dest={download}", f"{package}=={version}"),
            ):
                self.not_run(f"no {self.engine}: see {self._log}")
            partial = self.folder / "partial"
            (partial / below).mkdir(parents=True, exist_ok=True)
            with tarfile.open(next(download.glob("*.tar.gz"))) as archive:
                for member in archive:
                    if place in member.name and member.isfile():
                        member.name = os.path.basename(member.name)
                        archive.extract(member, partial / below)
            shutil.rmtree(download)
            partial.rename(folder)
        return folder

    @property
    def _log(self) -> Path:
        return self.folder / "download.log"

    def _call(self, *command: object) -> bool:
        with self._log.open("ab") as log, contextlib.suppress(subprocess.TimeoutExpired):
            arguments = list(map(str, command))
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=_PATIENCE
            )
            return done.returncode == 0
        return False
