"""Flink and Beam's job server for it."""

from dataclasses import dataclass
from pathlib import Path

import apache_beam

from tests.clusters.shelf import Shelf

SHELF = Shelf("Flink")
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
    SHELF.open()
    job_server, version, runner = SHELF.artifact(JOB_SERVER), FLINK, JOB_SERVER
    if job_server is None:
        job_server, version = SHELF.job_server(SERVED_RUNNER), SERVED_FLINK
        runner = f"{SERVED_RUNNER['runner']}:{SERVED_RUNNER['runner.version']}"
    name = f"Flink {version}, {runner.removeprefix('org.apache.beam:')}, Beam's SDK {_BEAM}"
    # PyFlink's package has the jars, and no scripts.
    jars = SHELF.jars("apache-flink-libraries", version, "/deps/lib/")
    return Distribution(name, jars, job_server)
