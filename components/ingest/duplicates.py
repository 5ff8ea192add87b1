"""Finds images with the same pixels that must not both be used, and takes them out again."""

import dataclasses
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tfxray.components.common import contract, filesystem

_BATCH = 128
# Of two copies in given splits, the one that is judged on stays.
_KEPT_FIRST = {"test": 0, "eval": 1, "train": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is remembered of each example while it is ingested.

    Attributes:
        sha256: Digest of its pixels.
        name: Its file's name, as in the records.
        label: Its class.
        split: Its split.
        patient: Its patient, empty where unknown.
    """

    sha256: str
    name: str
    label: str
    split: str
    patient: str


def find_duplicates(
    index: Iterable[Entry], paths: Mapping[str, str] | None = None
) -> list[tuple[Entry, str]]:
    """Finds the copies to set aside.

    Images of two classes with the same pixels: all of them go, since none of the labels can be
    trusted. Of two given splits, or two patients: one stays, in the split that is judged on. The
    same patient may have the same image twice.

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
    found: list[tuple[Entry, str]] = []
    for digest in sorted(d for d, group in groups.items() if len(group) > 1):
        group = sorted(groups[digest], key=lambda e: (_KEPT_FIRST.get(e.split, 0), e.name))
        if len({e.label for e in group}) > 1:
            found += [(e, _other(e, group, paths)) for e in group]
        else:
            kept = group[0]
            found += [
                (e, f"same pixels as {paths.get(kept.name, kept.name)} ({_why(e, kept)})")
                for e in group[1:]
                if e.split != kept.split or e.patient != kept.patient
            ]
    return found


def _other(entry: Entry, group: list[Entry], paths: Mapping[str, str]) -> str:
    other = next(e for e in group if e.label != entry.label)
    return f"same pixels as {paths.get(other.name, other.name)}, which is {other.label}"


def _why(entry: Entry, kept: Entry) -> str:
    return f"in {kept.split}" if entry.split != kept.split else "another patient"


def drop_records(folder: str, dropped: set[str]) -> None:
    """Writes a folder's TFRecords again without some of their examples.

    Args:
        folder: Holds `*.tfrecord`, at its top or one level below.
        dropped: File names, as in `image/filename`.
    """
    wanted = {name.encode("utf-8", "surrogateescape") for name in dropped}
    for path in (os.path.join(folder, name) for name in filesystem.list_names(folder)):
        if not path.endswith(".tfrecord"):
            continue
        with tempfile.TemporaryDirectory() as scratch, filesystem.local_copy(path) as whole:
            kept = os.path.join(scratch, "kept")
            with tf.io.TFRecordWriter(kept) as writer:
                for batch in tf.data.TFRecordDataset(whole).batch(_BATCH).as_numpy_iterator():
                    for record in batch:
                        features = tf.train.Example.FromString(record).features.feature
                        if features[contract.FILENAME].bytes_list.value[0] not in wanted:
                            writer.write(record)
            filesystem.put_file(kept, path)
