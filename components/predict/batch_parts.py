"""What there is to score: a folder's images or records, in parts.

A part's key is a digest of the model, the images and the settings that make its result. A result
that lies under the key already is not computed again.
"""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfxray.components.common import contract, filesystem
from tfxray.components.common.filesystem import StrPath
from tfxray.components.guard import rejects
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits
from tfxray.components.ingest import record_check
from tfxray.components.ingest.record_labels import Features
from tfxray.components.listing import file_list
from tfxray.components.metadata.known import join_sources, read_known
from tfxray.components.pixels import loader
from tfxray.components.source import tfrecords
from tfxray.components.watch import scored

SIZE = 1000  # images: seconds of work, which is what a kill costs
BATCH = 64  # what the served graph computes at once
BEFORE = "scored before"  # the rule of what `but` leaves out

_TASK = 8
_READERS = 8  # threads: of a file elsewhere, most of reading is waiting

NamedRecord = tuple[str, tfrecords.Record]  # a record's place, and its content


@dataclasses.dataclass(frozen=True)
class NamedImage:
    """An image, read.

    Attributes:
        name: Below the folder, or what the record says.
        encoded: As TensorFlow takes it, or why it cannot be used.
        known: What monitoring counts of it, by the data contract's names: how it looks, and what a
            DICOM file or a record says of it, with the patient as `scored.hide_patient` has it.
    """

    name: str
    encoded: bytes | rejects.Rejected
    known: Mapping[str, float | str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Part:
    """Some images.

    Attributes:
        key: Of its result.
        images: How many.
        names: Of image files, below the folder.
        file: Or of records, below the folder.
        start: The first of them.
    """

    key: str
    images: int
    names: Sequence[str] = ()
    file: str = ""
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of images, or of TFRecords.

    Attributes:
        folder: On any of Beam's file systems.
        limits: What one file may take.
        features: Of TFRecords: the name there of each feature of the contract that has another.
    """

    folder: str
    limits: Limits = DEFAULT_LIMITS
    features: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def parts(
        self, settings: Sequence[Any], but: Collection[str] = ()
    ) -> tuple[list[Part], file_list.Listing]:
        """All parts, in the order of the images; and what the folder holds besides.

        Args:
            settings: What results depend on, besides the input.
            but: Names of images that are left out, as `BEFORE`. Records have no such names.

        Raises:
            UserError: No folder, or a damaged file of records.
        """
        settings_key = [*settings, dataclasses.astuple(self.limits), sorted(self.features.items())]
        file_list.require_folder(self.folder, "--input")
        if tfrecords.holds_records(self.folder):
            record_files = tfrecords.list_records(self.folder)
            return list(self._of_records(record_files, settings_key)), file_list.Listing()
        listing = file_list.list_images(self.folder)
        if before := [name for name in listing.files if name in but]:
            listing.left_out[BEFORE] = before
        listing.unread[:] = [entry for entry in listing.unread if entry[0] not in but]
        images = [name for name in listing.files if name not in but]
        stamp = _stamps(self.folder)
        chunks = (images[i : i + SIZE] for i in range(0, len(images), SIZE))
        parts = [
            Part(
                digest_keys([settings_key, [(name, stamp(name)) for name in chunk]]),
                len(chunk),
                tuple(chunk),
            )
            for chunk in chunks
        ]
        return parts, listing

    def _of_records(self, record_files: list[str], settings_key: list[Any]) -> Iterator[Part]:
        stamp = _stamps(self.folder)
        for file in record_files:
            count = sum(1 for _ in tfrecords.read_records(os.path.join(self.folder, file)))
            for start in range(0, count, SIZE):
                key = digest_keys([settings_key, file, stamp(file), start])
                yield Part(key, min(SIZE, count - start), file=file, start=start)

    def batches(
        self, parts: Sequence[Part]
    ) -> Generator[tuple[Part, Iterator[list[NamedImage]]], None, None]:
        """Reads parts, one batch ahead of who takes them.

        Args:
            parts: Of one file, where of records, in its order.

        Yields:
            Each part, and its images with their names: as TensorFlow takes them, or why they
            cannot be used.
        """
        folder = loader.Folder(self.folder, self.limits)

        def of_file(name: str) -> NamedImage:
            return _read_or_reject(name, lambda: folder.content(name), {}, self.limits)

        with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
            if not parts[0].file:
                for part in parts:
                    names = part.names
                    batches = (names[i : i + BATCH] for i in range(0, len(names), BATCH))
                    yield part, _ahead(pool, of_file, batches)
                return
            records = enumerate(tfrecords.read_records(os.path.join(self.folder, parts[0].file)))
            position = 0
            for part in parts:
                gap, position = part.start - position, part.start + part.images
                own = itertools.islice(records, gap, gap + part.images)
                named = ((f"{part.file}#{number}", record) for number, record in own)
                yield part, _ahead(pool, self._of_record, tfrecords.batch_records(named, BATCH))

    def _of_record(self, item: NamedRecord) -> NamedImage:
        name, record = item
        try:
            features = record_check.parse_record(record).features.feature
            names = record_check.read_values(features, self.features, [contract.FILENAME])
            name = str(names.get(contract.FILENAME, name))
            values = record_check.read_values(features, self.features, [contract.IMAGE])
        except Exception as error:
            return NamedImage(name, rejects.as_reject(error))
        encoded = values.get(contract.IMAGE)
        if not isinstance(encoded, bytes):
            return NamedImage(name, rejects.Rejected("empty", "the record holds no image"))
        metadata = self._metadata(features)
        return _read_or_reject(name, lambda: encoded, metadata, self.limits)

    def _metadata(self, features: Features) -> dict[str, str]:
        """What a record says of its image; a value that cannot be read says nothing."""
        metadata = {}
        for kind, name in contract.METADATA.items():
            try:
                value = record_check.read_values(features, self.features, [name]).get(name)
            except rejects.Rejected:
                continue
            if value is not None:
                metadata[kind] = f"{value:f}" if isinstance(value, float) else str(value)
        return metadata


def group_parts(parts: Sequence[Part]) -> Iterator[list[tuple[Any, ...]]]:
    """Parts that are read together: those of one file of records, which is read from its start.

    Yields:
        The fields of each part.
    """
    for _, own in itertools.groupby(parts, lambda part: part.file or part.key):
        yield [dataclasses.astuple(part) for part in own]


def digest_keys(content: Any) -> str:
    """A digest of lists, texts and numbers."""
    # As JSON, which is ASCII whatever the names are.
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _read_or_reject(
    name: str, read: Callable[[], bytes], metadata: Mapping[str, str], limits: Limits
) -> NamedImage:
    try:
        measured = loader.measure_file(read(), limits)
    except Exception as error:
        if filesystem.is_store_failure(error):
            raise
        return NamedImage(name, rejects.as_reject(error))
    known = read_known(join_sources(measured.tags, metadata))
    values = {
        contract.AGE: known.age,
        contract.SEX: known.sex,
        contract.VIEW: known.view,
        contract.SITE: known.site,
        contract.PATIENT: known.patient and scored.hide_patient(known.patient),
    }
    if measured.look:
        values |= {
            contract.MEAN: measured.look.mean,
            contract.STD: measured.look.std,
            contract.SHARPNESS: measured.look.sharpness,
        }
    told = {key: value for key, value in values.items() if value not in (None, "")}
    return NamedImage(name, measured.encoded, told)  # type: ignore[arg-type]


def _ahead(
    pool: concurrent.futures.Executor,
    read: Callable[[Any], NamedImage],
    batches: Iterable[Sequence[Any]],
) -> Iterator[list[NamedImage]]:
    pending: Iterator[list[NamedImage]] = iter(())
    for batch in batches:
        # Several at a time: to hand one over costs as much as to read it.
        tasks = [batch[i : i + _TASK] for i in range(0, len(batch), _TASK)]
        following = pool.map(lambda task: [read(entry) for entry in task], tasks)
        if images := [entry for task in pending for entry in task]:
            yield images
        pending = following
    if images := [entry for task in pending for entry in task]:
        yield images


def _stamps(folder: StrPath) -> Callable[[str], tuple[float, ...]]:
    """Sizes and times of a folder's files, by name."""
    if not filesystem.is_local(folder):
        stamps = {
            file.name: (file.size, file.updated)
            for file in filesystem.list_files(os.fspath(folder))
        }
        return lambda name: stamps.get(name, ())

    def stamp(name: str) -> tuple[float, ...]:
        try:
            stat = os.stat(os.path.join(folder, name))  # of what a link leads to
        except OSError:  # gone meanwhile
            return ()
        return stat.st_size, stat.st_mtime_ns

    return stamp
