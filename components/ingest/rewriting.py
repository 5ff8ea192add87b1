"""Writes records again without copies, and moves records between splits: a Beam job, by files.

Workers read all files of records. They write those again that hold something that goes.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence

import apache_beam as beam
import tensorflow as tf

from tfxray.components.common import beam_options, contract, filesystem, isolation
from tfxray.components.ingest.duplicates import Entry
from tfxray.components.ingest.summary import Parts

_BATCH = 128
_ARRIVALS = "moved-"  # before the name of the file that they come from


def rewrite_records(folder: str, parts: Parts, options: Sequence[str]) -> None:
    """Writes a folder's TFRecords again without some of their examples, or with them elsewhere.

    Two examples that are alike in all that an entry says share their fate.

    Args:
        folder: Holds `*.tfrecord`, at its top, or below in a folder for each split.
        parts: Names the examples to leave out, and those that go to another split.
        options: As on Beam's command line.
    """
    with (
        isolation.apart(),
        beam.Pipeline(options=beam_options.parse(beam_options.complete(options))) as pipeline,
    ):
        _ = (
            pipeline
            | "Folder" >> beam.Create([folder])
            | "Files" >> beam.FlatMap(_list_records)
            | "Share" >> beam.Reshuffle()
            | "Rewrite" >> beam.ParDo(_Rewrite(folder, parts))
        )


def _list_records(folder: str) -> list[str]:
    names = filesystem.list_names(folder)
    return [
        name
        for name in names
        if name.endswith(".tfrecord") and not os.path.basename(name).startswith(_ARRIVALS)
    ]


class _Rewrite(beam.DoFn):
    """Files of records to the same without what goes. It may be done twice: nothing goes then."""

    def __init__(self, folder: str, parts: Parts):
        self._folder, self._parts = folder, parts

    def setup(self) -> None:
        self._gone = {_identity(entry) for entry in self._parts.copies()}
        self._targets = {_identity(entry): split for entry, split in self._parts.moves()}

    def process(self, below: str) -> Iterator[str]:
        path, split = os.path.join(self._folder, below), os.path.dirname(below)
        with filesystem.local_copy(path) as whole:
            if any(self._goes(record, split) for record in _read(whole)):
                self._rewrite(whole, below)
                yield below

    def _goes(self, record: bytes, split: str) -> bool:
        identity = _identity_of_record(record, split)
        return identity in self._gone or identity in self._targets

    def _rewrite(self, whole: str, below: str) -> None:
        split, name = os.path.split(below)
        with tempfile.TemporaryDirectory() as scratch:
            writers = {"": tf.io.TFRecordWriter(os.path.join(scratch, name))}
            for record in _read(whole):
                identity = _identity_of_record(record, split)
                target = self._targets.get(identity, "")
                if target not in writers:
                    writers[target] = tf.io.TFRecordWriter(os.path.join(scratch, f".{target}"))
                if identity not in self._gone:
                    writers[target].write(record)
            for writer in writers.values():
                writer.close()
            # The file itself last: while it is as it was, all this can be done again.
            for target in writers.keys() - {""}:
                arrivals = os.path.join(self._folder, target, f"{_ARRIVALS}{name}")
                filesystem.put_file(os.path.join(scratch, f".{target}"), arrivals)
            filesystem.put_file(os.path.join(scratch, name), os.path.join(self._folder, below))


def _read(path: str) -> Iterator[bytes]:
    for batch in tf.data.TFRecordDataset(path).batch(_BATCH).as_numpy_iterator():
        yield from batch


def _identity(entry: Entry) -> tuple[bytes, ...]:
    """What tells an example from others; names of records need not."""
    split = entry.split if entry.split in contract.SPLITS else ""
    texts = (split, entry.name, entry.sha256, entry.owner)
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def _identity_of_record(record: bytes, split: str) -> tuple[bytes, ...]:
    features = tf.train.Example.FromString(record).features.feature
    names = (contract.FILENAME, contract.SHA256, contract.PATIENT)
    return (split.encode(), *(features[name].bytes_list.value[0] for name in names))
