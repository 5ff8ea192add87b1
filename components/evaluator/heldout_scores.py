"""The held-out scores, image by image: what Evaluator leaves beside TFMA's figures."""

import contextlib
import contextvars
import csv
import hashlib
import io
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import contract
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.common.filesystem import StrPath
from tfxray.components.text import escape

FILE = "scores.csv"
DIGEST = "digest"  # of the file: the same image in another run
METADATA = (contract.AGE, contract.SEX, contract.VIEW, contract.SITE)
# Of several classes or findings, each has these two columns, with its name behind them.
_LABEL_OF, _SCORE_OF, _POSITIVE_OF = "label/", "score/", "positive/"
_TEXTS = (
    contract.FILENAME, contract.PATIENT, DIGEST, contract.SEX, contract.VIEW, contract.SITE,
)  # fmt: skip
_NUMBERS = (contract.SCORE, contract.DISTANCE, contract.AGE)
_destination: contextvars.ContextVar[tuple[str, Task]] = contextvars.ContextVar("destination")
# Upper ends, in whole years.
_BANDS = ((17, "0-17"), (39, "18-39"), (59, "40-59"), (79, "60-79"), (math.inf, "80+"))


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
    return int(number == task.index(name))


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
        path: What the names of the files begin with; each line of them is a row in JSON.
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


def make_row(
    features: Mapping[str, Any], predictions: Mapping[str, Any], task: Task
) -> dict[str, Any]:
    """One image as TFMA's extractors have it, as a row.

    Args:
        features: Arrays of shape [0..1] by the data contract's names.
        predictions: The served model's outputs.
        task: What is asked.
    """
    row: dict[str, Any] = {}
    for name in (contract.FILENAME, contract.PATIENT, contract.LABEL, *METADATA):
        values = np.ravel(features.get(name, []))
        if values.size:
            value = values[0]
            is_text = isinstance(value, bytes)
            row[name] = value.decode("utf-8", "replace") if is_text else float(value)
    row[DIGEST] = digest_image(np.ravel(features[contract.IMAGE])[0])
    for name in (contract.SCORE, contract.DISTANCE, contract.UNLIKE):
        row[name] = float(np.ravel(predictions[name])[0])
    if not task.binary:
        del row[contract.SCORE]
        row.pop(contract.LABEL, None)
        for name, score in zip(task.judged, np.ravel(predictions[contract.SCORES]), strict=True):
            row[label_column(task, name)] = read_label(features, task, name)
            row[score_column(task, name)] = float(score)
    return row


def digest_image(encoded: bytes) -> str:
    """Names the bytes of an image: the same file has the same digest in every run."""
    return hashlib.sha256(encoded).hexdigest()[:32]


def make_table(rows: Sequence[Mapping[str, Any]], task: Task) -> pd.DataFrame:
    """The rows as a table; see `read_scores`."""
    labels = [label_column(task, name) for name in task.judged]
    scores = [score_column(task, name) for name in task.judged]
    figures = [c for pair in zip(labels, scores, strict=True) for c in pair]
    names = [
        contract.FILENAME, contract.PATIENT, DIGEST, *figures, contract.DISTANCE, contract.UNLIKE
    ]  # fmt: skip
    frame = pd.DataFrame(list(rows), columns=[*names, *METADATA])
    metadata = [name for name in METADATA if frame[name].notna().any()]
    frame = frame[[*names, *metadata]]
    # Records of another program may name neither file nor patient: each image is then its own.
    frame[contract.FILENAME] = frame[contract.FILENAME].fillna("")
    frame[contract.PATIENT] = frame[contract.PATIENT].fillna("image:" + frame[DIGEST].astype(str))
    frame = frame.astype(dict.fromkeys([*labels, contract.UNLIKE], int))
    return frame.sort_values([contract.FILENAME, DIGEST], ignore_index=True)


def write_scores(frame: pd.DataFrame, folder: StrPath) -> None:
    """Writes the scores of the test split; see `read_scores`.

    No spreadsheet computes a cell of them; see `escape.for_cell`.
    """
    columns = [name for name in _TEXTS if name in frame]
    cells = frame.assign(**{name: frame[name].map(_for_cell) for name in columns})
    text = cells.to_csv(index=False, quoting=csv.QUOTE_ALL)
    io_utils.write_string_file(os.path.join(folder, FILE), text)


def _for_cell(text: object) -> object:
    return escape.for_cell(text) if isinstance(text, str) else text


def read_scores(folder: StrPath) -> pd.DataFrame | None:
    """Reads the scores of the test split.

    Args:
        folder: Evaluator's `evaluation`.

    Returns:
        A row per image: `image/filename`, `patient/id`, `digest`, `image/class/label` (0 or 1),
        `score` (calibrated, of the positive class), `distance` (to the training images), `unlike`
        (0 or 1: further than they are), and those of age, sex, view and site that the data holds
        (NaN or empty where one image lacks them). Of several classes or findings, `label/NAME`
        (0, 1, or -1 where it is unknown) and `score/NAME` of each stand in the place of label and
        score. None where nothing was scored.
    """
    path = os.path.join(folder, FILE)
    if not fileio.exists(path):
        return None
    text = io_utils.read_string_file(path)
    names = next(csv.reader(io.StringIO(text)), [])
    numbers = [*_NUMBERS, *(name for name in names if name.startswith(_SCORE_OF))]
    return pd.read_csv(
        io.StringIO(text),
        converters=dict.fromkeys(_TEXTS, escape.from_cell),
        keep_default_na=False,
        na_values={name: [""] for name in numbers},
    )


def age_band(age: float) -> str:
    """The band of an age in years; empty where it is none: negative, infinite or NaN."""
    if not 0 <= age < math.inf:
        return ""
    return next(name for end, name in _BANDS if math.floor(age) <= end)


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
            frame[k].map(age_band) if k == contract.AGE else frame[k].astype(str) for k in keys
        ]
        present = [sorted(set(column.fillna("")) - {"", "nan"}) for column in columns]
        for values in itertools.product(*present):
            mask = np.all([c == v for c, v in zip(columns, values, strict=True)], axis=0)
            if mask.any():
                parts = (f"{key}: {value}" for key, value in zip(keys, values, strict=True))
                masks[" & ".join(parts)] = mask
    return masks
