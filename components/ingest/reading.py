"""Reads an ingest's input by Beam: its examples, and what the workers tell beside them."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam

from tfxray.components.common import beam_options, filesystem, isolation
from tfxray.components.common.contract import Task
from tfxray.components.ingest import summary, worker
from tfxray.components.jobs import chunks
from tfxray.components.source import tfrecords
from tfxray.components.source.rows import Row

# Rows per element of Beam's: few, where Beam's workers share them out; many, where processes of our
# own read ahead within one. Not single ones: an element costs Beam as much as a small image.
_CHUNK, _LONG_CHUNK = 32, 512
_WORTH_PROCESSES = 500  # with fewer images, the start of processes costs more than it saves
_PER_FILE = 10_000  # images in a file of records, roughly


@dataclasses.dataclass(frozen=True)
class Input:
    """What an ingest reads.

    Attributes:
        source: The folder.
        task: What is asked of an image.
        splits: Those that its examples may be in; `worker.UNSPLIT` where none is given.
        work: In files: of a folder of images, the rows; of records, each file with its split.
        images: How many rows there are.
        processes: Images are read in so many.
        unread: Folders that were not entered; see `file_list.Listing`.
        left_out: How many files are no images, per rule.
        notes: What the user should know of it, a line each.
        drawn: The splits that are drawn out of each other.
        layout: Of a folder of records: where they lie.
        eval_share: Of such: where `eval` is drawn by patient, its share.
        dataset: The public data set that a folder of images is; empty of any other.
    """

    source: str
    task: Task
    splits: list[str]
    work: chunks.Chunks
    images: int = 0
    processes: int = 1
    unread: Sequence[summary.Reject] = ()
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    drawn: tuple[str, ...] = ()
    layout: tfrecords.Layout | None = None
    eval_share: float | None = None
    dataset: str = ""

    def paths(self) -> Iterator[str]:
        """Of a folder of images, the path of each row."""
        if not self.layout:
            yield from (Row(*cells).path for rows in self.work.read() for cells in rows)


def useful_processes(images: int, options: Sequence[str], processes: int) -> int:
    """How many processes of our own should read images.

    Args:
        images: So many are there.
        options: As on Beam's command line.
        processes: So many are allowed.
    """
    here = beam_options.in_this_process(beam_options.parse(beam_options.complete(options)))
    return processes if here and images >= _WORTH_PROCESSES else 1


def divide_rows(folder: str, rows: Sequence[Row], processes: int) -> chunks.Chunks:
    """Writes rows into files of a new folder, in chunks that workers share out."""
    size = _LONG_CHUNK if processes > 1 else _CHUNK
    starts = range(0, len(rows), size)
    return chunks.write_chunks(
        folder, ([row.cells() for row in rows[start : start + size]] for start in starts)
    )


def divide_records(folder: str, layout: tfrecords.Layout) -> chunks.Chunks:
    """Writes the names of files of records, and their splits, into files of a new folder."""
    files = ((split or worker.UNSPLIT, file) for split, file in layout.by_split())
    return chunks.write_chunks(folder, files)


def write_examples(
    data: Input,
    out: str,
    told: summary.Parts,
    features: Mapping[str, str],
    reader: worker.Reader,
    shards: int,
    options: Sequence[str],
) -> None:
    """Reads all images by Beam; writes their examples, and what there is to tell of them.

    Args:
        data: What is read.
        out: The folder of the examples.
        told: What there is to tell goes here.
        features: Of records: the name there of each feature of the contract that has another.
        reader: How they are read.
        shards: Files per split; 0 lets Beam choose.
        options: As on Beam's command line.
    """
    if data.layout:
        images = len(data.layout.files) * _PER_FILE
        read: beam.DoFn = worker.ConvertRecords(
            reader, data.layout.base, dict(features), data.eval_share
        )
    else:
        images = data.images
        read = worker.ReadFiles(reader, data.source, data.processes, images)
    pipeline_options = beam_options.parse(beam_options.complete(options))
    with isolation.apart(), beam.Pipeline(options=pipeline_options) as pipeline:
        results = (
            pipeline
            | "Work" >> chunks.ReadChunks(data.work)
            | "Read" >> beam.ParDo(read).with_outputs(*data.splits, worker.BESIDE)
        )
        for split in data.splits:
            place = os.path.join(out, split if split != worker.UNSPLIT else "", "data")
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                filesystem.for_beam(place),
                file_name_suffix=".tfrecord",
                num_shards=shards,
            )
        summarize = summary.Summarize(told, images, data.drawn)
        _ = results[worker.BESIDE] | "Summarize" >> summarize
