"""Ingest: images, or TFRecords that name things otherwise, to TFRecords by the data contract.

A Beam job. What cannot be read is set aside in `rejects.csv` and counted; the rest goes on.
"""

import csv
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from tfxray.components import images, names, records, scan, sources
from tfxray.components.errors import UserError
from tfxray.components.names import REJECTS

_CHUNK = 32
_UNSPLIT = "all"
_MAIN = "examples"
_REJECTED = "rejected"
_COUNTS = "counts"
# Python's lock leaves a second thread nothing to win, and one thread keeps the order of the input.
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
        patients_known: Whether every example names its patient.
    """

    classes: tuple[str, ...]
    images: int
    written: dict[str, int]
    labels: dict[str, int]
    rejected: int
    patients_known: bool


def ingest(
    source: Path,
    out: Path,
    rules: sources.Rules,
    features: Mapping[str, str] | None = None,
    shards: int = 2,
    beam_options: Sequence[str] = DEFAULT_BEAM_OPTIONS,
) -> Report:
    """Writes a folder's images as sharded, compressed TFRecords.

    Args:
        source: Folder of images, or of TFRecords when `features` is given.
        out: Made by this call; appears only when everything is written.
        rules: How labels and metadata are found.
        features: For TFRecords: the name there of each feature of the contract.
        shards: Files per split; 0 lets Beam choose.
        beam_options: As on Beam's command line.

    Returns:
        What became of the input.

    Raises:
        UserError: See `sources.find`; or no image could be read; or `out` cannot be written.
    """
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        report = _run(source, partial, rules, features, shards, beam_options)
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
) -> Report:
    if features:
        layout = records.find(source)
        splits: list[str] = list(layout.splits) or [_UNSPLIT]
        classes, total = rules.classes, None
        inputs: Any = layout
        if not classes:
            raise UserError("TFRecords under other names need `classes` from a config")
    else:
        rows, classes = sources.find(source, rules)
        splits = sorted({row.split or _UNSPLIT for row in rows})
        inputs, total = rows, len(rows)
    counted: dict[str, int] = {}
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        if features:
            results = _from_records(pipeline, inputs, splits, dict(features), classes)
        else:
            results = _from_files(pipeline, inputs, splits, source, classes)
        for split in splits:
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                str(out / (split if split != _UNSPLIT else "") / "data"),
                file_name_suffix=".tfrecord.gz",
                num_shards=shards,
            )
        _ = (
            results[_REJECTED]
            | beam.Map(json.dumps)
            | "WriteRejects" >> beam.io.WriteToText(str(out / ".rejects"), num_shards=1)
        )
        _ = (
            results[_COUNTS]
            | beam.CombinePerKey(sum)
            | "CountsAsText" >> beam.Map(json.dumps)
            | "WriteCounts" >> beam.io.WriteToText(str(out / ".counts"), num_shards=1)
        )
    for line in _drain(out, ".counts"):
        counted[line[0]] = line[1]
    rejected = sorted(_drain(out, ".rejects"))
    _write_rejects(out / REJECTS, rejected)
    report = Report(
        classes=tuple(classes),
        images=counted.get("in", 0) if total is None else total,
        written={split: counted.get(f"split:{split}", 0) for split in splits},
        labels={name: counted.get(f"label:{name}", 0) for name in classes},
        rejected=len(rejected),
        patients_known=counted.get("no patient", 0) == 0,
    )
    _check(source, report, rejected)
    (out / names.INGEST_REPORT).write_text(json.dumps(dataclasses.asdict(report), indent=1))
    return report


def _check(source: Path, report: Report, rejected: list[Any]) -> None:
    written = sum(report.written.values())
    if written + report.rejected != report.images:
        raise RuntimeError(
            f"{report.images} images in, but {written} written and {report.rejected} rejected"
        )
    reasons = "; ".join(f"{name}: {reason}" for name, reason in rejected[:3])
    if not written:
        raise UserError(f"{source}: none of {report.images} images could be read ({reasons})")
    empty = [name for name, count in report.labels.items() if not count]
    if empty:
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
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "reason"))
        writer.writerows(rejected)


def _from_files(
    pipeline: beam.Pipeline,
    rows: list[sources.Row],
    splits: list[str],
    source: Path,
    classes: Sequence[str],
) -> Any:
    # Chunks, not single rows: Beam's cost per element is that of decoding a small image.
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    return (
        pipeline
        | "Files" >> beam.Create(chunks, reshuffle=True)
        | "Read"
        >> beam.ParDo(_ReadFiles(str(source), tuple(classes))).with_outputs(
            *splits, _REJECTED, _COUNTS
        )
    )


def _from_records(
    pipeline: beam.Pipeline,
    layout: records.Layout,
    splits: list[str],
    features: dict[str, str],
    classes: Sequence[str],
) -> Any:
    branches = [
        pipeline
        | f"Records_{split}" >> beam.io.ReadFromTFRecord(pattern)
        | f"Tag_{split}" >> beam.Map(lambda record, split=split: (split, record))
        for split, pattern in zip(splits, layout.patterns, strict=True)
    ]
    return (
        branches
        | beam.Flatten()
        | "Convert"
        >> beam.ParDo(_ConvertRecords(features, tuple(classes))).with_outputs(
            *splits, _REJECTED, _COUNTS
        )
    )


class _ReadFiles(beam.DoFn):
    """Chunks of rows to serialized examples, one output per split."""

    def __init__(self, source: str, classes: tuple[str, ...]):
        self._source = os.path.realpath(source)
        self._classes = classes

    def process(self, rows: list[sources.Row]) -> Iterator[beam.pvalue.TaggedOutput]:
        for row in rows:
            try:
                if row.label is None:
                    raise images.Rejected("no label")
                xray = images.read(self._bytes(row.path))
            except images.Rejected as error:
                yield beam.pvalue.TaggedOutput(_REJECTED, (row.path, str(error)))
                continue
            yield from _emit(
                example(xray, row.path, row.label, self._classes, row.metadata),
                row.split or _UNSPLIT,
                row.label,
                "patient" in row.metadata,
            )

    def _bytes(self, path: str) -> bytes:
        full = os.path.realpath(os.path.join(self._source, path))
        if os.path.commonpath([full, self._source]) != self._source:
            raise images.Rejected("outside the input folder")
        try:
            with open(full, "rb") as file:
                return file.read()
        except OSError as error:
            raise images.Rejected(f"cannot be opened: {error.strerror}") from None


class _ConvertRecords(beam.DoFn):
    """Records under other names to serialized examples by the contract."""

    def __init__(self, features: dict[str, str], classes: tuple[str, ...]):
        self._features = features
        self._classes = classes

    def process(self, element: tuple[str, bytes]) -> Iterator[beam.pvalue.TaggedOutput]:
        split, record = element
        yield beam.pvalue.TaggedOutput(_COUNTS, ("in", 1))
        found = scan.values(record, self._features)
        name = str(found.get(names.FILENAME, "(record without a file name)"))
        try:
            label = scan.label(found, self._classes)
            encoded = found.get(names.IMAGE)
            if not isinstance(encoded, bytes):
                raise images.Rejected("no image")
            xray = images.read(encoded)
        except images.Rejected as error:
            yield beam.pvalue.TaggedOutput(_REJECTED, (name, str(error)))
            return
        metadata = {k: str(found[f]) for k, f in names.METADATA.items() if f in found}
        yield from _emit(
            example(xray, name, label, self._classes, metadata), split, label, "patient" in metadata
        )


def _emit(
    message: tf.train.Example, split: str, label: str, patient_known: bool
) -> Iterator[beam.pvalue.TaggedOutput]:
    yield beam.pvalue.TaggedOutput(split, message.SerializeToString())
    yield beam.pvalue.TaggedOutput(_COUNTS, (f"split:{split}", 1))
    yield beam.pvalue.TaggedOutput(_COUNTS, (f"label:{label}", 1))
    if not patient_known:
        yield beam.pvalue.TaggedOutput(_COUNTS, ("no patient", 1))


def example(
    xray: images.XRay,
    name: str,
    label: str,
    classes: Sequence[str],
    metadata: Mapping[str, str],
) -> tf.train.Example:
    """One image as a `tf.train.Example` by the data contract.

    Args:
        xray: The image.
        name: Its file name below the input folder.
        label: Its class, one of `classes`.
        classes: In the order of their labels.
        metadata: `patient`, `age`, `sex`, `view`, `site`, as found. What cannot be read as such
            is left out. An image without a patient counts as a patient of its own.
    """
    message = tf.train.Example()
    feature = message.features.feature
    text = {
        names.FORMAT: xray.format,
        names.FILENAME: name,
        names.SHA256: xray.sha256,
        names.TEXT: label,
        names.PATIENT: metadata.get("patient") or f"image:{name}",
        names.SEX: _sex(metadata.get("sex", "")),
        names.VIEW: metadata.get("view", "").upper(),
        names.SITE: metadata.get("site", ""),
    }
    numbers = {names.MEAN: xray.mean, names.STD: xray.std, names.SHARPNESS: xray.sharpness}
    age = re.search(r"\d+(\.\d+)?", metadata.get("age", ""))
    if age and float(age[0]) <= 130:
        numbers[names.AGE] = float(age[0])
    counts = {
        names.HEIGHT: xray.height,
        names.WIDTH: xray.width,
        names.LABEL: list(classes).index(label),
    }
    feature[names.IMAGE].bytes_list.value.append(xray.encoded)
    for key, value in text.items():
        if value:
            feature[key].bytes_list.value.append(value.encode("utf-8", "surrogateescape"))
    for key, number in numbers.items():
        feature[key].float_list.value.append(number)
    for key, count in counts.items():
        feature[key].int64_list.value.append(count)
    return message


def _sex(value: str) -> str:
    initial = value[:1].upper()
    return initial if initial in ("F", "M") else ""
