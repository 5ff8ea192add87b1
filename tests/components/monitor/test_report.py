"""What a watch says to people and to programs."""

import json

import pytest

from tests.components.monitor.made import Population, make_reference, make_scored
from tfxray.components.monitor import page, report, verdict, watch


@pytest.mark.parametrize(
    ("of", "threshold", "status", "next_step"),
    [
        (Population(), 0.8, "all_right", "Nothing is to be done."),
        (Population(brightness=150.0), 0.8, "drifted", "label some of them"),
        (Population(), 0.999, "below_gate", "Train on the newest labelled data"),
    ],
)
def test_each_verdict_names_its_next_step_on_screen_page_and_in_json(
    tmp_path, of, threshold, status, next_step
):
    reference, scored = make_reference(threshold), make_scored(5, of=of)
    months = [verdict.judge_month("october", scored, reference)]
    lines = list(report.tell_month(months[-1]))
    assert lines[0].startswith(report.TITLES[status])
    assert next_step in lines[-1]
    page.write_page(str(tmp_path / "m.html"), months, reference, dict(scored.scores), "model")
    assert next_step in (tmp_path / "m.html").read_text()
    told = report.describe_watch(watch.Watch("model", reference, months, scored.scores), "m.html")
    read = json.loads(json.dumps(told))
    assert (read["status"], read["reason"] is None) == (status, status == "all_right")
    assert next_step in read["next_step"]
