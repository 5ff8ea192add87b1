"""What a Beam job works through, in files: its description stays small, however much it is.

Beam puts the elements of a `Create` into the job's description, which a service limits: Dataflow to
10 MB. So they lie in files that workers read, and the description names the folder alone.
"""

import base64
import dataclasses
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from tfxray.components.common import filesystem

_PER_FILE = 256  # chunks: so many are read by one worker, and then shared out


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Chunks of work in files.

    Attributes:
        folder: Holds the files, where workers see it.
        files: How many.
    """

    folder: str
    files: int

    def read(self) -> Iterator[Any]:
        """What the chunks hold, in order, in this process."""
        for number in range(self.files):
            yield from map(unpack, _read_file(number, self.folder))


def write_chunks(folder: str, contents: Iterable[Any], per_file: int = _PER_FILE) -> Chunks:
    """Writes chunks into files of a new folder.

    Args:
        folder: On any of Beam's file systems.
        contents: Of each chunk: lists, texts and numbers.
        per_file: So many chunks go into a file.
    """
    if filesystem.is_local(folder):
        os.makedirs(folder)
    lines = (b"%s\n" % pack(content) for content in contents)
    count = 0
    while some := list(itertools.islice(lines, per_file)):
        with filesystem.create_file(_path(folder, count)) as file:
            file.writelines(some)
        count += 1
    return Chunks(folder, count)


def pack(content: Any) -> bytes:
    """Lists, texts and numbers as one element of Beam's, without a line's end."""
    # As JSON, which is ASCII: Beam takes no name that is not UTF-8. Beam itself would take bzip2.
    return base64.b64encode(zlib.compress(json.dumps(content).encode(), 1))


def unpack(chunk: bytes) -> Any:
    """What `pack` packed; a tuple is a list now."""
    return json.loads(zlib.decompress(base64.b64decode(chunk)))


class ReadChunks(beam.PTransform):
    """Chunks, each packed, shared out among the workers; in order where one does all."""

    def __init__(self, chunks: Chunks):
        """Gets ready.

        Args:
            chunks: What `write_chunks` wrote.
        """
        super().__init__()
        self._chunks = chunks

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[bytes]:
        """See `beam.PTransform`."""
        return (
            pipeline
            | "Chunks" >> beam.Create([self._chunks.files])
            | "Number" >> beam.FlatMap(_number)
            | "Share files" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read_file, self._chunks.folder)
            | "Share chunks" >> beam.Reshuffle()
        )


def _number(files: int) -> Iterator[int]:
    yield from range(files)


def _read_file(number: int, folder: str) -> Iterator[bytes]:
    with filesystem.open_file(_path(folder, number)) as file:
        yield from file.read().splitlines()


def _path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:05}")
