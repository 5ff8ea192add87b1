"""Ingest: images, or TFRecords that name things otherwise, to TFRecords by the data contract.

A Beam job. What cannot be read is set aside in `rejects.csv` and counted; the rest goes on.
"""

import csv
import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tfxray.components import (
    duplicates,
    names,
    privacy,
    pseudonym,
    reading,
    records,
    sources,
)
from tfxray.components.errors import UserError
from tfxray.components.names import REJECTS

# Rows per element of Beam's: few, where Beam's workers share them out; many, where processes of our
# own read ahead within one.
_CHUNK, _LONG_CHUNK = 32, 512
_WORTH_PROCESSES = 500  # images from which on it pays to start some
DEFAULT_BEAM_OPTIONS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the input; written to `ingest.json` beside the records.

    Attributes:
        classes: In the order of their labels.
        images: Files or records found.
        written: Examples per split; `all` where nothing is split yet.
        labels: Examples per class.
        rejected: How many are in `rejects.csv`.
        reasons: How many of them, per reason.
        patients_known: Whether every example names its patient.
    """

    classes: tuple[str, ...]
    images: int
    written: dict[str, int]
    labels: dict[str, int]
    rejected: int
    reasons: dict[str, int]
    patients_known: bool


def ingest(
    source: Path,
    out: Path,
    rules: sources.Rules,
    features: Mapping[str, str] | None = None,
    shards: int = 0,
    beam_options: Sequence[str] = DEFAULT_BEAM_OPTIONS,
    pseudonym_key: str | None = None,
    processes: int = 1,
) -> Report:
    """Writes a folder's images as sharded TFRecords.

    Args:
        source: Folder of images, or of TFRecords when `features` is given.
        out: Made by this call; appears only when everything is written.
        rules: How labels and metadata are found.
        features: For TFRecords: the name there of each feature of the contract.
        shards: Files per split; 0 lets Beam choose.
        beam_options: As on Beam's command line.
        pseudonym_key: A file; see `pseudonym.key`.
        processes: Read images in so many processes besides this one, whose main module they
            import. For Beam's default options; else the runner has workers enough.

    Returns:
        What became of the input.

    Raises:
        UserError: See `sources.find`; or no image could be read; or `out` cannot be written;
            or the pseudonym key cannot be used.
    """
    if out.exists() and not (out / names.INGEST_REPORT).is_file() and any(out.iterdir()):
        raise UserError(
            f"{out}: holds something else than ingested records; it would be lost. Name a folder "
            "that is new, empty, or was written by an ingest"
        )
    partial = out.with_name(names.PARTIAL.format(out.name))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        secret = pseudonym.key(out.parent, pseudonym_key)
        report = _run(source, partial, rules, features, shards, beam_options, secret, processes)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _run(
    source: Path,
    out: Path,
    rules: sources.Rules,
    features: Mapping[str, str] | None,
    shards: int,
    beam_options: Sequence[str],
    secret: bytes,
    processes: int,
) -> Report:
    rows: list[sources.Row] = []
    if features:
        layout = records.find(source, rules.ignore_given)
        splits, classes = list(layout.splits) or [reading.UNSPLIT], rules.classes
        if not classes:
            raise UserError("TFRecords under other names need `classes` from a config")
    else:
        rows, classes = sources.find(source, rules)
        splits = sorted({row.split or reading.UNSPLIT for row in rows})
    reader = reading.Reader(tuple(classes), rules.max_pixels, secret)
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        if features:
            results = _from_records(pipeline, layout, splits, dict(features), reader)
        else:
            few = len(rows) < _WORTH_PROCESSES
            results = _from_files(pipeline, source, rows, splits, reader, 1 if few else processes)
        for split in splits:
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                str(out / (split if split != reading.UNSPLIT else "") / "data"),
                file_name_suffix=".tfrecord",
                num_shards=shards,
            )
        for tag in (reading.REJECTED, reading.INDEX):
            _ = results[tag] | f"Write_{tag}" >> beam.io.WriteToText(str(out / f".{tag}"))
        seen = results[reading.SEEN] | beam.combiners.Count.Globally()
        _ = seen | beam.Map(json.dumps) | beam.io.WriteToText(str(out / f".{reading.SEEN}"))
    index = [duplicates.Entry(*line) for line in _drain(out, f".{reading.INDEX}")]
    rejected = [tuple(line) for line in _drain(out, f".{reading.REJECTED}")]
    # Rejects go by the names that a person finds them by.
    paths = {pseudonym.file_name(secret, row.path): row.path for row in rows}
    twice = duplicates.find(index, paths)
    if twice:
        duplicates.drop(out, {entry.name for entry, _ in twice})
        rejected += [(paths.get(e.name, e.name), "duplicate", detail) for e, detail in twice]
        gone = {entry for entry, _ in twice}
        index = [entry for entry in index if entry not in gone]
    _write_rejects(out / REJECTS, sorted(rejected))
    written, labels = Counter(e.split for e in index), Counter(e.label for e in index)
    report = Report(
        classes=tuple(classes),
        images=len(rows) if rows else next(_drain(out, f".{reading.SEEN}")),
        written={split: written[split] for split in splits},
        labels={name: labels[name] for name in classes},
        rejected=len(rejected),
        reasons=dict(Counter(code for _, code, _ in rejected)),
        patients_known=all(entry.patient for entry in index),
    )
    for leftover in out.glob(".seen*"):
        leftover.unlink()
    _check(source, report, rejected, [row.path for row in rows])
    (out / names.INGEST_REPORT).write_text(json.dumps(dataclasses.asdict(report), indent=1))
    return report


def _check(
    source: Path, report: Report, rejected: list[tuple[str, str, str]], paths: list[str]
) -> None:
    written = sum(report.written.values())
    if written + report.rejected != report.images:
        raise RuntimeError(
            f"{report.images} images in, but {written} written and {report.rejected} rejected"
        )
    empty = [name for name, count in report.labels.items() if not count]
    if not empty:
        return
    first = rejected[:3]
    reasons = "; ".join(f"{name}: {code} {detail}".strip() for name, code, detail in first)
    if privacy.names_withheld(source, [*(name for name, _, _ in first), *paths]):
        reasons = "; ".join(f"{code}: {count}" for code, count in sorted(report.reasons.items()))
    if not written:
        raise UserError(f"{source}: none of {report.images} images could be read ({reasons})")
    raise UserError(
        f"{source}: no image of {', '.join(empty)} could be used; {report.rejected} of "
        f"{report.images} were rejected" + (f" ({reasons})" if reasons else "")
    )


def _drain(out: Path, prefix: str) -> Iterator[Any]:
    for path in sorted(out.glob(f"{prefix}*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
        path.unlink()


def _write_rejects(path: Path, rejected: Iterable[Sequence[str]]) -> None:
    # Names as the file system has them: they need not be UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "reason", "detail"))
        writer.writerows(rejected)


def _from_files(
    pipeline: beam.Pipeline,
    source: Path,
    rows: list[sources.Row],
    splits: list[str],
    reader: reading.Reader,
    processes: int,
) -> Any:
    # Chunks, not single rows: Beam's cost per element is that of decoding a small image.
    size = _LONG_CHUNK if processes > 1 else _CHUNK
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    read = beam.ParDo(reading.ReadFiles(reader, str(source), processes))
    return (
        pipeline
        | "Files" >> beam.Create(chunks, reshuffle=True)
        | "Read" >> read.with_outputs(*splits, *reading.BESIDES)
    )


def _from_records(
    pipeline: beam.Pipeline,
    layout: records.Layout,
    splits: list[str],
    features: dict[str, str],
    reader: reading.Reader,
) -> Any:
    branches = [
        pipeline
        | f"Records_{split}" >> beam.io.ReadFromTFRecord(pattern)
        | f"Tag_{split}" >> beam.Map(lambda record, split=split: (split, record))
        for split, pattern in zip(splits, layout.patterns, strict=True)
    ]
    convert = beam.ParDo(reading.ConvertRecords(reader, features))
    return branches | beam.Flatten() | "Convert" >> convert.with_outputs(*splits, *reading.BESIDES)
