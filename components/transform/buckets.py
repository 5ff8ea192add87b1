"""Transformed examples in buckets, by their keys, so that Trainer may read a part of a split."""

import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.io import fileio
from tfx_bsl.public.tfxio import RecordBatchToExamplesEncoder

from tfxray.components.common import contract

_INPUT_BYTES = 2**24  # of a split's records for each bucket
# Each bundle of Beam's keeps a file open for each bucket that it has met, with 0.3 MB of zlib's.
_MOST = 256
_BUFFER = 2**14


def count_buckets(size: int) -> int:
    """How many buckets a split gets: the same for the same records, whatever runner wrote them.

    Args:
        size: Bytes of the split's records.
    """
    return min(max(size // _INPUT_BYTES, 1), _MOST)


class WriteBuckets(beam.PTransform):  # type: ignore[misc]
    """Writes transformed batches to GZIP TFRecords, a file per bucket and bundle.

    Nothing is grouped by bucket, since Beam's in-memory runner would keep all that is grouped.
    """

    def __init__(self, folder: str, buckets: int, schema: schema_pb2.Schema):
        """Says where to.

        Args:
            folder: Of the split; it need not be there.
            buckets: How many.
            schema: Of the transformed examples.
        """
        super().__init__()
        self._folder, self._buckets, self._schema = folder, buckets, schema

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """From pairs of a RecordBatch and anything to nothing of use."""
        names = batches | "Write" >> beam.ParDo(
            _WriteBundle(self._folder, self._buckets, self._schema)
        )
        once = batches.pipeline | "Once" >> beam.Create([self._folder])
        return once | "KeepWritten" >> beam.Map(_keep_written, beam.pvalue.AsIter(names))


class _WriteBundle(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str, buckets: int, schema: schema_pb2.Schema):
        self._folder, self._buckets, self._schema = folder, buckets, schema

    def setup(self) -> None:
        self._encoder = RecordBatchToExamplesEncoder(self._schema)
        # A folder of an object store is none, but it does no harm there.
        fileio.makedirs(self._folder)

    def start_bundle(self) -> None:
        self._writers: dict[int, tf.io.TFRecordWriter] = {}
        # A bundle that fails is tried again: each try has files of its own.
        self._suffix = f"{uuid.uuid4().hex}.gz"

    def process(self, element: tuple[Any, Any]) -> None:
        batch, _ = element
        keys = batch.column(batch.schema.names.index(contract.KEY)).flatten().to_numpy()
        examples = self._encoder.encode(batch)
        for example, bucket in zip(examples, (keys % self._buckets).tolist(), strict=True):
            writer = self._writers.get(bucket)
            if writer is None:
                options = tf.io.TFRecordOptions(
                    "GZIP", input_buffer_size=_BUFFER, output_buffer_size=_BUFFER
                )
                path = os.path.join(self._folder, self._name(bucket))
                writer = self._writers[bucket] = tf.io.TFRecordWriter(path, options)
            writer.write(example)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for bucket, writer in self._writers.items():
            writer.close()
            yield GlobalWindows.windowed_value(self._name(bucket))

    def _name(self, bucket: int) -> str:
        part = contract.BUCKET.format(bucket, self._buckets)
        return f"transformed_examples{part}{self._suffix}"


def _keep_written(folder: str, names: Iterable[str]) -> None:
    """Removes what bundles left that failed: their examples are in other files, too."""
    written = set(names)
    fileio.makedirs(folder)  # of an empty split
    for name in fileio.listdir(folder):
        if name not in written:
            fileio.remove(os.path.join(folder, name))
