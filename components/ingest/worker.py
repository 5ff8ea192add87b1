"""What a worker of ingest does: one file's or record's bytes to an example, or a reject."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping

import apache_beam as beam
import tensorflow as tf

from tfxray.components.common import contract, progress
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.guard import rejects
from tfxray.components.ingest import pseudonym, record_check, record_labels, summary
from tfxray.components.ingest.record_labels import Label
from tfxray.components.jobs import chunks, packing
from tfxray.components.manifest import findings
from tfxray.components.metadata import views
from tfxray.components.metadata.known import Known, join_sources, read_known
from tfxray.components.pixels import image, loader
from tfxray.components.source import splits, tfrecords
from tfxray.components.source.rows import Row

UNSPLIT = "all"
BESIDE = "beside"  # the output beside the splits: what `summary.tell` gives


@dataclasses.dataclass(frozen=True)
class Reader:
    """Images to examples; what both kinds of input share.

    Attributes:
        task: What is asked of an image.
        limits: What one file may take.
        secret: The pseudonyms' key.
        follow_links: Whether a file may lie outside of the folder, behind a link.
        words: How words for findings are read.
        views: Those that are wanted; empty for all.
    """

    task: Task
    limits: rejects.Limits
    secret: bytes = dataclasses.field(repr=False)
    follow_links: bool = False
    words: findings.Words = dataclasses.field(default_factory=findings.Words)
    views: tuple[str, ...] = ()

    def check_label(self, row: Row) -> Label:
        """What an image shows: its class, or its findings.

        Raises:
            Rejected: Nothing is known of it, or it is none of the classes or findings.
        """
        if not row.labelled:
            raise rejects.Rejected("no_label", row.detail)
        if row.label is not None and (not self.task.exclusive or row.label not in self.task.names):
            raise rejects.Rejected("unknown_label", row.label)
        return row.label if row.findings is None else row.findings  # type: ignore[return-value]

    def emit(
        self,
        loaded_image: loader.LoadedImage,
        name: str,
        label: Label,
        split: str,
        metadata: Mapping[str, str],
        place: str = "",
        eval_share: float | None = None,
    ) -> list[beam.pvalue.TaggedOutput]:
        """One image, as an example for its split and one for the summary: both or neither.

        A patient's id that is none counts as a patient that is unknown.

        Raises:
            Rejected: See `make_example`.
        """
        (xray, tags), record_name = loaded_image, name
        known = read_known(join_sources(tags or {}, metadata))
        if not views.is_wanted(known.view, "view" in known.not_understood, self.views):
            raise rejects.Rejected(summary.OTHER_VIEW)
        if eval_share is not None:
            # By the hospital's number: pseudonyms differ from one key to another.
            split = splits.draw_split(split, known.patient or name, eval_share) or split
        if tags is not None:
            # Neither a name nor a number of the hospital's leaves a DICOM file.
            record_name = pseudonym.file_name(self.secret, name)
            if known.patient:
                patient = pseudonym.pseudonym(self.secret, known.patient)
                known = dataclasses.replace(known, patient=patient)
        message = make_example(xray, record_name, label, self.task, known)
        told = label if isinstance(label, str) else findings.describe(label)
        source_name = place or (name if name != record_name else "")
        entry = (xray.sha256, record_name, told, split, known.patient, source_name, xray.phash)
        counts = [(summary.NOT_UNDERSTOOD, kind, 1) for kind in known.not_understood]
        return [
            beam.pvalue.TaggedOutput(split, message.SerializeToString()),
            _tell(xray.sha256, summary.INDEX, *entry),
            *(_tell(name, summary.COUNT, *count) for count in counts),
            # Not by the name in the source, which may be a patient's.
            *(_tell(name, summary.IMAGE_NOTES, n, place or record_name) for n in xray.notes),
        ]


def _tell(key: str, kind: str, *content: object) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(BESIDE, packing.keyed(key, kind, *content))


def _set_aside(name: str, error: Exception) -> beam.pvalue.TaggedOutput:
    reject = rejects.as_reject(error)
    return _tell(name, summary.REJECTED, name, reject.code, reject.detail)


class ReadFiles(beam.DoFn):
    """Chunks of rows to serialized examples, one output per split."""

    def __init__(self, reader: Reader, source: str, processes: int, images: int):
        self._reader = reader
        self._folder = loader.Folder(source, reader.limits, reader.follow_links)
        self._processes = processes
        self._images = images

    def setup(self) -> None:
        """See `beam.DoFn`."""
        self._loader = loader.Loader(self._folder, self._processes)
        self._progress = progress.Count(self._images)

    def teardown(self) -> None:
        """See `beam.DoFn`."""
        self._loader.close()

    def process(self, chunk: bytes) -> Iterator[beam.pvalue.TaggedOutput]:
        """Rows to examples, rejects and lines of the index, in their order."""
        rows = [Row(*cells) for cells in chunks.unpack(chunk)]
        usable, labels = [], {}
        for row in rows:
            try:
                labels[row.path] = self._reader.check_label(row)
                usable.append(row)
            except rejects.Rejected as reject:
                yield _set_aside(row.path, reject)
        self._progress.add(len(rows) - len(usable))
        results = self._loader.load([row.path for row in usable])
        for row, result in zip(usable, results, strict=True):
            self._progress.add(1)
            if isinstance(result, rejects.Rejected):
                yield _set_aside(row.path, result)
                continue
            split, label = row.split or UNSPLIT, labels[row.path]
            try:
                yield from self._reader.emit(
                    result, row.path, label, split, row.metadata, eval_share=row.eval_share
                )
            except Exception as error:
                yield _set_aside(row.path, error)


class ConvertRecords(beam.DoFn):
    """Files of others' records to serialized examples by the contract."""

    def __init__(
        self, reader: Reader, source: str, features: dict[str, str], eval_share: float | None
    ):
        self._reader = reader
        self._source = source
        self._features = features
        self._eval_share = eval_share

    def process(self, chunk: bytes) -> Iterator[beam.pvalue.TaggedOutput]:
        """A split and a file of it: to examples, rejects, lines of the index, in their order."""
        split, file = chunks.unpack(chunk)
        records = tfrecords.read_records(os.path.join(self._source, file))
        notes: Counter[tuple[str, str]] = Counter()
        seen = 0
        try:
            for number, record in enumerate(records):
                seen, place = number + 1, f"{file}#{number}"
                try:
                    message = record_check.parse_record(record)
                    features = message.features.feature
                    for name, theirs in self._features.items():
                        kind = summary.PRESENT if theirs in features else summary.ABSENT
                        notes[kind, name] += 1
                    yield from self._convert(message, place, split, notes)
                except Exception as error:
                    yield _set_aside(place, error)
        except UserError as error:
            yield _tell(file, summary.BROKEN, str(error))
        notes[summary.SEEN, ""] = seen
        for (kind, subject), count in notes.items():
            yield _tell(file, summary.COUNT, kind, subject, count)

    def _label(
        self, features: Mapping[str, tf.train.Feature], values: Mapping[str, object]
    ) -> Label:
        task = self._reader.task
        if task.exclusive:
            return record_labels.class_of(values, task.names)
        return record_labels.findings_of(features, self._features, task, self._reader.words)

    def _convert(
        self, message: tf.train.Example, place: str, split: str, notes: Counter[tuple[str, str]]
    ) -> list[beam.pvalue.TaggedOutput]:
        task = self._reader.task
        names = [n for n in record_check.READ if task.exclusive or n not in record_labels.CLASS]
        values = record_check.read_values(message.features.feature, self._features, names)
        encoded = values.get(contract.IMAGE)
        if not isinstance(encoded, bytes):
            raise rejects.Rejected("empty", "the record holds no image")
        label = self._label(message.features.feature, values)
        loaded_image = loader.read_file(encoded, self._reader.limits)
        record_check.require_decodable(loaded_image[0].encoded)
        name = values.get(contract.FILENAME) or hashlib.sha256(encoded).hexdigest()[:16]
        metadata = {
            key: f"{value:f}" if isinstance(value, float) else str(value)
            for key, feature in contract.METADATA.items()
            if (value := values.get(feature)) is not None
        }
        lines = self._reader.emit(
            loaded_image, str(name), label, split, metadata, place, self._eval_share
        )
        if len(sex := metadata.get("sex", "").strip()) == 1:
            notes[summary.SEX, sex] += 1
        return lines


