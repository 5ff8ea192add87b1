"""Labels that arrive later, for images that were scored: their AUC and calibration."""

import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence, Set

import numpy as np

from tfxray.components.common import contract, filenames
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.common.errors import UserError
from tfxray.components.manifest import findings
from tfxray.components.manifest.table import read_table
from tfxray.components.metrics import calibration, intervals
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.text import escape, tables

_NAMES, _LABEL, _PATIENT = ("name", "path"), "label", "patient"


@dataclasses.dataclass(frozen=True)
class Figures:
    """What labels say of one class or finding.

    Attributes:
        positives: Images that have it.
        negatives: Images that do not.
        auc: With its interval by patient; None where one of the two is missing.
        calibration_error: The expected calibration error; None where there is no image.
        by_chance: What so few images show of it if nothing is wrong.
    """

    positives: int
    negatives: int
    auc: Estimate | None
    calibration_error: float | None
    by_chance: float | None


@dataclasses.dataclass(frozen=True)
class Labelled:
    """What labels say of scored images.

    Attributes:
        images: With a label and a score, like the training data.
        patients: Whose images they are; None where the labels name no patient. Each image then
            counts as a patient of its own.
        withheld: With a label, but no score that counts: unlike the training data, or rejected.
        auc: Of several classes or findings, the mean; None where one class is missing.
        figures: By class or finding.
        blank: Rows without a label, which nobody has given yet.
    """

    images: int
    patients: int | None
    withheld: int
    auc: Estimate | None
    figures: Mapping[str, Figures]
    blank: int = 0

    @property
    def missing(self) -> str:
        """What labels lack for an AUC, in words; empty where there is one."""
        lacks = []
        for name, each in self.figures.items():
            counts = ((each.positives, f"is {name}"), (each.negatives, f"is not {name}"))
            lacks += [words for count, words in counts if not count]
        return f"no labelled image with a score {' or '.join(lacks)}" if lacks else ""


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table of labels: of each image, by its name, the labels of `judged`, and the patient."""

    labels: Mapping[str, Sequence[int]]
    patients: Mapping[str, str]
    blank: int


def measure_labelled(path: str, folder: str, task: Task) -> Labelled:
    """Measures scores by labels.

    Args:
        path: A table with the columns `name`, as in `predictions.csv`, or `path`; `label`, the
            class, or of findings a column of each; and, if known, `patient`.
        folder: The scored folder.
        task: What the model is asked.

    Raises:
        UserError: The table cannot be read, or has a label of an image that was not scored.
    """
    predictions, rejects = (
        os.path.join(folder, name) for name in (filenames.PREDICTIONS, filenames.REJECTS)
    )
    with _explain_damage(folder):
        seen = {
            row["name"] for file in (predictions, rejects) for row in tables.iterate_table(file)
        }
    table = _read_labels(path, task, seen)
    columns = ["score"] if task.binary else [f"score {name}" for name in task.judged]
    scores, labels, patients = [], [], []
    with _explain_damage(folder):
        for row in tables.iterate_table(predictions):
            # A score of an image unlike the training data means nothing, forced or not.
            if row["name"] in table.labels and row["unlike"] != "true" and row[columns[0]]:
                scores.append([float(row[column]) for column in columns])
                labels.append(table.labels[row["name"]])
                patients.append(
                    table.patients.get(row["name"]) or contract.own_patient(row["name"])
                )
    strangers = sorted(table.labels.keys() - seen)
    if strangers:
        raise UserError(
            f"{path}: {len(strangers)} of {len(table.labels)} labels are of images that were never "
            f"scored in {folder}, such as {strangers[0]!r}. Take these rows out, or name the "
            "folder that has their scores as the last one (--scored)"
        )
    told = _measure(
        np.array(labels, int).reshape(-1, len(columns)),
        np.array(scores, float).reshape(-1, len(columns)),
        np.array(patients, object),
        len(table.labels),
        bool(table.patients),
        task,
    )
    return dataclasses.replace(told, blank=table.blank)


@contextlib.contextmanager
def _explain_damage(folder: str) -> Iterator[None]:
    """Says in one line that a scored folder's tables cannot be read."""
    try:
        yield
    except (OSError, KeyError, ValueError):
        raise UserError(
            f"{folder}: its {filenames.PREDICTIONS} or {filenames.REJECTS} is missing or damaged; "
            "score the folder again (tfxray predict --input)"
        ) from None


