"""Finds images with the same pixels that must not both be used, and takes them out again."""

import dataclasses
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tfxray.components.common import contract, filesystem

_BATCH = 128
# Of two copies in given splits, the one that held-out scores need stays: that of the lower rank.
_SPLIT_RANK = {"test": 0, "eval": 1, "train": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is remembered of each example while it is ingested.

    Attributes:
        sha256: Digest of its pixels.
        name: Its file's name, as in the records.
        label: Its class.
        split: Its split.
        patient: Its patient, empty where unknown.
        place: Of a record of others: its file and number. Their names need not differ.
    """

    sha256: str
    name: str
    label: str
    split: str
    patient: str
    place: str = ""

    def source_name(self, paths: Mapping[str, str]) -> str:
        """What the source calls it.

        Args:
            paths: The source's name of a file, where the records call it otherwise.
        """
        return self.place or paths.get(self.name, self.name)


def find_duplicates(
    index: Iterable[Entry], paths: Mapping[str, str] | None = None
) -> list[tuple[Entry, str]]:
    """Finds the copies to set aside.

    Images of two classes with the same pixels: all of them go, since none of the labels can be
    trusted. Of two given splits, or two patients: one stays, that of `test` before that of `eval`
    and `train`. The same patient may have the same image twice.

    Args:
        index: All examples.
        paths: The source's name of a file, where the records call it otherwise.

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
                (e, f"same pixels as {name} ({_why(e, original)})")
                for e in group[1:]
                if e.split != original.split or e.patient != original.patient
            ]
    return copies


def _other(entry: Entry, group: list[Entry], paths: Mapping[str, str]) -> str:
    other = next(e for e in group if e.label != entry.label)
    return f"same pixels as {other.source_name(paths)}, which is {other.label}"


def _why(entry: Entry, original: Entry) -> str:
    return f"in {original.split}" if entry.split != original.split else "another patient"


def drop_records(folder: str, entries: Iterable[Entry]) -> None:
    """Writes a folder's TFRecords again without some of their examples.

    Args:
        folder: Holds `*.tfrecord`, at its top, or below in a folder for each split.
        entries: Those of the examples. Two examples that are alike in all of it share their fate.
    """
    dropped = {_identity(entry) for entry in entries}
    for below in filesystem.list_names(folder):
        if not below.endswith(".tfrecord"):
            continue
        path, split = os.path.join(folder, below), os.path.dirname(below)
        with tempfile.TemporaryDirectory() as scratch, filesystem.local_copy(path) as whole:
            path_of_rest = os.path.join(scratch, "kept")
            with tf.io.TFRecordWriter(path_of_rest) as writer:
                for batch in tf.data.TFRecordDataset(whole).batch(_BATCH).as_numpy_iterator():
                    for record in batch:
                        if _identity_of_record(record, split) not in dropped:
                            writer.write(record)
            filesystem.put_file(path_of_rest, path)


def _identity(entry: Entry) -> tuple[bytes, ...]:
    """What tells an example from others; names of records need not."""
    split = entry.split if entry.split in contract.SPLITS else ""
    patient = entry.patient or contract.own_patient(entry.name)
    texts = (split, entry.name, entry.sha256, entry.label, patient)
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def _identity_of_record(record: bytes, split: str) -> tuple[bytes, ...]:
    features = tf.train.Example.FromString(record).features.feature
    names = (contract.FILENAME, contract.SHA256, contract.TEXT, contract.PATIENT)
    return (split.encode(), *(features[name].bytes_list.value[0] for name in names))
