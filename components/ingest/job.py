"""Ingest: images, or TFRecords that name things otherwise, to TFRecords by the data contract.

A Beam job. What cannot be read is set aside in `rejects.csv` and counted; the rest goes on.
"""

import dataclasses
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from tfxray.components.common import beam_options, filenames, filesystem, isolation, privacy
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import REJECTS
from tfxray.components.common.filesystem import StrPath
from tfxray.components.ingest import duplicates, output, pseudonym, worker
from tfxray.components.metadata import sexes
from tfxray.components.source import file_list, labelling, splits, tfrecords
from tfxray.components.text import tables

# Rows per element of Beam's: few, where Beam's workers share them out; many, where processes of our
# own read ahead within one.
_CHUNK, _LONG_CHUNK = 32, 512
_LISTED = 10
_WORTH_PROCESSES = 500  # with fewer images, the start of processes costs more than it saves


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the input; written to `ingest.json` beside the records.

    Attributes:
        classes: In the order of their labels.
        found: All files of the input, or records: images and those left out.
        images: Those that should be used: what is written, and what is rejected.
        written: Examples per split; `all` where nothing is split yet.
        labels: Examples per class.
        rejected: How many are in `rejects.csv`.
        reasons: How many of them, per reason.
        left_out: Files that are none of the images, per rule; see `file_list.Listing`.
        notes: What the user should know of the input, a line each; see `file_list.Listing`.
        patients_known: Whether every example names its patient.
        largest_patient: How many examples the patient has who has the most; 0 where none is known.
        not_understood: How many examples have an age, a sex, a view or a patient's id that says
            nothing certain, by its kind; it counts as unknown.
        files: The sizes of the files of records, in bytes, by their names.
    """

    classes: tuple[str, ...]
    found: int
    images: int
    written: dict[str, int]
    labels: dict[str, int]
    rejected: int
    reasons: dict[str, int]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    patients_known: bool
    largest_patient: int
    not_understood: dict[str, int]
    files: dict[str, int]


def ingest(
    source: StrPath,
    out: StrPath,
    rules: labelling.Rules,
    features: Mapping[str, str] | None = None,
    shards: int = 0,
    options: Sequence[str] = (),
    pseudonym_key: str | None = None,
    processes: int = 1,
) -> Report:
    """Writes a folder's images as sharded TFRecords.

    Args:
        source: Folder of images, or of TFRecords where `features` is not None; on any of Beam's
            file systems.
        out: Likewise. Made by this call; appears only when everything is written. Where it is no
            local folder, it is complete when it holds `ingest.json`.
        rules: How labels and metadata are found.
        features: For TFRecords: the name there of each feature of the contract that has another.
        shards: Files per split; 0 lets Beam choose.
        options: As on Beam's command line.
        pseudonym_key: A file; see `pseudonym.find_key`.
        processes: Read images in so many processes besides this one, whose main module they
            import; where Beam does all in this process, else its workers read them.

    Returns:
        What became of the input.

    Raises:
        UserError: See `labelling.label_images`; or a file of records is damaged; or no image could
            be read; or `out` cannot be written; or the pseudonym key cannot be used.
    """
    source, out = (filesystem.full_path(path) for path in (source, out))
    filesystem.require_literal(out, "--out")
    if not filesystem.is_file(os.path.join(out, filenames.INGEST_REPORT)) and _holds_something(out):
        raise UserError(
            f"{out}: holds something else than ingested records; it would be lost. Name a folder "
            "that is new, empty, or was written by an ingest"
        )
    with output.hold_partial(out) as partial:
        key = pseudonym.find_key(os.path.dirname(out), pseudonym_key)
        report = _run(source, partial, rules, features, shards, options, key, processes)
        filesystem.move_folder(partial, out, last=filenames.INGEST_REPORT)
    return report


def _holds_something(folder: str) -> bool:
    if not filesystem.is_local(folder):
        return filesystem.is_folder(folder)
    return os.path.isfile(folder) or (os.path.isdir(folder) and bool(os.listdir(folder)))


def _run(
    source: str,
    out: str,
    rules: labelling.Rules,
    features: Mapping[str, str] | None,
    shards: int,
    options: Sequence[str],
    secret: bytes,
    processes: int,
) -> Report:
    rows: list[labelling.Row] = []
    drawn: tuple[str, ...] = ()  # splits that are drawn out of each other
    listing = file_list.Listing()
    if features is not None:
        layout = tfrecords.find_layout(source, rules.ignore_given)
        eval_share = splits.eval_share(layout.splits, rules.eval_from_train, rules.eval_share)
        drawn = () if eval_share is None else ("train", "eval")
        outputs = sorted({*layout.splits, *drawn}) or [worker.UNSPLIT]
        classes = rules.classes
        if eval_share is not None:
            listing.notes.append(f"splits: {splits.describe_draw(eval_share, layout.splits)}")
        if not classes:
            raise UserError(f"{source}: TFRecords need the names of the classes (--classes)")
    else:
        rows, classes, listing = labelling.label_images(source, rules)
        sexes.require_clear({row.metadata.get("sex", "") for row in rows})
        drawn = () if rows[0].eval_share is None else ("train", "eval")
        outputs = sorted({row.split or worker.UNSPLIT for row in rows if row.label} | {*drawn[1:]})
    reader = worker.Reader(tuple(classes), rules.limits, secret, rules.follow_links)
    pipeline_options = beam_options.parse(beam_options.complete(options))
    few = len(rows) < _WORTH_PROCESSES or not beam_options.in_this_process(pipeline_options)
    with isolation.apart(), beam.Pipeline(options=pipeline_options) as pipeline:
        if features is not None:
            results = _from_records(pipeline, layout, outputs, dict(features), reader, eval_share)
        else:
            results = _from_files(pipeline, source, rows, outputs, reader, 1 if few else processes)
        for split in outputs:
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                os.path.join(out, split if split != worker.UNSPLIT else "", "data"),
                file_name_suffix=".tfrecord",
                num_shards=shards,
            )
        for tag in (worker.REJECTED, worker.INDEX, worker.BROKEN):
            _ = results[tag] | _write_lines(out, tag)
        counts = {
            worker.SEEN: results[worker.SEEN] | beam.combiners.Count.Globally(),
            worker.NOTES: results[worker.NOTES] | beam.combiners.Count.PerElement(),
        }
        for tag, count in counts.items():
            _ = count | f"Format_{tag}" >> beam.Map(json.dumps) | _write_lines(out, tag)
    if broken := sorted(_drain(out, worker.BROKEN)):
        raise UserError("\n".join(broken[:_LISTED]))
    index = [duplicates.Entry(*line) for line in _drain(out, worker.INDEX)]
    notes: dict[str, dict[str, int]] = defaultdict(dict)
    for note, count in _drain(out, worker.NOTES):
        kind, subject = json.loads(note)
        notes[kind][subject] = count
    for name in sorted(notes[worker.ABSENT].keys() - notes[worker.PRESENT].keys()):
        raise UserError(
            f"{source}: no record has a feature {(features or {})[name]!r}, which ingest.features "
            f"names for {name}. Write the name that the records have, or take the line out"
        )
    rejects = [*listing.unread, *(tuple(line) for line in _drain(out, worker.REJECTED))]
    # Rejects are listed under the names of the files in the source.
    paths = {pseudonym.file_name(secret, row.path): row.path for row in rows}
    copies = duplicates.find_duplicates(index, paths, drawn)
    rejects += [(e.source_name(paths), "duplicate", detail) for e, detail in copies]
    removed_entries = {entry for entry, _ in copies}
    index = [entry for entry in index if entry not in removed_entries]
    moves = duplicates.find_moves(index, drawn, rules.near_distance)
    if copies or moves:
        duplicates.rewrite_records(out, removed_entries, moves)
        index = [dataclasses.replace(e, split=moves.get(e, e.split)) for e in index]
    with tables.write_table(os.path.join(out, REJECTS), filenames.REJECT_COLUMNS) as write_row:
        for reject in sorted(rejects):
            write_row(reject)
    patients = Counter(entry.patient for entry in index if entry.patient)
    record_count = list(_drain(out, worker.SEEN))
    split_counts, labels = Counter(e.split for e in index), Counter(e.label for e in index)
    images = len(rows) + len(listing.unread) if rows else record_count[0]
    left_out = listing.count_left_out()
    report = Report(
        classes=tuple(classes),
        found=images + sum(left_out.values()),
        images=images,
        written={split: split_counts[split] for split in outputs},
        labels={name: labels[name] for name in classes},
        rejected=len(rejects),
        reasons=dict(Counter(code for _, code, _ in rejects)),
        left_out=left_out,
        notes=tuple(listing.notes),
        patients_known=all(entry.patient for entry in index),
        largest_patient=max(patients.values(), default=0),
        not_understood=dict(sorted(notes[worker.NOT_UNDERSTOOD].items())),
        files=output.measure_records(out),
    )
    _check(source, report, rejects, [row.path for row in rows])
    content = json.dumps(dataclasses.asdict(report), indent=1)
    filesystem.write_file(os.path.join(out, filenames.INGEST_REPORT), content.encode())
    return report


def _check(
    source: str, report: Report, rejects: list[tuple[str, str, str]], paths: list[str]
) -> None:
    record_count = sum(report.written.values())
    if record_count + report.rejected != report.images:
        raise RuntimeError(
            f"{report.images} images in, but {record_count} written and {report.rejected} rejected"
        )
    empty = [name for name, count in report.labels.items() if not count]
    without = [split for split, count in report.written.items() if not count]
    if not empty and without and len(report.written) > 1:
        raise UserError(
            f"{source}: the split {', '.join(without)} has no image that can be used, after "
            f"{report.rejected} of {report.images} were rejected. Where eval is drawn out of "
            "train, split.eval_from_train sets the share of the patients"
        )
    if not empty:
        return
    first = rejects[:3]
    reasons = "; ".join(f"{name}: {code} {detail}".strip() for name, code, detail in first)
    if privacy.names_withheld(source, [*(name for name, _, _ in first), *paths]):
        reasons = "; ".join(f"{code}: {count}" for code, count in sorted(report.reasons.items()))
    if not record_count:
        raise UserError(f"{source}: none of {report.images} images could be read ({reasons})")
    raise UserError(
        f"{source}: no image of {', '.join(empty)} could be used; {report.rejected} of "
        f"{report.images} were rejected" + (f" ({reasons})" if reasons else "")
    )


def _write_lines(out: str, tag: str) -> beam.PTransform:
    """Writes lines of JSON for `_drain`."""
    return f"Write_{tag}" >> beam.io.WriteToText(os.path.join(out, f".{tag}"))


def _drain(out: str, tag: str) -> Iterator[Any]:
    parts = [name for name in filesystem.list_names(out) if name.startswith(f".{tag}-")]
    for name in parts:
        with filesystem.open_file(os.path.join(out, name)) as file:
            for line in file.read().decode().splitlines():
                yield json.loads(line)
    filesystem.remove_files(out, parts)


def _from_files(
    pipeline: beam.Pipeline,
    source: str,
    rows: list[labelling.Row],
    outputs: list[str],
    reader: worker.Reader,
    processes: int,
) -> Any:
    # Chunks, not single rows: Beam's cost per element is that of decoding a small image.
    size = _LONG_CHUNK if processes > 1 else _CHUNK
    chunks = [worker.pack_rows(rows[i : i + size]) for i in range(0, len(rows), size)]
    read = beam.ParDo(worker.ReadFiles(reader, source, processes, len(rows)))
    return (
        pipeline
        | "Files" >> beam.Create(chunks, reshuffle=True)
        | "Read" >> read.with_outputs(*outputs, *worker.BESIDES)
    )


def _from_records(
    pipeline: beam.Pipeline,
    layout: tfrecords.Layout,
    outputs: list[str],
    features: dict[str, str],
    reader: worker.Reader,
    eval_share: float | None,
) -> Any:
    files = [(split or worker.UNSPLIT, file) for split, file in layout.by_split()]
    convert = beam.ParDo(worker.ConvertRecords(reader, layout.base, features, eval_share))
    return (
        pipeline
        | "Records" >> beam.Create(files, reshuffle=True)
        | "Convert" >> convert.with_outputs(*outputs, *worker.BESIDES)
    )
