import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from tests import pages
from tests.components.review.written import Tags, write
from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import pictures
from tfxray.components.metrics import calibration
from tfxray.components.review import (
    curves,
    error_lists,
    evidence,
    slice_figures,
    threshold,
    verdict,
)
from tfxray.components.review.page import format_number


def test_figures_by_slice_are_those_of_its_images(run_evidence):
    rows = {row.name: row for row in slice_figures.make_rows(run_evidence)}
    row = rows[f"{contract.SITE}: {pages.SITES[0]}"]
    part = run_evidence.heldout_scores[run_evidence.heldout_scores[contract.SITE] == pages.SITES[0]]
    true, calls = part[contract.LABEL] == 1, part[contract.SCORE] >= pages.THRESHOLD
    assert row.figures["auc"].value == pytest.approx(
        metrics.roc_auc_score(true, part[contract.SCORE])
    )
    assert row.figures["prauc"].value == pytest.approx(
        metrics.average_precision_score(true, part[contract.SCORE])
    )
    assert row.figures["sensitivity"].value == pytest.approx(metrics.recall_score(true, calls))
    assert row.figures["specificity"].value == pytest.approx(metrics.recall_score(~true, ~calls))
    assert row.figures["precision"].value == pytest.approx(metrics.precision_score(true, calls))
    assert row.figures["npv"].value == pytest.approx(metrics.precision_score(~true, ~calls))
    assert row.figures["brier"].value == pytest.approx(
        metrics.brier_score_loss(true, part[contract.SCORE])
    )
    for metric in set(slice_figures.COLUMNS) - {"calibration_error"}:
        figure = row.figures[metric]
        assert figure.low <= figure.value <= figure.high
    assert (row.images, row.patients) == (len(part), part[contract.PATIENT].nunique())


def test_too_small_a_slice_has_no_figure(run_evidence, page):
    rows = {row.name: row for row in slice_figures.make_rows(run_evidence)}
    assert set(rows[f"{contract.SITE}: tiny"].figures.values()) == {None}
    cells = re.search(
        rf"{contract.SITE}: tiny</th>(.*?)</tr>", page.split('id="by-slice"')[1], re.S
    )
    assert cells[1].count("not enough") == len(slice_figures.COLUMNS)
    assert "nan" not in Tags(page).text.lower().split()


def test_one_class_has_neither_area_nor_predictive_values(tmp_path):
    frame = pages.table()
    frame[contract.LABEL] = 1
    uris = pages.leave(tmp_path / "run", frame)
    figures = slice_figures.make_rows(
        evidence.read_evidence(pages.run_summary(), pages.config(), uris)
    )[0].figures
    missing = {name for name, figure in figures.items() if figure is None}
    assert missing == {"auc", "prauc", "specificity", "precision", "npv"}
    assert "not enough" in write(tmp_path, uris)


def test_the_slider_starts_at_the_figures_of_the_operating_point(run_evidence):
    rows = slice_figures.make_rows(run_evidence)
    slider = threshold.make_slider_data(run_evidence, rows)
    assert slider["threshold"] in slider["steps"]
    assert slider["steps"] == sorted(slider["steps"])
    assert slider["scores"] == sorted(slider["scores"], reverse=True)
    calls = np.array(slider["scores"]) >= slider["threshold"]
    true = np.array(list(slider["labels"])) == "1"
    counts = threshold.count_confusion(run_evidence)
    assert ((calls & true).sum(), (calls & ~true).sum()) == (counts["tp"], counts["fp"])
    for row, part in zip(rows, slider["slices"], strict=True):
        inside = slice(None) if part["members"] is None else part["members"]
        assert part["enough"] == (row.figures["accuracy"] is not None)
        if part["enough"]:
            sensitivity = calls[inside][true[inside]].mean()
            assert row.figures["sensitivity"].value == pytest.approx(sensitivity)
    assert pages.SECRET not in json.dumps(slider)


def test_curves_lie_in_bands_that_know_whose_images_they_are():
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 150)
    score = random.normal(label, 1.0)
    roc, pr = curves.compute_roc_and_pr(label, score, np.arange(150))
    assert metrics.auc(roc.x, roc.y) == pytest.approx(metrics.roc_auc_score(label, score))
    middle = np.interp(curves.GRID, roc.x, roc.y)[10:90]
    assert (roc.low[10:90] <= middle).all()
    assert (middle <= roc.high[10:90]).all()
    assert pr.y[-1] == pytest.approx(label.mean())
    # Four copies of an image are no new evidence.
    again = [np.repeat(x, 4) for x in (label, score, np.arange(150))]
    assert curves.compute_roc_and_pr(*again)[0].low == pytest.approx(roc.low, abs=0.03)
    alone = curves.compute_roc_and_pr(again[0], again[1], np.arange(600))[0]
    assert (alone.high - alone.low).mean() < 0.7 * (roc.high - roc.low).mean()
    assert curves.compute_roc_and_pr(np.ones(9), np.arange(9), np.arange(9)) is None