def make_example(
    xray: image.XRay,
    name: str,
    label: Label,
    task: Task,
    known: Known,
) -> tf.train.Example:
    """One image as a `tf.train.Example` by the data contract.

    Args:
        xray: The image.
        name: Its file name below the input folder.
        label: Its class, or 1, 0 or -1 of the findings of which something is known.
        task: What is asked.
        known: What is known of it. What is not is left out; an image without a patient counts as a
            patient of its own.

    Raises:
        Rejected: A text of these is not UTF-8: it comes from a path that is not.
    """
    message = tf.train.Example()
    feature = message.features.feature
    text = {
        contract.FORMAT: xray.format,
        contract.FILENAME: name,
        contract.SHA256: xray.sha256,
        contract.PHASH: xray.phash,
        contract.PATIENT: known.patient or contract.own_patient(name),
        contract.SEX: known.sex,
        contract.VIEW: known.view,
        contract.SITE: known.site,
    }
    numbers = {contract.MEAN: xray.mean, contract.STD: xray.std, contract.SHARPNESS: xray.sharpness}
    if known.age is not None:
        numbers[contract.AGE] = known.age
    counts = {contract.HEIGHT: xray.height, contract.WIDTH: xray.width}
    if isinstance(label, str):
        text[contract.TEXT], counts[contract.LABEL] = label, task.names.index(label)
    else:
        counts |= {contract.finding(name): value for name, value in label.items()}
    feature[contract.IMAGE].bytes_list.value.append(xray.encoded)
    for key, value in text.items():
        if value:
            feature[key].bytes_list.value.append(_encode(key, value))
    for key, number in numbers.items():
        feature[key].float_list.value.append(number)
    for key, count in counts.items():
        feature[key].int64_list.value.append(count)
    return message


def _encode(key: str, value: str) -> bytes:
    if key == contract.FILENAME:  # as the file system has it
        return value.encode("utf-8", "surrogateescape")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise rejects.Rejected("malformed", f"{key} is not UTF-8") from None
