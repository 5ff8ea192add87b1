"""What is known of an example besides what its X-ray shows: a small table beside the examples.

ExampleGen writes it, where each record is at hand; nobody has to read the images again.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from tfxray.components.common import artifacts, contract

TEXTS = (contract.SITE, contract.VIEW, contract.SEX, contract.FORMAT)
NUMBERS = (
    contract.AGE, contract.HEIGHT, contract.WIDTH, contract.MEAN, contract.STD, contract.SHARPNESS,
)  # fmt: skip
DIGEST = "digest"
MOST = 100_000  # images that are looked at; of more, so many are drawn
_LABELS = "labels"
_FOLDER, _SUFFIX = "traits", ".parquet"
_SCHEMA = pa.schema(
    [
        (DIGEST, pa.string()),
        (contract.PATIENT, pa.string()),
        *((name, pa.string()) for name in TEXTS),
        *((name, pa.float64()) for name in NUMBERS),
        (_LABELS, pa.map_(pa.string(), pa.int64())),
    ]
)
_DRAWN = 8  # hexadecimal digits of a digest that decide whether its image is drawn


class Write(beam.PTransform):  # type: ignore[misc]
    """Writes a split's rows; takes its records."""

    def __init__(self, folder: str, split: str):
        """Takes where.

        Args:
            folder: Of the examples.
            split: The name.
        """
        super().__init__()
        self._path = os.path.join(folder, _FOLDER, split)

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        write = beam.io.WriteToParquet(self._path, _SCHEMA, file_name_suffix=_SUFFIX)
        return records | "Traits" >> beam.Map(make_row) | write


def make_row(record: tf.train.Example) -> dict[str, Any]:
    """One example as a row of the table.

    Args:
        record: By the data contract; what it lacks is None.

    Returns:
        `digest` of the encoded image, as the held-out scores have it; the traits; and `labels`,
        pairs of a feature (the class or a finding) and its number.
    """
    values = {name: _first(feature) for name, feature in record.features.feature.items()}
    # As `heldout_scores.digest_image`, which lies in a room above.
    digest = hashlib.sha256(values.get(contract.IMAGE) or b"").hexdigest()[:32]
    texts = {name: _text(values.get(name)) for name in (contract.PATIENT, *TEXTS)}
    numbers = {name: _number(values.get(name)) for name in NUMBERS}
    labels = [
        (name, value)
        for name, value in sorted(values.items())
        if isinstance(value, int)
        and (name == contract.LABEL or name.startswith(contract.finding("")))
    ]
    return {DIGEST: digest, **texts, **numbers, _LABELS: labels}


def _first(feature: tf.train.Feature) -> Any:
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    return values[0] if values else None


def _text(value: Any) -> str | None:
    return str(value, "utf-8", "replace") or None if isinstance(value, bytes) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def read_traits(
    folder: str, splits: Sequence[str], task: contract.Task, most: int = MOST
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads the rows of some splits, in the order of the digests, whatever order Beam had.

    Args:
        folder: Of the examples.
        splits: Their names.
        task: What is asked.
        most: Of more images, about so many are drawn by their digests.

    Returns:
        The traits: `digest`, `patient/id` (the image's own where it is unknown), texts and numbers,
        None and NaN where they are unknown. And the labels of the task's `judged`: 1, 0, or -1
        where they are unknown. Both are empty where an older tfxray wrote no table.
    """
    place = os.path.join(folder, _FOLDER)
    starts = tuple(f"{split}-" for split in splits)
    names = [name for name in artifacts.list_folder(place) if name.startswith(starts)]
    tables = [_SCHEMA.empty_table()]
    share = min(1.0, most / max(1, sum(_count(os.path.join(place, name)) for name in names)))
    for name in names:
        with artifacts.local_copy(os.path.join(place, name)) as copy:
            for batch in pq.ParquetFile(copy).iter_batches():
                tables.append(_draw(pa.Table.from_batches([batch]), share))
    table = pa.concat_tables(table.cast(_SCHEMA) for table in tables).combine_chunks()
    frame = table.drop([_LABELS]).to_pandas()
    labels = pd.DataFrame({name: _labels(table, task, name) for name in task.judged})
    # Rows that agree in all of these may change places.
    order = frame.assign(**labels).astype(str).sort_values(frame.columns.to_list()).index
    frame, labels = frame.loc[order].copy(), labels.loc[order]
    frame[contract.PATIENT] = frame[contract.PATIENT].fillna("image:" + frame[DIGEST])
    return frame.reset_index(drop=True), labels.reset_index(drop=True)


def _count(path: str) -> int:
    with artifacts.local_copy(path) as copy:
        return int(pq.ParquetFile(copy).metadata.num_rows)


def _draw(table: pa.Table, share: float) -> pa.Table:
    if share == 1:
        return table
    end = f"{round(share * 16**_DRAWN):0{_DRAWN}x}"
    return table.filter(pc.less(pc.utf8_slice_codeunits(table[DIGEST], 0, _DRAWN), end))


def _labels(table: pa.Table, task: contract.Task, name: str) -> np.ndarray:
    feature = contract.LABEL if task.exclusive else contract.finding(name)
    numbers = pc.map_lookup(table[_LABELS], pa.scalar(feature), "first")
    values = pc.fill_null(numbers, contract.UNKNOWN).to_numpy()
    if task.exclusive:
        return np.where(values == contract.UNKNOWN, values, values == task.names.index(name))
    return np.asarray(values)
