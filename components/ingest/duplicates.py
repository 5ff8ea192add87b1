"""Finds images with the same pixels that must not both be used, and takes them out again.

Where tfxray draws the splits, images that are the same, or nearly so, go to one split as those of a
patient do: ExampleGen sees to it, and `find_moves` where `eval` is drawn out of `train`.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import tensorflow as tf

from tfxray.components.common import contract, filesystem
from tfxray.components.pixels import near

_BATCH = 128
_ARRIVALS = "moved.tfrecord"  # beside what was written to a split at once
# Of two copies in given splits, the one that held-out scores need stays: that of the lower rank.
_SPLIT_RANK = {"test": 0, "eval": 1, "train": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is remembered of each example while it is ingested.

    Attributes:
        sha256: Digest of its pixels.
        name: Its file's name, as in the records.
        label: Its class, or its findings in words.
        split: Its split.
        patient: Its patient, empty where unknown.
        place: Of a record of others: its file and number. Their names need not differ.
        phash: Perceptual hash of its pixels.
    """

    sha256: str
    name: str
    label: str
    split: str
    patient: str
    place: str = ""
    phash: str = ""

    @property
    def owner(self) -> str:
        """Its patient, as the records have it: one of its own where it is unknown."""
        return self.patient or contract.own_patient(self.name)

    def source_name(self, paths: Mapping[str, str]) -> str:
        """What the source calls it.

        Args:
            paths: The source's name of a file, where the records call it otherwise.
        """
        return self.place or paths.get(self.name, self.name)


def find_duplicates(
    index: Iterable[Entry],
    paths: Mapping[str, str] | None = None,
    drawn: Collection[str] = (),
) -> list[tuple[Entry, str]]:
    """Finds the copies to set aside.

    Images of two classes with the same pixels: all of them go, since none of the labels can be
    trusted. Of two given splits: one stays, that of `test` before that of `eval` and `train`.
    Within a split, an image may be there twice, whoever the patient is.

    Args:
        index: All examples.
        paths: The source's name of a file, where the records call it otherwise.
        drawn: The splits that are not given, but drawn out of each other.

    Returns:
        Each copy to set aside, and why, in the order of the digests.
    """
    paths = paths or {}
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in index:
        groups[entry.sha256].append(entry)
    copies: list[tuple[Entry, str]] = []
    for digest in sorted(d for d, group in groups.items() if len(group) > 1):
        group = sorted(groups[digest], key=lambda e: (_SPLIT_RANK.get(e.split, 0), e.name))
        if len({e.label for e in group}) > 1:
            copies += [(e, _other(e, group, paths)) for e in group]
        else:
            original = group[0]
            name = original.source_name(paths)
            copies += [
                (e, f"same pixels as {name} (in {original.split})")
                for e in group[1:]
                if e.split != original.split and not {e.split, original.split} <= {*drawn}
            ]
    return copies


def _other(entry: Entry, group: list[Entry], paths: Mapping[str, str]) -> str:
    other = next(e for e in group if e.label != entry.label)
    return f"same pixels as {other.source_name(paths)}, which is {other.label}"


def find_moves(index: Iterable[Entry], drawn: Collection[str], distance: int) -> dict[Entry, str]:
    """Finds the examples to move, so that a patient's are in one of the splits that were drawn.

    They were drawn by what is known before a file is read. A DICOM file tells its patient only
    then; and patients who share an image, or nearly so, count as one.

    Args:
        index: All examples.
        drawn: The splits that were drawn out of each other.
        distance: See `near.find_pairs`.

    Returns:
        The split that each of them belongs to: that of the first example of the first patient.
    """
    entries = sorted((e for e in index if e.split in drawn), key=lambda e: (e.owner, e.name))
    prints = (near.Fingerprint(entry.owner, entry.sha256, entry.phash) for entry in entries)
    first = near.group_patients(prints, distance).first
    splits: dict[str, str] = {}
    for entry in entries:
        splits.setdefault(first.get(entry.owner, entry.owner), entry.split)
    belongs = {entry: splits[first.get(entry.owner, entry.owner)] for entry in entries}
    return {entry: split for entry, split in belongs.items() if split != entry.split}


def rewrite_records(
    folder: str, dropped: Iterable[Entry], moved: Mapping[Entry, str] | None = None
) -> None:
    """Writes a folder's TFRecords again without some of their examples, or with them elsewhere.

    Two examples that are alike in all that an entry says share their fate.

    Args:
        folder: Holds `*.tfrecord`, at its top, or below in a folder for each split.
        dropped: The examples to leave out.
        moved: The examples that go to another split.
    """
    gone = {_identity(entry) for entry in dropped}
    targets = {_identity(entry): split for entry, split in (moved or {}).items()}
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        arrivals = {
            split: stack.enter_context(tf.io.TFRecordWriter(os.path.join(scratch, split)))
            for split in set(targets.values())
        }
        for below in filesystem.list_names(folder):
            if not below.endswith(".tfrecord"):
                continue
            path, split = os.path.join(folder, below), os.path.dirname(below)
            path_of_rest = os.path.join(scratch, "kept.tfrecord")
            with filesystem.local_copy(path) as whole, tf.io.TFRecordWriter(path_of_rest) as rest:
                for batch in tf.data.TFRecordDataset(whole).batch(_BATCH).as_numpy_iterator():
                    for record in batch:
                        identity = _identity_of_record(record, split)
                        if identity in targets:
                            arrivals[targets[identity]].write(record)
                        elif identity not in gone:
                            rest.write(record)
            filesystem.put_file(path_of_rest, path)
        for split, writer in arrivals.items():
            writer.close()
            place = os.path.join(folder, split, _ARRIVALS)
            filesystem.put_file(os.path.join(scratch, split), place)


def _identity(entry: Entry) -> tuple[bytes, ...]:
    """What tells an example from others; names of records need not."""
    split = entry.split if entry.split in contract.SPLITS else ""
    texts = (split, entry.name, entry.sha256, entry.owner)
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def _identity_of_record(record: bytes, split: str) -> tuple[bytes, ...]:
    features = tf.train.Example.FromString(record).features.feature
    names = (contract.FILENAME, contract.SHA256, contract.PATIENT)
    return (split.encode(), *(features[name].bytes_list.value[0] for name in names))
