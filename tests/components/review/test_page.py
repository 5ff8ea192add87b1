import dataclasses
import html
import html.parser
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn import metrics

from tests import pages
from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import heldout_scores, pictures
from tfxray.components.metrics import calibration
from tfxray.components.review import (
    curves,
    error_lists,
    evidence,
    slice_figures,
    threshold,
    verdict,
)
from tfxray.components.review.page import format_number, write_page

USED = {"found": 9, "images": 9, "rejected": 0, "reasons": {}, "left_out": {}}


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    return pages.leave(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def run_evidence(uris):
    return evidence.read_evidence(pages.run_summary(), pages.config(), uris)


@pytest.fixture(scope="module")
def page(uris, tmp_path_factory):
    return write(tmp_path_factory.mktemp("page"), uris)


def test_shortcuts_stand_on_the_page_with_what_the_model_is_beside_them(page):
    text = " ".join(Tags(page).text.split())
    assert f"study/site alone tells {pages.CLASSES[1]} with AUC 0.62 in these data" in text
    assert "The model is better than that: AUC 0.86 against 0.62" in text
    assert "✗ may be a shortcut" in text
    assert "✓ within" in text
    assert "not enough: 10 of each are needed" in text
    assert "How well a linear probe of the embedding tells site and view" in text
    assert "Not measured: study/view: none is known." in text


def write(folder, uris, config=None, **fields):
    path = folder / "review.html"
    text = pages.config() if config is None else config
    write_page(path, pages.run_summary(**fields), text, uris)
    return path.read_text()


class Tags(html.parser.HTMLParser):
    """The elements of a page and its text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._within = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within not in ("script", "style"):
            self.text += data


def test_names_and_metadata_stay_text(page):
    assert pages.TAG not in page
    assert pages.SCRIPT not in page
    tags = Tags(page)
    assert not [tag for tag, attributes in tags.tags if "onerror" in attributes]
    for name in (*pages.FILES, *pages.CLASSES, *pages.SITES, "1 " + pages.TAG):
        assert name in tags.text


def test_no_label_of_a_plot_is_markup(page):
    plots = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert len(plots) == 6  # two curves, forest, reliability, scores, training
    for plot in plots:
        text = json.dumps(json.loads(plot)["data"]) + json.dumps(json.loads(plot)["layout"])
        assert "<img" not in text
        assert "<script" not in text


def test_the_page_needs_nothing_from_elsewhere_and_names_no_patient(page):
    tags = Tags(page)
    for _, attributes in tags.tags:
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("#", "data:")), attributes
    assert pages.SECRET not in page
    assert len(page) < 15e6


def test_headings_are_in_order_and_links_lead_somewhere(page):
    tags = Tags(page)
    levels = [int(tag[1]) for tag, _ in tags.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in tags.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in tags.tags if tag == "a"]
    assert len(links) > 10
    assert set(links) <= set(ids)


def test_odd_images_stand_beside_the_rejects(page):
    text = " ".join(Tags(page).text.split())
    assert f"1 images were rejected at ingest. At ingest: odd {pages.TAG}." in text


def test_every_picture_and_plot_is_told_in_words(page):
    tags = Tags(page)
    plots = [a for _, a in tags.tags if a.get("role") == "img"]
    images = [a for tag, a in tags.tags if tag == "img"]
    assert len(plots) == 6
    assert len(images) > 20
    assert all(len(a["aria-label"]) > 40 for a in plots)
    assert all(a["alt"].startswith("X-ray ") for a in images)


def test_what_one_site_teaches_about_another_stands_in_a_table(page):
    table = re.search(r'<table id="carried">(.*?)</table>', page, re.S)[1]
    assert [html.unescape(name) for name in re.findall(r'"site">on (.*?)<small>', table)] == [
        *pages.SITES[:2]
    ]
    first, last = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", table, re.S)
    assert first.count('class="own"') == 1
    assert "0.612" in first
    assert "0.612" not in last
    assert last.startswith("all sites<small>90 images of 45 patients")


@pytest.mark.parametrize(
    ("mode", "transfer", "text"),
    [
        ("fine_tune", {}, "the backbone learnt from every site's images"),
        (
            "frozen",
            {"rows": [], "left_out": [], "reason": f"why {pages.TAG}"},
            "No table: why <img",
        ),
        ("frozen", {}, "this run's training left none"),
    ],
)
def test_without_such_a_table_the_page_says_why(tmp_path, mode, transfer, text):
    uris = pages.leave(tmp_path / "run")
    (tmp_path / "run" / "model_run" / "site_transfer.json").write_text(json.dumps(transfer))
    config = pages.config().replace("mode: fine_tune", f"mode: {mode}")
    page = write(tmp_path, uris, config)
    assert text in " ".join(Tags(page).text.split())
    assert 'id="carried"' not in page


def test_the_verdict_comes_first_with_the_rules_that_failed(page):
    text = Tags(page).text
    assert text.index("Not blessed") < text.index("Is it good enough?") < text.index("Gate\n")
    assert "does not apply" in text
    rows = re.findall(r'<tr class="broken">.*?</tr>', page, re.S)
    assert len(rows) == 1
    assert "✗ fails" in rows[0]


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        ("pushed", "Pushed"),
        ("not_blessed", "Not blessed"),
        ("data_rejected", "Data refused"),
        ("failed", "Failed"),
    ],
)
def test_a_run_that_left_nothing_has_a_page(tmp_path, status, heading):
    text = Tags(write(tmp_path, {}, "", status=status, reason=None)).text
    assert heading in text
    assert "The run has no statistics of its data." in text
    assert "Threshold" not in text


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


def test_a_slice_that_is_not_judged_is_told_with_the_verdict_and_on_the_card(
    tmp_path, uris, run_evidence
):
    name = f"{contract.SITE}: {pages.SITES[0]}"
    judged = [rule for rule in run_evidence.gate["rules"] if rule["passed"] is not False]
    gate = {**run_evidence.gate, "rules": judged}
    passing = dataclasses.replace(run_evidence, gate=gate)
    rows = slice_figures.make_rows(passing)
    gate = verdict.list_rules(passing)
    assert gate[0].unjudged  # before those that hold
    answers = verdict.answer_questions(passing, rows, gate, heat=False)
    assert answers[0].short == "Yes, but not for all"
    assert answers[0].text.endswith(f"Not judged, since too few patients are there: {name}.")
    weakest = [row for row in rows if row.name == name]
    (whom,) = [
        a
        for a in verdict.answer_questions(passing, weakest, gate, False)
        if a.question == "For whom?"
    ]
    assert whom.text.endswith("of too few patients for the gate to judge.")
    page = write(tmp_path, uris)
    assert page.count("? not judged") == 1
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "- NOT JUDGED: not judged" in card
    (line,) = [line for line in card.splitlines() if "Not enough test patients to judge" in line]
    assert "north" in line
    assert "tiny" in line


def test_the_page_begins_with_what_a_signer_asks(tmp_path, uris):
    settings = yaml.safe_load(pages.config())
    settings["card"] = {"owner": f"Radiology {pages.TAG}", "intended_use": ""}
    page = write(
        tmp_path, uris, yaml.safe_dump(settings), run_id="20260102-030405-000006",
        pushed_model=str(tmp_path / "serving" / "17"), ingest={"dataset": {"title": "Set"}, **USED},
    )  # fmt: skip
    text = Tags(page).text
    begin = " ".join(text[: text.index("Is it good enough?")].split())
    for told in (
        # A heading and its text lie side by side, in cells of their own.
        "Modelpage: cnn_150, weights none, pushed as version 17",
        f"OwnerRadiology {pages.TAG}",
        "Intended usenot given (card.intended_use in the config says it)",
        "Date2026-01-02 03:04 (run 20260102-030405-000006)",
        "DataSet: no statistics of it",
        "Signed by, on",
    ):
        assert told in begin
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "- Intended use: not given (card.intended\\_use in the config)" in card
    # A config of an earlier version has no such section, and another engine's run no time.
    del settings["card"]
    text = " ".join(
        Tags(write(tmp_path, uris, yaml.safe_dump(settings), run_id="kfp-7")).text.split()
    )
    assert "Ownernot given" in text
    assert "Daterun kfp-7" in text


def test_sensitivity_and_specificity_stand_in_the_cards(run_evidence, page):
    rows = slice_figures.make_rows(run_evidence)
    table = run_evidence.heldout_scores
    called, true = table[contract.SCORE] >= pages.THRESHOLD, table[contract.LABEL] == 1
    rates = (
        f"sensitivity {metrics.recall_score(true, called):.3f}",
        f"specificity {metrics.recall_score(~true, ~called):.3f}",
    )
    answers = verdict.answer_questions(run_evidence, rows, verdict.list_rules(run_evidence), False)
    (wrong,) = [a for a in answers if a.question == "What does it get wrong?"]
    card = " ".join(Tags(page).text.split()).rpartition("Model card")[2]
    for rate in rates:
        assert rate in wrong.text
        assert rate in card


def test_numbers_are_rounded_as_a_browser_does():
    assert format_number(0.0625) == "0.063"
    assert format_number(0.9385, 3) == f"{0.9385:.3f}"
    assert format_number(1.0) == "1.000"
    assert format_number(-0.00001) == "0.000"


def test_scores_of_single_images_may_be_missing(tmp_path, uris):
    (tmp_path / "evaluation").mkdir()
    page = write(tmp_path, {**uris, "Evaluator.evaluation": str(tmp_path / "evaluation")})
    assert "Threshold" not in Tags(page).text
    assert heldout_scores.read_scores(tmp_path / "evaluation") is None


def test_the_model_card_lies_beside_the_page_and_the_pushed_model(tmp_path, uris):
    folder_of_model = tmp_path / "serving" / "1"
    folder_of_model.mkdir(parents=True)
    write(tmp_path, uris, pushed_model=str(folder_of_model))
    card = (folder_of_model / "MODEL_CARD.md").read_text()
    assert card == (tmp_path / "MODEL_CARD.md").read_text()
    assert "<img" not in card
    for heading in ("Intended use", "Training data", "Figures on held-out patients", "Limits"):
        assert f"## {heading}" in card
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert len(table) > 3
    assert len({line.count("|") for line in table}) == 1
