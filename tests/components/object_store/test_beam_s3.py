"""Beam's own sources and sinks on `s3://`, on a real server."""

import os
import subprocess
import sys

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.testing.util import assert_that, equal_to

from tfxray.components.common import filesystem

# What a worker does that has loaded nothing of tfxray: it unpickles a sink, and writes.
WORKER = """\
import sys
from apache_beam.internal import pickler
from apache_beam.io.filesystems import FileSystems
place = pickler.loads(sys.stdin.buffer.read())
with FileSystems.create(place.get() + "-worker") as file:
    file.write(b"by a worker")
"""


@pytest.mark.parametrize("lines", [[], ["one", "two", "three"]])
def test_a_sink_writes_and_a_source_reads(bucket, lines):
    place = f"{bucket}/out/lines"
    with beam.Pipeline() as pipeline:
        written = pipeline | beam.Create(lines, reshuffle=False)
        _ = written | beam.io.WriteToText(filesystem.for_beam(place), num_shards=1)
    # No temporary folder is left.
    assert filesystem.list_names(bucket) == ["out/lines-00000-of-00001"]
    with filesystem.open_file(f"{place}-00000-of-00001") as file:
        assert file.read().decode().split() == lines
    with beam.Pipeline() as pipeline:
        read = pipeline | beam.io.ReadFromText(filesystem.for_beam(f"{place}-*"))
        assert_that(read, equal_to(lines))


def test_a_worker_that_knows_nothing_of_tfxray_writes_too(bucket):
    sink = beam.io.textio._TextSink(filesystem.for_beam(f"{bucket}/out/lines"))
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=pickler.dumps(sink.file_path_prefix),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert filesystem.list_names(bucket) == ["out/lines-worker"]


def test_what_beam_asks_of_a_file_system(bucket):
    here = filesystem.for_beam(f"{bucket}/in").get()
    for name in ("a.txt", "b/c.txt"):
        filesystem.write_file(f"{bucket}/in/{name}", name.encode())
    assert FileSystems.exists(f"{here}/a.txt")
    assert not FileSystems.exists(f"{here}/none")
    found = FileSystems.match([f"{here}/**"])[0].metadata_list
    assert {(file.path, file.size_in_bytes) for file in found} == {
        (f"{here}/a.txt", 5),
        (f"{here}/b/c.txt", 7),
    }
    FileSystems.copy([f"{here}/a.txt"], [f"{here}/d.txt"])
    FileSystems.rename([f"{here}/a.txt"], [f"{here}/e.txt"])
    assert filesystem.list_names(f"{bucket}/in") == ["b/c.txt", "d.txt", "e.txt"]
    with pytest.raises(BeamIOError, match="no such object"):
        FileSystems.rename([f"{here}/none"], [f"{here}/f.txt"])
    FileSystems.delete([here])
    assert filesystem.list_names(bucket) == []


def test_what_is_elsewhere_keeps_its_name():
    for path in ("/here/records", "gs://bucket/records"):
        assert filesystem.for_beam(path) is path
