"""Reads an ingest's input by Beam: its examples, and what the workers tell beside them."""

import dataclasses
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from tfxray.components.common import beam_options, filesystem, isolation
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import duplicates, worker
from tfxray.components.listing import file_list
from tfxray.components.source import tfrecords
from tfxray.components.source.rows import Row

# Rows per element of Beam's: few, where Beam's workers share them out; many, where processes of our
# own read ahead within one.
_CHUNK, _LONG_CHUNK = 32, 512
_LISTED = 10
_WORTH_PROCESSES = 500  # with fewer images, the start of processes costs more than it saves


@dataclasses.dataclass(frozen=True)
class Input:
    """What an ingest reads.

    Attributes:
        source: The folder.
        task: What is asked of an image.
        splits: Those that its examples may be in; `worker.UNSPLIT` where none is given.
        rows: Of a folder of images: each of them.
        listing: What else such a folder holds.
        drawn: The splits that are drawn out of each other.
        layout: Of a folder of records: where they lie.
        eval_share: Of such: where `eval` is drawn by patient, its share.
        dataset: The public data set that a folder of images is; empty of any other.
    """

    source: str
    task: Task
    splits: list[str]
    rows: list[Row] = dataclasses.field(default_factory=list)
    listing: file_list.Listing = dataclasses.field(default_factory=file_list.Listing)
    drawn: tuple[str, ...] = ()
    layout: tfrecords.Layout | None = None
    eval_share: float | None = None
    dataset: str = ""


@dataclasses.dataclass(frozen=True)
class Results:
    """What the workers made of the input.

    Attributes:
        index: An entry for each example that was written.
        rejects: Name, reason and detail of each image that was not.
        records: How many each file of records holds.
        notes: By kind and subject, how many there were; see `worker.NOTES`.
        image_notes: By the note, the images that have it.
    """

    index: list[duplicates.Entry] = dataclasses.field(default_factory=list)
    rejects: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    records: list[int] = dataclasses.field(default_factory=list)
    notes: defaultdict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: defaultdict(Counter)
    )
    image_notes: defaultdict[str, list[str]] = dataclasses.field(
        default_factory=lambda: defaultdict(list)
    )


def write_examples(
    data: Input,
    out: str,
    features: Mapping[str, str],
    reader: worker.Reader,
    shards: int,
    options: Sequence[str],
    processes: int,
) -> None:
    """Reads all images by Beam; writes their examples, and what `read_results` reads."""
    pipeline_options = beam_options.parse(beam_options.complete(options))
    if len(data.rows) < _WORTH_PROCESSES or not beam_options.in_this_process(pipeline_options):
        processes = 1
    with isolation.apart(), beam.Pipeline(options=pipeline_options) as pipeline:
        if data.layout:
            results = _from_records(pipeline, data, data.layout, dict(features), reader)
        else:
            results = _from_files(pipeline, data, reader, processes)
        for split in data.splits:
            place = os.path.join(out, split if split != worker.UNSPLIT else "", "data")
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                filesystem.for_beam(place),
                file_name_suffix=".tfrecord",
                num_shards=shards,
            )
        place = filesystem.for_beam(os.path.join(out, f".{worker.BESIDE}"))
        _ = results[worker.BESIDE] | "Write_beside" >> beam.io.WriteToText(place)


def read_results(out: str) -> Results:
    """What `write_examples` wrote beside the examples, which is gone afterwards.

    Raises:
        UserError: Files of records are damaged; names the first of them.
    """
    results = Results()
    broken: list[str] = []
    for kind, *content in _drain(out):
        if kind == worker.INDEX:
            results.index.append(duplicates.Entry(*content))
        elif kind == worker.REJECTED:
            name, code, detail = content
            results.rejects.append((name, code, detail))
        elif kind == worker.BROKEN:
            broken += content
        elif kind == worker.SEEN:
            results.records.extend(content)
        elif kind == worker.NOTES:
            what, subject, count = content
            results.notes[what][subject] += count
        elif kind == worker.IMAGE_NOTES:
            note, name = content
            results.image_notes[note].append(name)
    if broken:
        more = [f"{len(broken) - _LISTED} more files are damaged"] if broken[_LISTED:] else []
        raise UserError("\n".join([*sorted(broken)[:_LISTED], *more]))
    return results


def _drain(out: str) -> Iterator[Any]:
    parts = [name for name in filesystem.list_names(out) if name.startswith(f".{worker.BESIDE}-")]
    for name in parts:
        with filesystem.open_file(os.path.join(out, name)) as file:
            for line in file.read().decode().splitlines():
                yield json.loads(line)
    filesystem.remove_files(out, parts)


def _from_files(pipeline: beam.Pipeline, data: Input, reader: worker.Reader, processes: int) -> Any:
    rows = data.rows
    # Chunks, not single rows: Beam's cost per element is that of decoding a small image.
    size = _LONG_CHUNK if processes > 1 else _CHUNK
    chunks = [worker.pack_rows(rows[i : i + size]) for i in range(0, len(rows), size)]
    read = beam.ParDo(worker.ReadFiles(reader, data.source, processes, len(rows)))
    return (
        pipeline
        | "Files" >> beam.Create(chunks, reshuffle=True)
        | "Read" >> read.with_outputs(*data.splits, worker.BESIDE)
    )


def _from_records(
    pipeline: beam.Pipeline,
    data: Input,
    layout: tfrecords.Layout,
    features: dict[str, str],
    reader: worker.Reader,
) -> Any:
    files = [(split or worker.UNSPLIT, file) for split, file in layout.by_split()]
    convert = beam.ParDo(worker.ConvertRecords(reader, layout.base, features, data.eval_share))
    return (
        pipeline
        | "Records" >> beam.Create(files, reshuffle=True)
        | "Convert" >> convert.with_outputs(*data.splits, worker.BESIDE)
    )
