"""Sees whether records that others wrote keep the data contract, in a Beam job, file by file."""

import concurrent.futures
import dataclasses
import json
import math
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from tfxray.components.common import artifacts, beam_options, contract, filesystem, isolation
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits, Rejected, as_reject
from tfxray.components.ingest import record_check
from tfxray.components.ingest.record_check import Look
from tfxray.components.ingest.record_labels import shown
from tfxray.components.source import tfrecords

_GROUPS = (contract.PATIENT, contract.FILENAME)  # features to split by, the better one first
_BATCH = 256
# StatisticsGen makes a column of each; records that name so many do not mean columns.
_MOST_FEATURES = 1000


class ContractBroken(UserError):
    """Records that cannot be used as they are; an ingest takes what it can of them."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan of TFRecords by the contract found.

    Attributes:
        examples: Records.
        labels: Records per class, or those in which a finding is present.
        group: The feature to split by: `patient/id`, else `image/filename`, else None.
        largest_patient: Records of the patient who has the most of them; 0 where none is named.
    """

    examples: int
    labels: dict[str, int]
    group: str | None
    largest_patient: int


def check_records(
    layout: tfrecords.Layout,
    task: Task,
    limits: Limits = DEFAULT_LIMITS,
    options: Sequence[str] = (),
    folder: str | None = None,
) -> Scan:
    """Reads all records once, and decodes their images, to find damage before anything is trained.

    A Beam job, file by file. Of several faults, the first one is told, in the order of the files.

    Args:
        layout: Of a folder.
        task: What is asked of an image.
        limits: What one file may take.
        options: Beam's, as `beam.options` in a config.
        folder: Where Beam's workers can write, wherever they run; what they write is removed. None
            is right for workers of this machine.

    Raises:
        ContractBroken: By a record; names file, record, feature and what is allowed.
        UserError: A damaged file; or no record of a class, or with a finding.
    """
    with tempfile.TemporaryDirectory() as local:
        scratch = os.path.join(folder or local, f".check-{uuid.uuid4().hex[:8]}")
        try:
            files, largest_patient = _check_files(layout, task, limits, options, scratch)
        finally:
            filesystem.remove_folder(scratch)
    labels: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    present = dict.fromkeys(_GROUPS, 0)
    total = 0
    for file in files:
        path = os.path.join(layout.base, file.path)
        for number, more in file.news:
            _add_kinds(kinds, more, f"{path}, record {number}")
        if file.damage:
            raise UserError(file.damage)
        if file.breach:
            raise ContractBroken(f"{path}, record {file.examples}: {file.breach}")
        labels.update(file.labels)
        total += file.examples
        for name in present:
            present[name] += file.present[name]
    if 0 < present[contract.PATIENT] < total:
        raise ContractBroken(
            f"{layout.base}: {total - present[contract.PATIENT]} of {total} records have no "
            f"{contract.PATIENT!r}"
        )
    label_counts = {name: labels[name] for name in task.names}
    if min(label_counts.values(), default=0) == 0:
        what = "of every class" if task.exclusive else "with every finding"
        raise UserError(f"{layout.base}: needs records {what}; found {label_counts}")
    group = next((name for name, count in present.items() if count == total), None)
    return Scan(total, label_counts, group, largest_patient)


@dataclasses.dataclass
class _File:
    """What a file of records shows, up to its first fault.

    Attributes:
        number: Its place among the files.
        path: Below the folder.
        examples: Records without a fault.
        labels: Records per class or finding.
        present: Records that have each of the features to split by.
        news: Numbers of the records that have a feature as no record before them, and the kinds of
            these features.
        damage: Why the rest cannot be read; empty where it can.
        breach: What is wrong with the record behind `examples`; empty where all is well.
    """

    number: int
    path: str
    examples: int = 0
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    present: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(_GROUPS, 0))
    news: list[tuple[int, dict[str, str]]] = dataclasses.field(default_factory=list)
    damage: str = ""
    breach: str = ""


