"""Spark and Beam's job server for it.

Beam publishes a job server that has Spark within it, of the version that Beam was built with. This
one is Beam's runner out of the library, beside the jars of the cluster's own Spark.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import apache_beam

from tests.clusters.shelf import Shelf

SHELF = Shelf("Spark")
SPARK = "3.5.3"
# The newest that is served everywhere. Beam built it with Spark 3.2.2.
RUNNER = {
    "runner": "beam-runners-spark-3",
    "runner.version": "2.62.0",
    "job.service": "2.62.0",
}
_DRIVER = "org.apache.beam.runners.spark.SparkJobServerDriver"
_WIDTH = 70  # of a line in a manifest, which is 72 bytes at most


@dataclass(frozen=True)
class Distribution:
    """What a cluster is made of.

    Attributes:
        name: Its parts, with their versions.
        spark: Spark's home, which holds `jars`.
        runner: The jar of Beam's runner and of what it needs, but for Spark.
        job_server: The jar that starts it: it names the runner and Spark's jars.
    """

    name: str
    spark: Path
    runner: Path
    job_server: Path


def find() -> Distribution:
    """Brings what is not here yet; skips the test, and says why, where it is not to be had."""
    SHELF.open()
    runner = SHELF.job_server(RUNNER)
    # PySpark's package has the jars, and no scripts that start a cluster.
    spark = SHELF.jars("pyspark", SPARK, "/deps/jars/", below="jars")
    job_server = SHELF.folder / "job-server.jar"
    # The runner comes first: its Guava is newer than Spark's.
    classes = [runner, *sorted((spark / "jars").glob("*.jar"))]
    with zipfile.ZipFile(job_server, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", _manifest(classes))
    name = (
        f"Spark {SPARK}, {RUNNER['runner']}:{RUNNER['runner.version']}, "
        f"Beam's SDK {apache_beam.__version__}"
    )
    return Distribution(name, spark, runner, job_server)


def _manifest(classes: list[Path]) -> str:
    lines = (
        "Manifest-Version: 1.0",
        f"Main-Class: {_DRIVER}",
        f"Class-Path: {' '.join(path.as_uri() for path in classes)}",
    )
    folded = (
        "\r\n ".join(line[at : at + _WIDTH] for at in range(0, len(line), _WIDTH)) for line in lines
    )
    return "\r\n".join(folded) + "\r\n\r\n"