def _measure(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    total: int,
    patients_known: bool,
    task: Task,
) -> Labelled:
    figures = {}
    for place, name in enumerate(task.judged):
        known = labels[:, place] != UNKNOWN
        own, values = labels[known, place], scores[known, place]
        figures[name] = Figures(
            positives=int((own == 1).sum()),
            negatives=int((own == 0).sum()),
            auc=intervals.auc(own, values, patients[known]) if len(own) else None,
            calibration_error=calibration.expected_error(own, values) if len(own) else None,
            by_chance=calibration.error_by_chance(values) if len(own) else None,
        )
    return Labelled(
        images=len(labels),
        patients=len(np.unique(patients.astype(str))) if patients_known and len(labels) else None,
        withheld=total - len(labels),
        auc=intervals.mean_auc(labels, scores, patients) if len(labels) else None,
        figures=figures,
    )


def _read_labels(path: str, task: Task, seen: Set[str]) -> _Table:
    wanted = [_LABEL] if task.exclusive else list(task.names)

    def has_columns(columns: Sequence[str]) -> bool:
        return bool(set(_NAMES) & set(columns)) and set(wanted) <= set(columns)

    table = read_table(path, has_columns)
    if not has_columns(table.columns):
        told = ", ".join(table.columns)
        raise UserError(
            f"{path}: {f'has the columns {told}' if told else 'is empty'}; needed are name, as in "
            f"{filenames.PREDICTIONS}, and {', '.join(wanted)}; patient, if it is known (--labels)"
        )
    key = next(name for name in _NAMES if name in table.columns)
    labels: dict[str, Sequence[int]] = {}
    patients: dict[str, str] = {}
    blank = 0
    for line, cells in table.rows:
        row = dict(zip(table.columns, cells, strict=False))
        name = _as_known(row.get(key, ""), seen)
        values = _read_row(f"{path}, line {line}", row, task)
        if not name or values is None:
            blank += 1  # nobody has labelled this image yet
            continue
        if labels.get(name, values) != values:
            raise UserError(
                f"{path}, line {line}: {name!r} has another label than in a line above; keep one"
            )
        labels[name] = values
        if patient := row.get(_PATIENT, "").strip():
            patients[name] = patient
    if not labels:
        raise UserError(f"{path}: holds no label (--labels)")
    return _Table(labels, patients, blank)


def _as_known(cell: str, known: Collection[str]) -> str:
    """The text of a cell: as it is where it is known so, else as our tables mask it."""
    return cell if cell in known else escape.from_cell(cell)


def _read_row(place: str, row: Mapping[str, str], task: Task) -> Sequence[int] | None:
    """The labels of `judged`; None where none is known."""
    if not task.exclusive:
        cells = {name: row.get(name, "") for name in task.names}
        values = {name: findings.read_cell(text) for name, text in cells.items()}
        for name, text in cells.items():
            if values[name] is None and text.strip():
                raise UserError(
                    f"{place}: {name} is {text!r}; allowed: {findings.ALLOWED} (--labels)"
                )
        known = [UNKNOWN if value is None else value for value in values.values()]
        return known if any(value != UNKNOWN for value in known) else None
    label = _as_known(row.get(_LABEL, "").strip(), task.names)
    if not label:
        return None
    if label not in task.names:
        raise UserError(
            f"{place}: the label {label!r} is none of the model's classes; allowed: "
            f"{', '.join(task.names)} (--labels)"
        )
    return [int(label == name) for name in task.judged]