def _check_files(
    layout: tfrecords.Layout, task: Task, limits: Limits, options: Sequence[str], scratch: str
) -> tuple[list[_File], int]:
    """What each file shows, in order; and how many records the patient has who has the most."""
    path = os.path.join(scratch, "found.json")
    arguments = beam_options.parse(beam_options.complete(options))
    with isolation.apart(), beam.Pipeline(options=arguments) as pipeline:
        found = (
            pipeline
            # Not every file's name is UTF-8, which Beam takes a text for.
            | beam.Create(list(enumerate(map(os.fsencode, layout.files))), reshuffle=False)
            | beam.transforms.util.ReshufflePerKey()  # keeps their order in this process
            | beam.ParDo(_CheckFile(layout.base, task, limits)).with_outputs(
                "patients", main="files"
            )
        )
        largest = (
            found.patients
            | beam.CombinePerKey(sum)
            | beam.Values()
            | beam.CombineGlobally(lambda counts: max(counts, default=0))
        )
        (
            found.files
            | beam.combiners.ToList()
            | "Tell" >> beam.Map(_write, beam.pvalue.AsSingleton(largest), path)
        )
    with filesystem.open_file(path) as file:
        content = json.loads(file.read())
    files = [_File(**fields) for fields in content["files"]]
    return sorted(files, key=lambda file: file.number), content["largest"]


def _write(files: list[_File], largest: int, path: str) -> None:
    content = {"files": [dataclasses.asdict(file) for file in files], "largest": largest}
    artifacts.write_text(path, json.dumps(content))


class _CheckFile(beam.DoFn):  # type: ignore[misc]
    """Looks at all records of a file."""

    def __init__(self, base: str, task: Task, limits: Limits):
        self._base, self._task, self._limits = base, task, limits
        self._faulty = math.inf  # the first file with a fault; those behind it are of no interest

    def process(self, item: tuple[int, bytes]) -> Iterator[Any]:
        """See `beam.DoFn`."""
        number, path = item[0], os.fsdecode(item[1])
        if number > self._faulty:
            return
        file, kinds = _File(number, path), dict[str, str]()
        labels, faulty = Counter[str](), False
        try:
            for seen in self._look(path):
                if isinstance(seen, Rejected):
                    file.breach = _told(seen)
                    break
                labels.update(seen.labels)
                if seen.patient:
                    yield beam.pvalue.TaggedOutput("patients", (seen.patient, 1))
                if faulty := not _note(file, kinds, seen):
                    break
        except UserError as error:
            file.damage = str(error)
        if file.breach or file.damage or faulty:
            self._faulty = number
        file.labels = dict(labels)
        yield file

    def _look(self, path: str) -> Iterator[Rejected | Look]:
        records = enumerate(tfrecords.read_records(os.path.join(self._base, path)))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for batch in tfrecords.batch_records(records, _BATCH):
                yield from pool.map(self._look_at, (record for _, record in batch))

    def _look_at(self, record: tfrecords.Record) -> Rejected | Look:
        try:
            return record_check.look_at(record, self._task, self._limits)
        except Exception as error:  # also a library's: the ingest has a row for it
            return as_reject(error)


def _note(file: _File, kinds: dict[str, str], seen: Look) -> bool:
    """Adds a record to what its file shows; False if its features do not go with those before."""
    own = {name: record_check.KIND_NAMES[kind] for name, kind in seen.kinds.items()}
    if more := {name: kind for name, kind in own.items() if kinds.get(name) != kind}:
        file.news.append((file.examples, more))
    file.examples += 1
    for name in file.present:
        file.present[name] += name in own
    try:
        _add_kinds(kinds, more, file.path)
    except ContractBroken:  # told where the files before this one are known
        return False
    return True


def _told(reject: Rejected) -> str:
    of_record = reject.code in ("damaged", "malformed", "undecodable", "unknown_label")
    return reject.detail if of_record else f"the image cannot be used: {reject}"


def _add_kinds(kinds: dict[str, str], more: Mapping[str, str], where: str) -> None:
    for name, kind in more.items():
        if kinds.setdefault(name, kind) != kind:
            raise ContractBroken(
                f"{where}: {shown(name)} is {kind}, but {kinds[name]} in other records"
            )
    if len(kinds) > _MOST_FEATURES:
        raise ContractBroken(
            f"{where}: with this record there are more than {_MOST_FEATURES} features"
        )
