"""The held-out scores, image by image: what Evaluator leaves beside TFMA's figures.

Beam's workers write them in parts (`make_schema`, `make_row`), in the order of their work. One file
has them all in one order, whatever the runner (`gather_parts`), and so all that follows from them.
"""

import contextlib
import contextvars
import csv
import hashlib
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tfx.dsl.io import fileio
from tfx.types import artifact
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.common.filesystem import StrPath
from tfxray.components.metadata import ages
from tfxray.components.text import escape

FILE = "scores.parquet"
SPREADSHEET = "scores.csv"  # the same for people; of an older tfxray, all there is
CODEC = "zstd"
DIGEST = "digest"  # of the file: the same image in another run
METADATA = (contract.AGE, contract.SEX, contract.VIEW, contract.SITE)
# Of several classes or findings, each has these two columns, with its name behind them.
_LABEL_OF, _SCORE_OF, _POSITIVE_OF = "label/", "score/", "positive/"
_TEXTS = (
    contract.FILENAME, contract.PATIENT, DIGEST, contract.SEX, contract.VIEW, contract.SITE,
)  # fmt: skip
_NUMBERS = (contract.SCORE, contract.DISTANCE, contract.AGE)
# One column may be larger than the 2 GB of a plain `string`.
_TEXT = pa.large_string()
_ROWS = 10_000  # that become cells at once
_destination: contextvars.ContextVar[tuple[str, Task]] = contextvars.ContextVar("destination")


class ExternalScores(artifact.Artifact):
    """The scores of external test sets: a folder of each, by its name, for `read_scores`."""

    TYPE_NAME = "tfxray.ExternalScores"  # with a namespace, as Vertex asks for


def read_external(folder: StrPath) -> dict[str, pd.DataFrame]:
    """Reads the scores of external test sets, by their names.

    Args:
        folder: Of an `ExternalScores`.
    """
    names = artifacts.list_folder(os.fspath(folder))
    tables = {name: read_scores(os.path.join(folder, name)) for name in names}
    return {name: table for name, table in tables.items() if table is not None}


def label_column(task: Task, name: str) -> str:
    """The column that tells the label of one of a task's `judged`."""
    return contract.LABEL if task.binary else _LABEL_OF + name


def score_column(task: Task, name: str) -> str:
    """The column of the scores of one of a task's `judged`; TFMA's output of them, too."""
    return contract.SCORE if task.binary else _SCORE_OF + name


def positive_output(task: Task, name: str) -> str:
    """TFMA's output of what the model calls positive, of one of a task's `judged`."""
    return contract.POSITIVE if task.binary else _POSITIVE_OF + name


def read_label(features: Mapping[str, Any], task: Task, name: str) -> int:
    """One image's label of one of a task's `judged`: 1, 0, or -1 where nobody knows it.

    Args:
        features: Arrays of shape [0..1] by the data contract's names.
        task: Of several classes, or of findings.
        name: The class or the finding.
    """
    if not task.exclusive:
        return next(map(int, np.ravel(features.get(contract.finding(name), []))), UNKNOWN)
    number = next(map(int, np.ravel(features[contract.LABEL])))
    return int(number == task.names.index(name))


def view(frame: pd.DataFrame, task: Task, name: str) -> pd.DataFrame:
    """The images of which a label is known, and nothing but that label and its score.

    All that is measured of two classes is so measured of each finding.

    Args:
        frame: See `read_scores`.
        task: What is asked.
        name: One of its `judged`.

    Returns:
        A table as of two classes.
    """
    if task.binary:
        return frame
    columns = {
        contract.LABEL: frame[label_column(task, name)],
        contract.SCORE: frame[score_column(task, name)],
    }
    own = frame.drop(columns=[c for c in frame if c.startswith((_LABEL_OF, _SCORE_OF))])
    known = columns[contract.LABEL] != UNKNOWN
    return own.assign(**columns)[known].reset_index(drop=True)


