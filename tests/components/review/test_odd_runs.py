"""Runs whose names are hostile and whose numbers are none: the page and the card all the same."""

import html
import json
import math
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tensorflow_metadata.proto.v0 import statistics_pb2

from tests import pages
from tests.components.review.written import Tags, write
from tfxray.components.common import contract
from tfxray.components.text import escape

CLASSES = ["=OK [a](http://x)", "ILL\n\n# heading ![x](http://x/y.png)"]
SITES = ["a | b\n|---|\n# heading", "[click](http://x) \x1b[31m www.x.example", "\u202eton"]


@pytest.fixture
def uris(tmp_path):
    """Artifacts that a test may change."""
    return pages.leave(tmp_path / "run")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """The page and the card of a run whose names are markup in Markdown, and orders elsewhere."""
    monkeypatch.setattr(pages, "CLASSES", CLASSES)
    monkeypatch.setattr(pages, "SITES", SITES)
    page = write(tmp_path, pages.leave(tmp_path / "run"), reason="[why](http://x)\n# heading")
    return page, (tmp_path / "MODEL_CARD.md").read_text()


def test_the_model_card_shows_names_and_makes_nothing_of_them(hostile):
    _, card = hostile
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(card)
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert headings == [
        "page: model card", "Intended use", "Model", "Training data",
        "Figures on held-out patients", "Rules", "Limits", "Versions",
    ]  # fmt: skip
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "text_special", "softbreak"}
    assert "html_block" not in {token.type for token in tokens}
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len([line for line in table if line.startswith("| study/site")]) == len(SITES)
    shown = html.unescape(markdown.render(card))
    for name in (*CLASSES, *SITES):
        assert escape.for_screen(name) in shown
    assert "Youden's &lt;/script&gt;" in card  # an apostrophe is no markup


def test_the_page_shows_what_a_browser_would_obey(hostile):
    page, _ = hostile
    assert "\u202e" not in page
    assert "\x1b" not in page
    text = Tags(page).text
    for name in (*CLASSES, *SITES):
        assert escape.for_screen(name) in text
    assert "\nclasses:\n" in text  # the config keeps its lines


def write_statistics(folder, numbers):
    """StatisticsGen's artifact of one split: of numbers, or without any examples."""
    dataset = statistics_pb2.DatasetFeatureStatistics(num_examples=2)
    for name, values in numbers.items():
        feature = dataset.features.add(name=name, type="FLOAT")
        feature.num_stats.common_stats.num_non_missing = 2
        for key, value in values.items():
            setattr(feature.num_stats, key, value)
    split = folder / "Split-train"
    split.mkdir(parents=True)
    statistics = statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset] if numbers else [])
    (split / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    return {"StatisticsGen.statistics": str(folder)}


@pytest.mark.parametrize(
    "age",
    [
        {"max": math.inf, "mean": math.inf, "std_dev": math.nan},
        {"min": -math.inf, "mean": -math.inf},
        {"mean": math.nan, "median": math.nan, "min": math.nan, "max": math.nan},
    ],
)
def test_statistics_that_are_not_finite_have_a_page(tmp_path, age):
    numbers = {contract.AGE: age, contract.MEAN: {"mean": math.nan}, contract.LABEL: age}
    uris = write_statistics(tmp_path / "statistics", numbers)
    text = Tags(write(tmp_path, uris, status="data_rejected", reason="an age is infinite")).text
    assert "an age is infinite" in text
    assert "Age not finite in some images" in text
    assert text.count("not finite") > 2


def test_a_split_of_no_examples_has_a_page(tmp_path):
    text = Tags(write(tmp_path, write_statistics(tmp_path / "statistics", {}))).text
    assert "The run has no statistics of its data." in text


def numbers_of(page):
    """The page's data for its scripts, as a browser reads it: it knows neither NaN nor Infinity."""
    scripts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    return [json.loads(script, parse_constant=pytest.fail) for script in scripts]


@pytest.mark.parametrize(
    "odd",
    [{"threshold": math.nan}, {"threshold": math.inf}, {"temperature": math.nan}],
)
def test_an_operating_point_that_is_not_finite_has_a_page(tmp_path, uris, odd):
    path = Path(uris["Trainer.model_run"]) / "operating_point.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **odd}))
    page = write(tmp_path, uris)
    assert "not finite" in Tags(page).text
    assert numbers_of(page)


def test_scores_that_are_not_finite_are_counted_and_told(tmp_path):
    frame = pages.table()
    frame.loc[3:5, contract.SCORE] = [math.nan, math.inf, -math.inf]
    page = write(tmp_path, pages.leave(tmp_path / "some", frame))
    assert "3 held-out images are in none of these figures" in Tags(page).text
    assert numbers_of(page)
    frame[contract.SCORE] = math.nan
    assert "Threshold" not in Tags(write(tmp_path, pages.leave(tmp_path / "all", frame))).text


def test_page_and_card_tell_of_images_unlike_the_training_data(tmp_path, uris):
    warning = "tfxray predict withholds it, and a client of the served model must"
    text = Tags(write(tmp_path, uris)).text
    assert "not like the training data (distance 0." in text
    assert warning in text
    assert warning in (tmp_path / "MODEL_CARD.md").read_text()
    path = Path(uris["Trainer.model_run"]) / "operating_point.json"
    content = json.loads(path.read_text())
    del content["unlike"]  # an older model
    path.write_text(json.dumps(content))
    write(tmp_path, uris)
    assert "Images are not checked for whether" in (tmp_path / "MODEL_CARD.md").read_text()
