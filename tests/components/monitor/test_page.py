"""The page of a watch."""

import dataclasses

import pytest

from tests.components.monitor.made import Population, make_reference, make_scored
from tests.pages import SCRIPT, TAG
from tfxray.components.common.contract import Task
from tfxray.components.monitor import page, verdict

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
