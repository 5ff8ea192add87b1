import dataclasses
import html
import html.parser
import itertools
import json
import re

import pytest
import yaml
from sklearn import metrics

from tests import pages
from tests.components.review.written import Tags, write
from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores
from tfxray.components.review import (
    slice_figures,
    verdict,
)

USED = {"found": 9, "images": 9, "rejected": 0, "reasons": {}, "left_out": {}}


def test_shortcuts_stand_on_the_page_with_what_the_model_is_beside_them(page):
    text = " ".join(Tags(page).text.split())
    assert f"study/site alone tells {pages.CLASSES[1]} with AUC 0.62 in these data" in text
    assert "The model is better than that: AUC 0.86 against 0.62" in text
    assert "✗ may be a shortcut" in text
    assert "✓ within" in text
    assert "not enough: 10 of each are needed" in text
    assert "How well a linear probe of the embedding tells site and view" in text
    assert "Not measured: study/view: none is known." in text


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
