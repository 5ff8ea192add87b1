"""What an ingest tells beside its examples: counted by Beam's workers, written in parts.

Each worker packs what it has to tell by buckets: an example by the digest of its pixels, so that
copies meet. A bucket holds a bounded part of the images, and becomes some small files: its counts,
its rejects, and the copies that it found. The process that started the job reads the counts, and
merges the rejects, which are sorted. It never holds an entry for each image.
"""

import dataclasses
import functools
import heapq
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from tfxray.components.common import filesystem
from tfxray.components.ingest import duplicates
from tfxray.components.jobs import chunks, packing
from tfxray.components.listing import left_out

# What is told: its kind, and more.
INDEX = "index"  # an example: the fields of `duplicates.Entry`
REJECTED = "rejected"  # a name in the source, reason and detail
BROKEN = "broken"  # why a file of records cannot be read to its end
IMAGE_NOTES = "image_notes"  # what was odd in an image, and its name
COUNT = "count"  # a kind, its subject, and a number to add up
# Of a COUNT: records of a file; a kind of value that was not understood; a mapped feature that a
# record has or lacks; a letter by which a record tells a sex.
SEEN = "seen"
NOT_UNDERSTOOD, PRESENT, ABSENT, SEX = "not_understood", "present", "absent", "sex"

OTHER_VIEW = left_out.OTHER_VIEW  # told as a reject is, and counted with what is left out
NAMED = 5  # images of a note
LISTED = 10  # broken files that an error names

_PER_BUCKET, _MOST_BUCKETS = 20_000, 256  # images; of very many, each bucket has more
_COUNTS, _REJECTS, _COPIES, _KEPT, _MOVES = "counts", "rejects", "copies", "kept", "moves"
_GROUPS = "groups"
_PATIENTS, _COUNTS_OF_MOVES = f"{_COUNTS}-patients", f"{_COUNTS}-moves"  # counts, too

Reject = tuple[str, str, str]


@dataclasses.dataclass
class Counts:
    """How many there are of what was told; sums of buckets are those of the whole.

    Attributes:
        written: Examples per split.
        labels: Examples per label: a class, or findings in words.
        without_patient: Examples whose patient is unknown.
        largest_patient: Examples of the patient who has the most.
        copies: Examples to take out.
        moves: Examples that go to another split; they are counted there.
        reasons: Rejects per reason.
        other_view: Images of a view that is not used, which are no rejects.
        notes: By kind and subject; see COUNT.
        image_notes: By the note, how many images have it.
        noted: By the note, the first images that have it.
        broken: Files of records that cannot be read to their ends.
        faults: Why, of the first.
    """

    written: Counter[str] = dataclasses.field(default_factory=Counter)
    labels: Counter[str] = dataclasses.field(default_factory=Counter)
    without_patient: int = 0
    largest_patient: int = 0
    copies: int = 0
    moves: int = 0
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    other_view: int = 0
    notes: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    image_notes: Counter[str] = dataclasses.field(default_factory=Counter)
    noted: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    broken: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def note(self, kind: str, subject: str, count: int) -> None:
        """Adds to a COUNT."""
        self.notes.setdefault(kind, Counter())[subject] += count

    def note_image(self, note: str, name: str) -> None:
        """Adds an image that is odd."""
        self.image_notes[note] += 1
        self.noted[note] = _first(NAMED, self.noted.get(note, []), [name])

    def add_broken(self, fault: str) -> None:
        """Adds a file of records that cannot be read to its end."""
        self.broken += 1
        self.faults = _first(LISTED, self.faults, [fault])

    def add(self, other: "Counts") -> None:
        """Adds those of another bucket."""
        self.written.update(other.written)
        self.labels.update(other.labels)
        self.without_patient += other.without_patient
        self.largest_patient = max(self.largest_patient, other.largest_patient)
        self.copies += other.copies
        self.moves += other.moves
        self.reasons.update(other.reasons)
        self.other_view += other.other_view
        for kind, subjects in other.notes.items():
            self.notes.setdefault(kind, Counter()).update(subjects)
        self.image_notes.update(other.image_notes)
        for note, names in other.noted.items():
            self.noted[note] = _first(NAMED, self.noted.get(note, []), names)
        self.broken += other.broken
        self.faults = _first(LISTED, self.faults, other.faults)


def _first(most: int, some: list[str], more: list[str]) -> list[str]:
    return sorted([*some, *more])[:most]


