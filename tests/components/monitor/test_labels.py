"""Labels that arrive later."""

import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.components.monitor.made import TASK
from tfxray.components.common import filenames
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.metrics import calibration, intervals
from tfxray.components.monitor.labels import measure_labelled
from tfxray.components.text import tables

SEVERAL = Task(("Effusion", "Nodule"), exclusive=False)
COLUMNS = ["name", "label", "score", "threshold", "distance", "unlike"]


@pytest.fixture
def folder(tmp_path):
    """Sixty scored images of thirty patients, one that is unlike, and one reject."""
    rng = np.random.default_rng(0)
    with tables.write_table(str(tmp_path / filenames.PREDICTIONS), COLUMNS) as write:
        for number in range(60):
            score = rng.beta(4, 2) if number % 3 == 0 else rng.beta(2, 4)
            write((f"={number}.png", "", f"{score:.7g}", "0.5", "1", "false"))
        write(("cow.png", "", "0.99", "0.5", "9", "true"))
    with tables.write_table(str(tmp_path / filenames.REJECTS), filenames.REJECT_COLUMNS) as write:
        write(("broken.png", "truncated", ""))
    return tmp_path


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def all_labels(patient=True):
    rows = [
        (f"={number}.png", "ILL" if number % 3 == 0 else "NORMAL", f"P{number // 2}")
        for number in range(60)
    ]
    return [("name", "label", "patient"), *rows] if patient else [
        ("path", "label"), *(row[:2] for row in rows)
    ]  # fmt: skip


def test_figures_are_those_of_the_page(folder, tmp_path):
    path = write(tmp_path / "labels.csv", [*all_labels(), ("cow.png", "ILL", "P99")])
    told = measure_labelled(path, str(folder), TASK)
    rows = tables.read_table(str(folder / filenames.PREDICTIONS))[:60]
    scores = np.array([float(row["score"]) for row in rows])
    truth = (np.arange(60) % 3 == 0).astype(int)
    assert told.auc.value == pytest.approx(roc_auc_score(truth, scores))
    assert told.auc == intervals.auc(truth, scores, np.arange(60) // 2)
    figures = told.figures["ILL"]
    assert figures.calibration_error == calibration.expected_error(truth, scores)
    assert (figures.positives, figures.negatives) == (20, 40)
    assert (told.images, told.patients, told.withheld) == (60, 30, 1)


def test_without_patients_each_image_counts_as_one(folder, tmp_path):
    # A spreadsheet keeps the apostrophe that is before such a name in our tables.
    rows = [(f"'{name}" if name.startswith("=") else name, *rest)
            for name, *rest in all_labels(patient=False)]  # fmt: skip
    told = measure_labelled(write(tmp_path / "l.csv", rows), str(folder), TASK)
    assert told.patients is None
    assert told.images == 60


def test_findings_have_a_column_each(tmp_path):
    columns = ["name", "label", "score Effusion", "score Nodule", "distance", "unlike"]
    with tables.write_table(str(tmp_path / filenames.PREDICTIONS), columns) as write_row:
        for number, (one, two) in enumerate([(0.9, 0.2), (0.1, 0.3), (0.8, 0.7), (0.3, 0.4)]):
            write_row((f"{number}.png", "", str(one), str(two), "1", "false"))
    with tables.write_table(str(tmp_path / filenames.REJECTS), filenames.REJECT_COLUMNS):
        pass
    rows = [("name", "Effusion", "Nodule"), ("0.png", "1", ""), ("1.png", "0", "1"),
            ("2.png", "1", "0"), ("3.png", "0", "uncertain")]  # fmt: skip
    told = measure_labelled(write(tmp_path / "labels.csv", rows), str(tmp_path), SEVERAL)
    assert told.figures["Effusion"].auc.value == 1
    assert (told.figures["Nodule"].positives, told.figures["Nodule"].negatives) == (1, 1)
    assert told.auc.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("name", "label"), ("elsewhere.png", "ILL")],
         r"1 of 1 labels are of images that were never scored in .* such as 'elsewhere.png'"),
        ([("name", "label"), ("=0.png", "SICK")],
         r"line 2: the label 'SICK' is none of the model's classes; allowed: NORMAL, ILL"),
        ([("name", "class"), ("=0.png", "ILL")], r"has the columns name, class; needed are name"),
        ([("name", "label"), ("=0.png", "")], r"holds no label"),
        ([], r"labels.csv: is empty; needed are name"),
        ([("name", "label"), ("=0.png", "ILL"), ("=0.png", "NORMAL")],
         r"line 3: '=0.png' has another label than in a line above"),
    ],
)  # fmt: skip
def test_labels_that_cannot_count_are_refused(folder, tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        measure_labelled(write(tmp_path / "labels.csv", rows), str(folder), TASK)


def test_a_label_of_an_image_that_was_set_aside_is_counted_apart(folder, tmp_path):
    path = write(tmp_path / "labels.csv", [*all_labels(), ("broken.png", "ILL", "P98")])
    assert measure_labelled(path, str(folder), TASK).withheld == 1
    (folder / filenames.PREDICTIONS).unlink()
    with pytest.raises(UserError, match="missing or damaged; score the folder again"):
        measure_labelled(path, str(folder), TASK)


def test_a_name_that_begins_with_an_apostrophe_is_itself(tmp_path):
    with tables.write_table(str(tmp_path / filenames.PREDICTIONS), COLUMNS) as write_row:
        for name, score in (("'a.png", "0.9"), ("a.png", "0.2"), ("'=b.png", "0.3")):
            write_row((name, "", score, "0.5", "1", "false"))
    with tables.write_table(str(tmp_path / filenames.REJECTS), filenames.REJECT_COLUMNS):
        pass
    rows = [("name", "label"), ("'a.png", "ILL"), ("a.png", "NORMAL"), ("''=b.png", "NORMAL")]
    told = measure_labelled(write(tmp_path / "labels.csv", rows), str(tmp_path), TASK)
    assert (told.images, told.auc.value) == (3, 1.0)


def test_labels_that_do_not_count_are_told_and_what_an_auc_lacks(folder, tmp_path):
    rows = [("name", "label"), ("=0.png", "ILL"), ("=1.png", ""), ("cow.png", "ILL")]
    told = measure_labelled(write(tmp_path / "labels.csv", rows), str(folder), TASK)
    assert (told.images, told.withheld, told.blank, told.auc) == (1, 1, 1, None)
    assert told.missing == "no labelled image with a score is not ILL"
