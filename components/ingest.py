"""Ingest: images, or TFRecords that name things otherwise, to TFRecords by the data contract.

A Beam job. What cannot be read is set aside in `rejects.csv` and counted; the rest goes on.
"""

import csv
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from tfxray.components import (
    dicom,
    duplicates,
    images,
    names,
    privacy,
    pseudonym,
    records,
    scan,
    sources,
)
from tfxray.components.errors import UserError
from tfxray.components.names import REJECTS

_CHUNK = 32
_UNSPLIT = "all"
# Besides the splits, what comes out of reading: rejects, one line per example, one per record in.
_REJECTED = "rejected"
_INDEX = "index"
_SEEN = "seen"
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
) -> Report:
    """Writes a folder's images as sharded, compressed TFRecords.

    Args:
        source: Folder of images, or of TFRecords when `features` is given.
        out: Made by this call; appears only when everything is written.
        rules: How labels and metadata are found.
        features: For TFRecords: the name there of each feature of the contract.
        shards: Files per split; 0 lets Beam choose.
        beam_options: As on Beam's command line.
        pseudonym_key: A file; see `pseudonym.key`.

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
        report = _run(source, partial, rules, features, shards, beam_options, secret)
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
) -> Report:
    rows: list[sources.Row] = []
    if features:
        layout = records.find(source, rules.ignore_given)
        splits, classes = list(layout.splits) or [_UNSPLIT], rules.classes
        if not classes:
            raise UserError("TFRecords under other names need `classes` from a config")
    else:
        rows, classes = sources.find(source, rules)
        splits = sorted({row.split or _UNSPLIT for row in rows})
    reader = _Reader(str(source), tuple(classes), rules.max_pixels, secret)
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        if features:
            results = _from_records(pipeline, layout, splits, dict(features), reader)
        else:
            results = _from_files(pipeline, rows, splits, reader)
        for split in splits:
            _ = results[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                str(out / (split if split != _UNSPLIT else "") / "data"),
                file_name_suffix=".tfrecord.gz",
                num_shards=shards,
            )
        for tag in (_REJECTED, _INDEX):
            _ = results[tag] | f"Write_{tag}" >> beam.io.WriteToText(str(out / f".{tag}"))
        seen = results[_SEEN] | beam.combiners.Count.Globally()
        _ = seen | beam.Map(json.dumps) | beam.io.WriteToText(str(out / f".{_SEEN}"))
    index = [duplicates.Entry(*line) for line in _drain(out, f".{_INDEX}")]
    rejected = [tuple(line) for line in _drain(out, f".{_REJECTED}")]
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
        images=len(rows) if rows else next(_drain(out, f".{_SEEN}")),
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
    pipeline: beam.Pipeline, rows: list[sources.Row], splits: list[str], reader: "_Reader"
) -> Any:
    # Chunks, not single rows: Beam's cost per element is that of decoding a small image.
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    return (
        pipeline
        | "Files" >> beam.Create(chunks, reshuffle=True)
        | "Read" >> beam.ParDo(_ReadFiles(reader)).with_outputs(*splits, _REJECTED, _INDEX, _SEEN)
    )


def _from_records(
    pipeline: beam.Pipeline,
    layout: records.Layout,
    splits: list[str],
    features: dict[str, str],
    reader: "_Reader",
) -> Any:
    branches = [
        pipeline
        | f"Records_{split}" >> beam.io.ReadFromTFRecord(pattern)
        | f"Tag_{split}" >> beam.Map(lambda record, split=split: (split, record))
        for split, pattern in zip(splits, layout.patterns, strict=True)
    ]
    convert = beam.ParDo(_ConvertRecords(reader, features))
    return (
        branches
        | beam.Flatten()
        | "Convert" >> convert.with_outputs(*splits, _REJECTED, _INDEX, _SEEN)
    )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Bytes to examples; what both kinds of input share."""

    source: str
    classes: tuple[str, ...]
    max_pixels: int
    secret: bytes = dataclasses.field(repr=False)

    def file(self, path: str) -> bytes:
        """A file below the source folder, and no other."""
        root = os.path.realpath(self.source)
        full = os.path.realpath(os.path.join(root, path))
        if os.path.commonpath([full, root]) != root:
            raise images.Rejected("outside")
        try:
            with open(full, "rb") as file:
                return file.read()
        except OSError as error:
            raise images.Rejected("unreadable", error.strerror or "") from None

    def emit(
        self, encoded: bytes, name: str, label: str | None, split: str, known: Mapping[str, str]
    ) -> Iterator[beam.pvalue.TaggedOutput]:
        """One image, as an example for its split and an entry of the index."""
        if label is None:
            raise images.Rejected("no_label")
        if label not in self.classes:
            raise images.Rejected("unknown_label", label)
        shown, metadata = name, dict(known)
        xray, tags = dicom.read_any(encoded, self.max_pixels)
        if privacy.is_dicom(encoded):
            metadata = {**tags, **metadata}
            # Neither a name nor a number of the hospital's leaves a DICOM file.
            shown = pseudonym.file_name(self.secret, name)
            if "patient" in metadata:
                metadata["patient"] = pseudonym.pseudonym(self.secret, metadata["patient"])
        message = example(xray, shown, label, self.classes, metadata)
        yield beam.pvalue.TaggedOutput(split, message.SerializeToString())
        entry = duplicates.Entry(xray.sha256, shown, label, split, metadata.get("patient", ""))
        yield beam.pvalue.TaggedOutput(_INDEX, json.dumps(dataclasses.astuple(entry)))


def _set_aside(name: str, error: Exception) -> beam.pvalue.TaggedOutput:
    """A reject. One odd image never costs the others, whatever it makes a library raise.

    Of what was not foreseen, only the type is told: its message may quote names.
    """
    if not isinstance(error, images.Rejected):
        error = images.Rejected("damaged", type(error).__name__)
    # As JSON, which is ASCII: Beam takes no name that is not UTF-8.
    return beam.pvalue.TaggedOutput(_REJECTED, json.dumps((name, error.code, error.detail)))


class _ReadFiles(beam.DoFn):
    """Chunks of rows to serialized examples, one output per split."""

    def __init__(self, reader: _Reader):
        self._reader = reader

    def process(self, rows: list[sources.Row]) -> Iterator[beam.pvalue.TaggedOutput]:
        for row in rows:
            try:
                encoded = self._reader.file(row.path)
                split = row.split or _UNSPLIT
                yield from self._reader.emit(encoded, row.path, row.label, split, row.metadata)
            except Exception as error:
                yield _set_aside(row.path, error)


class _ConvertRecords(beam.DoFn):
    """Records under other names to serialized examples by the contract."""

    def __init__(self, reader: _Reader, features: dict[str, str]):
        self._reader = reader
        self._features = features

    def process(self, element: tuple[str, bytes]) -> Iterator[beam.pvalue.TaggedOutput]:
        split, record = element
        yield beam.pvalue.TaggedOutput(_SEEN, 1)
        found = scan.values(record, self._features)
        name = str(found.get(names.FILENAME) or hashlib.sha256(record).hexdigest()[:16])
        try:
            encoded = found.get(names.IMAGE)
            if not isinstance(encoded, bytes):
                raise images.Rejected("empty", "the record holds no image")
            metadata = {k: str(found[f]) for k, f in names.METADATA.items() if f in found}
            label = scan.label(found, self._reader.classes)
            yield from self._reader.emit(encoded, name, label, split, metadata)
        except Exception as error:
            yield _set_aside(name, error)


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
        names.PHASH: xray.phash,
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