@dataclasses.dataclass(frozen=True)
class Parts:
    """The files that the buckets became.

    Attributes:
        folder: Where they lie, where workers see it.
    """

    folder: str

    def write(self, bucket: int, kind: str, lines: Iterable[Any]) -> None:
        """Writes a bucket's file: lists, texts and numbers, a line each."""
        if filesystem.is_local(self.folder):
            os.makedirs(self.folder, exist_ok=True)
        with filesystem.create_file(os.path.join(self.folder, f"{kind}-{bucket:05}")) as file:
            file.writelines(f"{json.dumps(line)}\n".encode() for line in lines)

    def read(self, kind: str) -> Iterator[Iterator[Any]]:
        """The lines of each file of a kind."""
        for name in filesystem.list_names(self.folder):
            if name.startswith(f"{kind}-"):
                yield self._read(name)

    def _read(self, name: str) -> Iterator[Any]:
        with filesystem.open_file(os.path.join(self.folder, name)) as file:
            yield from map(json.loads, file)

    def counts(self) -> Counts:
        """The sums over all buckets."""
        total = Counts()
        for (content,) in self.read(_COUNTS):
            total.add(Counts(**content))
        return total

    def rejects(self) -> Iterator[Reject]:
        """All rejects, the copies among them, sorted."""
        parts = [map(tuple, lines) for lines in self.read(_REJECTS)]
        return heapq.merge(*parts)  # type: ignore[arg-type]

    def copies(self) -> Iterator[duplicates.Entry]:
        """The examples to take out."""
        return self._entries(_COPIES)

    def write_moves(self, bucket: int, moves: Iterable[tuple[duplicates.Entry, str]]) -> None:
        """Writes which examples go to another split, and to which; they count there from now on."""
        counts, lines = Counts(), []
        for entry, split in moves:
            counts.written.update({entry.split: -1, split: 1})
            counts.moves += 1
            lines.append((split, *entry.fields()))
        self.write(bucket, _MOVES, lines)
        self.write(bucket, _COUNTS_OF_MOVES, [vars(counts)])

    def moves(self) -> Iterator[tuple[duplicates.Entry, str]]:
        """What `write_moves` wrote."""
        for lines in self.read(_MOVES):
            yield from ((duplicates.Entry(*fields), split) for split, *fields in lines)

    def write_groups(self, drawn: Mapping[str, Any]) -> None:
        """Writes how many images are drawn together, as `near.Drawn` has it."""
        self.write(0, _GROUPS, [drawn])

    def groups(self) -> dict[str, Any]:
        """What `write_groups` wrote; empty where it wrote nothing."""
        return next((drawn for lines in self.read(_GROUPS) for drawn in lines), {})

    def kept(self) -> list[str]:
        """The files of examples that stay, of splits that are drawn."""
        return [name for name in filesystem.list_names(self.folder) if name.startswith(_KEPT)]

    def entries(self, name: str) -> Iterator[duplicates.Entry]:
        """The examples of one of the files."""
        return (duplicates.Entry(*fields) for fields in self._read(name))

    def _entries(self, kind: str) -> Iterator[duplicates.Entry]:
        for lines in self.read(kind):
            yield from (duplicates.Entry(*fields) for fields in lines)


class Summarize(beam.PTransform):
    """Writes what is told as files of `Parts`."""

    def __init__(self, parts: Parts, images: int, drawn: Sequence[str]):
        """Gets ready.

        Args:
            parts: Where they go.
            images: About how many there are.
            drawn: The splits that are drawn out of each other.
        """
        super().__init__()
        self._parts, self._drawn = parts, tuple(drawn)
        self._buckets = min(images // _PER_BUCKET + 1, _MOST_BUCKETS)

    def expand(self, told: beam.PCollection[packing.Keyed]) -> beam.PCollection[None]:
        """See `beam.PTransform`."""
        return (
            told
            | "By digest" >> packing.ByBucket(self._buckets)
            | "Find copies" >> beam.ParDo(_Settle(self._parts, self._drawn, self._buckets))
            .with_output_types(tuple[int, bytes])
            | "By patient" >> beam.GroupByKey()
            | "Count patients" >> beam.MapTuple(functools.partial(_count_patients, self._parts))
        )  # fmt: skip


class _Settle(beam.DoFn):
    """A bucket to its files, and to its patients, packed by buckets of their own."""

    def __init__(self, parts: Parts, drawn: tuple[str, ...], buckets: int):
        self._parts, self._drawn, self._buckets = parts, drawn, buckets

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        bucket, packed = element
        counts, index, rejects = Counts(), [], []
        for kind, *content in packing.unpack(packed):
            if kind == INDEX:
                index.append(duplicates.Entry(*content))
            elif kind == REJECTED and content[1] == OTHER_VIEW:
                counts.other_view += 1
            elif kind == REJECTED:
                rejects.append(tuple(content))
            elif kind == IMAGE_NOTES:
                counts.note_image(*content)
            elif kind == COUNT:
                counts.note(*content)
            elif kind == BROKEN:
                counts.add_broken(*content)
        copies = duplicates.find_duplicates(index, self._drawn)
        gone = {entry for entry, _ in copies}
        kept = [entry for entry in index if entry not in gone]
        rejects += [(entry.source_name, "duplicate", detail) for entry, detail in copies]
        counts.written.update(entry.split for entry in kept)
        counts.labels.update(entry.label for entry in kept)
        counts.without_patient = sum(not entry.patient for entry in kept)
        counts.copies = len(copies)
        counts.reasons.update(code for _, code, _ in rejects)
        self._write(bucket, counts, rejects, [entry for entry, _ in copies], kept)
        patients = Counter(entry.patient for entry in kept if entry.patient)
        by_bucket: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for patient, count in patients.items():
            by_bucket[packing.bucket_of(patient, self._buckets)][patient] = count
        for other, some in by_bucket.items():
            yield other, chunks.pack(some)

    def _write(
        self, bucket: int, counts: Counts, rejects: list[Reject],
        copies: list[duplicates.Entry], kept: list[duplicates.Entry],
    ) -> None:  # fmt: skip
        self._parts.write(bucket, _COUNTS, [vars(counts)])
        if rejects:
            self._parts.write(bucket, _REJECTS, sorted(rejects))
        if copies:
            self._parts.write(bucket, _COPIES, [entry.fields() for entry in copies])
        if drawn := [entry.fields() for entry in kept if entry.split in self._drawn]:
            self._parts.write(bucket, _KEPT, drawn)


def _count_patients(parts: Parts, bucket: int, packed: Iterable[bytes]) -> None:
    counts = Counter[str]()
    for chunk in packed:
        counts.update(chunks.unpack(chunk))
    most = Counts(largest_patient=max(counts.values()))
    parts.write(bucket, _PATIENTS, [vars(most)])
