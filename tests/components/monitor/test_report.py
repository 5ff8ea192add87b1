"""What a watch says to people and to programs."""

import dataclasses
import json

import pytest

from tests.components.monitor.made import Population, make_reference, make_scored
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import labels, page, report, verdict, watch
from tfxray.pipeline.cli.monitor import _EXIT_CODES


@pytest.mark.parametrize(
    ("of", "threshold", "status", "next_step"),
    [
        (Population(), 0.8, "all_right", "Nothing is to be done."),
        (Population(brightness=150.0), 0.8, "drifted", "label some of them"),
        (Population(), 0.999, "below_gate", "Train on the newest labelled data"),
        (Population(north=1), 0.8, "too_few", "images of a longer time"),
    ],
)
def test_each_verdict_names_its_next_step_on_screen_page_and_in_json(
    tmp_path, of, threshold, status, next_step
):
    images = 1 if status == "too_few" else 400
    reference, scored = make_reference(threshold), make_scored(5, images, of)
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
    measures = read["months"][0]["measures"]
    assert any(each["drifted"] for each in measures) == (status == "drifted")
    assert all(each["judged"] for each in measures) == (status != "too_few")
    assert set(report.TITLES) == set(report.NEXT_STEPS) == set(_EXIT_CODES)


def tell(**changes):
    month = verdict.judge_month("october", make_scored(5), make_reference())
    return list(report.tell_month(dataclasses.replace(month, **changes)))


def test_an_auc_that_is_missing_says_why():
    few = verdict.judge_month("october", make_scored(5, 3), make_reference())
    lines = list(report.tell_month(few))
    missing = "fewer than 5 images with, or without, ILL are to be expected"
    assert f"AUC estimated without labels: unknown: {missing}" in lines
    figures = {"ILL": labels.Figures(0, 9, None, 0.1, 0.1)}
    lines = tell(labelled=labels.Labelled(9, 4, 2, None, figures, blank=3))
    assert "AUC by labels: unknown: no labelled image with a score is ILL" in lines
    assert (
        "labels: 9 images with a score of 4 patients; 2 labelled ones have no score that counts: "
        "unlike the training data, or rejected; 3 rows have no label"
    ) in lines


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [(0.836, 0.732, 0.904, True), (0.90, 0.85, 0.96, False), (0.88, 0.80, 0.97, False)],
)
def test_labels_that_contradict_the_estimate_say_so(value, low, high, told):
    lines = tell(
        estimated=Estimate(0.956, 0.888, 0.984),
        labelled=labels.Labelled(9, 4, 0, Estimate(value, low, high), {}),
    )
    assert any("contradict the estimate, which is too high" in line for line in lines) == told