def test_reliability_holds_the_calibration_error():
    random = np.random.default_rng(0)
    score = random.random(200)
    label = (random.random(200) < score**2).astype(int)
    bins = curves.bin_scores(label, score, np.arange(200))
    error = sum(b.images * abs(b.score - b.positives.value) for b in bins) / 200
    assert error == pytest.approx(calibration.expected_error(label, score))


def test_the_answers_are_drawn_from_the_run(run_evidence):
    rows = slice_figures.make_rows(run_evidence)
    gate = verdict.list_rules(run_evidence)
    assert gate[0].passed is False
    answers = {
        a.question: a for a in verdict.answer_questions(run_evidence, rows, gate, heat=False)
    }
    assert answers["Is it good enough?"].short == "No"
    assert pages.SITES[1] not in answers["Is it good enough?"].text
    assert "0.6 is low" in answers["Is it good enough?"].text
    counts = threshold.count_confusion(run_evidence)
    assert answers["What does it get wrong?"].short.startswith(f"{counts['fn']} missed")
    worst = min((r for r in rows[1:] if r.figures["auc"]), key=lambda r: r.figures["auc"].value)
    assert worst.name in answers["For whom?"].short
    alone = {
        a.question: a for a in verdict.answer_questions(run_evidence, rows[:1], gate, heat=False)
    }
    assert alone["For whom?"].short == "Unknown"


def test_numbers_are_rounded_as_a_browser_does():
    assert format_number(0.0625) == "0.063"
    assert format_number(0.9385, 3) == f"{0.9385:.3f}"
    assert format_number(1.0) == "1.000"
    assert format_number(-0.00001) == "0.000"


def test_errors_are_listed_with_their_pictures(run_evidence):
    lists, reason = error_lists.list_errors(run_evidence)
    missed, alarms, doubtful, against = lists
    frame = run_evidence.heldout_scores
    wrong = (frame[contract.SCORE] >= pages.THRESHOLD) != (frame[contract.LABEL] == 1)
    assert missed.total + alarms.total == wrong.sum()
    assert {image.file for image in doubtful.images[:2]} == set(pages.FILES)
    order = [abs(image.score - (image.label == pages.CLASSES[1])) for image in against.images]
    assert order == sorted(order, reverse=True)
    images = [image for error_list in lists for image in error_list.images]
    assert all(image.xray.startswith("data:image/jpeg;base64,") for image in images)
    assert all(image.heat is None for image in images)
    assert reason


@pytest.fixture
def own(tmp_path):
    """Artifacts that a test may change."""
    return pages.leave(tmp_path / "own")


def test_images_that_are_gone_are_said_to_be(tmp_path, own, run_evidence):
    evaluation = own["Evaluator.evaluation"]
    draw(run_evidence, [], own["Trainer.model"], evaluation)
    page = write(tmp_path, own)
    assert "no picture" in page
    assert "No heat maps: The images are missing." in page


def test_a_run_without_pictures_has_a_page(tmp_path, own):
    (Path(own["Evaluator.evaluation"]) / pictures.FILE).unlink()
    assert "No heat maps: The pictures are missing." in write(tmp_path, own)


def test_heat_maps_lie_beside_their_image(own, monkeypatch):
    def heat(pixels, method, steps, output):
        assert output == 0
        assert pixels.shape[1:] == (16, 16)
        return pixels / 255

    explainer = SimpleNamespace(size=16, heat=heat)
    overlay = SimpleNamespace(lay_heat=lambda pixels, heat: Image.fromarray(pixels).convert("RGB"))
    monkeypatch.setattr(pictures.heat_maps, "load_explainer", lambda folder: explainer)
    monkeypatch.setattr(pictures, "overlay", overlay)
    lists, reason = redraw(own)
    assert reason == ""
    assert all(image.heat for error_list in lists for image in error_list.images)

    monkeypatch.setattr(
        pictures.heat_maps, "load_explainer", failing(UserError("an older tfxray's"))
    )
    assert "an older tfxray's" in redraw(own)[1]
    # A verdict is not lost for a picture; what a library has to say may quote names.
    monkeypatch.setattr(pictures.heat_maps, "load_explainer", failing(ValueError("Mr Smith")))
    lists, reason = redraw(own)
    assert reason == "The model gives no heat maps: ValueError"
    assert all(image.xray for error_list in lists for image in error_list.images)


def draw(evidence, *places):
    pictures.draw_pictures(evidence.heldout_scores, evidence.task, pages.THRESHOLDS, *places,
                           pages.make_pipeline)  # fmt: skip


def redraw(uris):
    run_evidence = evidence.read_evidence(pages.run_summary(), pages.config(), uris)
    records = [str(p) for p in Path(uris["ExampleGen.examples"]).glob("Split-test/*.gz")]
    evaluation = uris["Evaluator.evaluation"]
    draw(run_evidence, records, uris["Trainer.model"], evaluation)
    return error_lists.list_errors(run_evidence)


def failing(error):
    def load(folder):
        raise error

    return load
