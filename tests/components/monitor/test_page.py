"""The page of a watch."""

import dataclasses
import json
import re

import pytest

from tests.components.monitor.made import Population, make_reference, make_scored
from tests.pages import SCRIPT, TAG
from tfxray.components.common.contract import Task
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import labels, page, verdict

HOSTILE = Task(("NORMAL", f"ill {TAG}{SCRIPT}"))


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    of = Population(task=HOSTILE)
    reference = make_reference(of=of)
    quiet = verdict.judge_month("september", make_scored(5, of=of), reference)
    changed = dataclasses.replace(of, brightness=150.0)
    scored = make_scored(6, of=changed)
    months = [quiet, verdict.judge_month(f"october {TAG}", scored, reference)]
    path = tmp_path_factory.mktemp("page") / "new" / "monitor.html"
    page.write_page(str(path), months, reference, dict(scored.scores), f"model {SCRIPT}")
    return path.read_text()


def test_it_tells_the_verdict_its_reason_and_what_to_do(html):
    assert "<strong>Drifted</strong>" in html
    assert "image/mean (Jensen-Shannon" in html
    assert "label some of them" in html
    assert html.count('<tr class="broken">') == 2  # the month, and the measure


def test_it_says_what_the_estimate_cannot_see(html):
    assert "It cannot see that a disease looks otherwise" in html


def test_hostile_names_are_text(html):
    assert TAG not in html
    assert SCRIPT not in html
    assert "&lt;img src=x" in html


def write(tmp_path, months, scored, reference):
    page.write_page(str(tmp_path / "m.html"), months, reference, dict(scored.scores), "model")
    return (tmp_path / "m.html").read_text()


def figures(html):
    """The plots of a page: of each, its traces by name, and what it says."""
    found = re.findall(r'<script type="application/json">(.*?)</script><figcaption>(.*?)<', html)
    return [({t["name"]: t for t in json.loads(plot)["data"]}, text) for plot, text in found]


def test_what_so_few_images_cannot_tell_is_neither_green_nor_plotted(tmp_path):
    reference, scored = make_reference(), make_scored(5, 1)
    months = [verdict.judge_month("october", scored, reference)]
    html = write(tmp_path, months, scored, reference)
    assert "<strong>Too few images</strong>" in html
    assert 'class="verdict pushed"' not in html
    assert 'class="badge holds"' not in html
    assert html.count(">not judged</span>") == len(months[0].measures)
    assert "fewer than 5 images with, or without, ILL are to be expected" in html
    assert not any("newest last" in text for _, text in figures(html))


def test_without_an_auc_the_trend_shows_drift_alone(tmp_path):
    reference, scored = make_reference(), make_scored(5, of=Population(ill=0.0))
    month = dataclasses.replace(verdict.judge_month("a", scored, reference), estimated=None)
    (traces, text), *_ = figures(write(tmp_path, [month], scored, reference))
    assert set(traces) == {measure.name for measure in month.measures}
    assert "It shows how much of its limit each measure takes" in text


def test_a_month_without_an_estimate_parts_the_line_of_the_auc(tmp_path):
    reference, scored = make_reference(), make_scored(5)
    month = verdict.judge_month("a", scored, reference)
    months = [month, dataclasses.replace(month, estimated=None), month]
    (traces, _), *_ = figures(write(tmp_path, months, scored, reference))
    value = month.estimated.value
    line = traces["AUC, estimated without labels"]
    assert line["y"] == [value, None, value]
    assert line["connectgaps"] is False


def test_labels_that_contradict_the_estimate_are_told_with_the_verdict(tmp_path):
    reference, scored = make_reference(), make_scored(5)
    auc = Estimate(0.82, 0.81, 0.83)
    labelled = labels.Labelled(9, 4, 2, auc, {"ILL": labels.Figures(4, 5, auc, 0.1, 0.1)}, blank=3)
    month = verdict.judge_month("a", scored, reference, labelled)
    html = write(tmp_path, [month], scored, reference)
    assert "The labels contradict the estimate, which is too high" in html
    assert "3 rows have no label" in html
    assert "of 9 images of 4 patients" in html
    unlike = reference.heldout_unlike
    assert f"without {unlike} held-out images unlike the training data" in html