def matrices(frame: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Labels (1, 0, or -1 where unknown) and scores of a task's `judged`, [n, k].

    Args:
        frame: See `read_scores`.
        task: What is asked.
    """
    labels = frame[[label_column(task, name) for name in task.judged]].to_numpy(int)
    scores = frame[[score_column(task, name) for name in task.judged]].to_numpy(float)
    return labels, scores


@contextlib.contextmanager
def collect_scores(path: str, task: Task) -> Iterator[None]:
    """Tells `extractors.custom_extractors` where it leaves the rows of `make_row`.

    TFX looks that function up by its module's name, loads the module anew, and hands over the
    model and TFMA's configuration; so the place cannot be an argument.

    Args:
        path: What the names of the Parquet files begin with.
        task: What is asked.
    """
    token = _destination.set((path, task))
    try:
        yield
    finally:
        _destination.reset(token)


def destination() -> tuple[str, Task]:
    """The path and the task that `collect_scores` holds.

    Raises:
        LookupError: Nobody collects.
    """
    return _destination.get()


def make_schema(task: Task) -> pa.Schema:
    """The columns of `make_row`; see `read_scores`.

    Args:
        task: What is asked.
    """
    labels = [(label_column(task, name), pa.int64()) for name in task.judged]
    scores = [(score_column(task, name), pa.float64()) for name in task.judged]
    return pa.schema(
        [
            *((name, _TEXT) for name in (contract.FILENAME, contract.PATIENT, DIGEST)),
            *(column for pair in zip(labels, scores, strict=True) for column in pair),
            (contract.DISTANCE, pa.float64()),
            (contract.UNLIKE, pa.int64()),
            *((name, _TEXT if name in _TEXTS else pa.float64()) for name in METADATA),
        ]
    )


def make_row(
    features: Mapping[str, Any], predictions: Mapping[str, Any], task: Task
) -> dict[str, Any]:
    """One image as TFMA's extractors have it, as a row of `make_schema`.

    Args:
        features: Arrays of shape [0..1] by the data contract's names.
        predictions: The served model's outputs.
        task: What is asked.
    """
    digest = digest_image(np.ravel(features[contract.IMAGE])[0])
    # Records of another program may name neither file nor patient: each image is then its own.
    row: dict[str, Any] = {
        contract.FILENAME: "",
        contract.PATIENT: f"image:{digest}",
        DIGEST: digest,
        **dict.fromkeys(METADATA),
    }
    for name in (contract.FILENAME, contract.PATIENT, *METADATA):
        values = np.ravel(features.get(name, []))
        if values.size:
            row[name] = _text(values[0]) if name in _TEXTS else float(values[0])
    row[contract.DISTANCE] = float(np.ravel(predictions[contract.DISTANCE])[0])
    row[contract.UNLIKE] = int(np.ravel(predictions[contract.UNLIKE])[0])
    scores = np.ravel(predictions[contract.SCORE if task.binary else contract.SCORES])
    for name, score in zip(task.judged, scores, strict=True):
        row[label_column(task, name)] = read_label(features, task, name)
        row[score_column(task, name)] = float(score)
    return row


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(float(value))


def digest_image(encoded: bytes) -> str:
    """Names the bytes of an image: the same file has the same digest in every run."""
    return hashlib.sha256(encoded).hexdigest()[:32]


def gather_parts(parts: Sequence[str], folder: StrPath, task: Task) -> None:
    """Writes what workers wrote as one table; see `read_scores`.

    Args:
        parts: Parquet files with the columns of `make_schema`.
        folder: Evaluator's `evaluation`.
        task: What is asked.
    """
    table = read_parts(parts, make_schema(task))
    lacking = [name for name in METADATA if table[name].null_count == len(table)]
    table = table.drop(lacking)
    # By the file's name. Rows that agree in all columns may change places.
    first = (contract.FILENAME, DIGEST)
    names = [*first, *(name for name in table.column_names if name not in first)]
    write_scores(table.sort_by([(name, "ascending") for name in names]), folder)


def read_parts(parts: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Reads what Beam's workers wrote, in no order.

    Args:
        parts: Parquet files.
        schema: Theirs.
    """
    tables = [schema.empty_table()]
    for part in parts:
        with artifacts.local_copy(part) as copy:
            tables.append(pq.read_table(copy))
    return pa.concat_tables(tables)


def write_scores(table: pa.Table, folder: StrPath) -> None:
    """Writes the scores of the test split; see `read_scores`.

    The same stands beside it as CSV. No spreadsheet computes a cell of that; see `escape.for_cell`.

    Args:
        table: In the order of the file.
        folder: Evaluator's `evaluation`.
    """
    for place, name in enumerate(table.column_names):
        if name in _TEXTS:
            table = table.set_column(place, name, pc.fill_null(table[name], ""))
    with artifacts.local_target(os.path.join(folder, FILE)) as path:
        pq.write_table(table, path, compression=CODEC)
    with (
        artifacts.local_target(os.path.join(folder, SPREADSHEET)) as path,
        open(path, "w", encoding="utf-8", newline="") as file,
    ):
        _write_cells(table.slice(0, 0), file, header=True)
        for batch in table.to_batches(max_chunksize=_ROWS):
            _write_cells(pa.Table.from_batches([batch]), file, header=False)


def _write_cells(table: pa.Table, file: io.TextIOBase, header: bool) -> None:
    frame = table.to_pandas()
    columns = [name for name in _TEXTS if name in frame]
    cells = frame.assign(**{name: frame[name].map(escape.for_cell) for name in columns})
    cells.to_csv(file, index=False, header=header, quoting=csv.QUOTE_ALL)


def read_scores(folder: StrPath) -> pd.DataFrame | None:
    """Reads the scores of the test split, those that an older tfxray wrote as CSV among them.

    Args:
        folder: Evaluator's `evaluation`.

    Returns:
        A row per image: `image/filename`, `patient/id`, `digest`, `image/class/label` (0 or 1),
        `score` (calibrated, of the positive class), `distance` (to the training images), `unlike`
        (0 or 1: further than they are), and those of age, sex, view and site that the data holds
        (NaN or empty where one image lacks them). Of several classes or findings, `label/NAME`
        (0, 1, or -1 where it is unknown) and `score/NAME` of each stand in the place of label and
        score. Sorted by file name and digest. None where nothing was scored.
    """
    path = os.path.join(folder, FILE)
    if fileio.exists(path):
        with artifacts.local_copy(path) as copy:
            return pq.read_table(copy).to_pandas()
    path = os.path.join(folder, SPREADSHEET)
    return _read_cells(io_utils.read_string_file(path)) if fileio.exists(path) else None


def _read_cells(text: str) -> pd.DataFrame:
    names = next(csv.reader(io.StringIO(text)), [])
    numbers = [*_NUMBERS, *(name for name in names if name.startswith(_SCORE_OF))]
    return pd.read_csv(
        io.StringIO(text),
        converters=dict.fromkeys(_TEXTS, escape.from_cell),
        keep_default_na=False,
        na_values={name: [""] for name in numbers},
    )


def mask_slices(
    frame: pd.DataFrame, features: Sequence[str | Sequence[str]]
) -> dict[str, np.ndarray]:
    """Which rows belong to which slice.

    Args:
        frame: See `read_scores`.
        features: As in the config's `evaluate.slices`; those that the data lacks are left out.

    Returns:
        bool [n] by the slice's name, such as `study/site: north & patient/sex: F`, as TFMA's.
    """
    masks: dict[str, np.ndarray] = {}
    for item in features:
        keys = [item] if isinstance(item, str) else list(item)
        if any(key not in frame for key in keys):
            continue
        columns = [
            frame[k].map(ages.name_band) if k == contract.AGE else frame[k].astype(str)
            for k in keys
        ]
        present = [sorted(set(column.fillna("")) - {"", "nan"}) for column in columns]
        for values in itertools.product(*present):
            mask = np.all([c == v for c, v in zip(columns, values, strict=True)], axis=0)
            if mask.any():
                parts = (f"{key}: {value}" for key, value in zip(keys, values, strict=True))
                masks[" & ".join(parts)] = mask
    return masks
