"""Months of made images: quiet where nothing has changed, and named rightly where something has."""

import dataclasses

import pytest
from scipy import stats

from tests.components.monitor.made import MODEL, TASK, Population, make_reference, make_scored
from tfxray.components.common.contract import AGE, MEAN, SEX, SITE, Task
from tfxray.components.common.errors import UserError
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import estimate, labels, verdict

SEVERAL = Task(("Effusion", "Nodule"), exclusive=False)


@pytest.fixture(scope="module")
def reference():
    return make_reference()


def judge(scored, reference, labelled=None):
    return verdict.judge_month("2026-10", scored, reference, labelled)


def drifted(month):
    return {measure.name for measure in month.measures if measure.drifted}


@pytest.mark.parametrize("images", [60, 400])
def test_months_without_a_change_are_all_right(reference, images):
    months = [judge(make_scored(seed, images), reference) for seed in range(10, 22)]
    assert [month.status for month in months] == ["all_right"] * 12
    assert months[0].reason == ""
    assert months[0].patients == images // 2


@pytest.mark.parametrize(
    ("population", "named"),
    [
        (Population(brightness=130.0), {MEAN}),
        (Population(north=0.95), {SITE}),
        (Population(ill=0.85), {"score"}),
        (Population(unlike=0.3), {"unlike"}),
    ],
)
def test_a_change_is_named(reference, population, named):
    month = judge(make_scored(3, 600, population), reference)
    assert drifted(month) == named
    assert month.status == "drifted"
    assert all(name in month.reason for name in named)


def test_more_ill_patients_are_told_from_their_scores(reference):
    scored = make_scored(3, 2000, Population(ill=0.7))
    month = judge(scored, reference)
    share, gap = estimate.fit_prevalence(scored.scores["ILL"], reference.heldout["ILL"])
    assert share == pytest.approx(0.7, abs=0.05)
    assert gap < 0.06
    assert f"as if {share:.0%} of the images were positive and not 4" in month.reason
    # What a score means is taken to be as it was: so they are between the two.
    assert 0.45 < month.expected["ILL"].positives < 0.7


def test_the_limit_of_scores_is_kolmogorovs_for_one_month_in_a_thousand(reference):
    month = judge(make_scored(3), reference)
    (measure,) = (m for m in month.measures if m.name == "score")
    effect = reference.heldout["ILL"].score_clustering
    assert 1 < effect < 2
    worth = (effect / 397 + effect / 595) ** -0.5
    assert measure.limit == pytest.approx(0.05 + stats.kstwobign.isf(0.001) / worth, rel=0.01)


def test_an_auc_below_the_gate_counts_more_than_drift(reference):
    strict = dataclasses.replace(reference, threshold=0.99)
    month = judge(make_scored(3, 600, Population(brightness=130.0)), strict)
    assert month.status == "below_gate"
    assert "AUC estimated without labels" in month.reason
    assert "image/mean" in month.reason
    assert month.estimated.high < 0.99


def test_labels_count_in_the_place_of_the_estimate(reference):
    def labelled(low, high):
        return labels.Labelled(10, 10, 0, Estimate(0.7, low, high), {})

    assert judge(make_scored(3), reference, labelled(0.6, 0.75)).status == "below_gate"
    assert judge(make_scored(3), reference, labelled(0.6, 0.85)).status == "all_right"


def test_what_images_do_not_tell_is_said_and_not_compared(reference):
    month = judge(make_scored(3, keep=(MEAN,)), reference)
    assert month.unknown == sorted([AGE, SEX, SITE, "image/std", "image/sharpness"])
    assert {measure.name for measure in month.measures} == {MEAN, "score", "unlike"}
    assert month.patients is None


def test_several_findings_have_a_measure_each():
    of = Population(task=SEVERAL)
    reference = make_reference(of=of)
    month = judge(make_scored(3, 600, of), reference)
    assert {"score Effusion", "score Nodule"} <= {measure.name for measure in month.measures}
    assert month.status == "all_right"
    values = [expected.auc for expected in month.expected.values()]
    assert month.estimated.value == pytest.approx(sum(values) / 2)
    shifted = judge(make_scored(3, 600, dataclasses.replace(of, ill=0.9)), reference)
    assert drifted(shifted) == {"score Effusion", "score Nodule"}


def test_scores_of_another_model_and_no_score_are_refused():
    scored = make_scored(3, 20)
    verdict.check_model("scores", scored, MODEL, "model", TASK)
    with pytest.raises(UserError, match="scores: was scored by another model than model"):
        verdict.check_model("scores", scored, "another", "model", TASK)
    with pytest.raises(UserError, match="scores: no image was scored"):
        verdict.check_model("scores", dataclasses.replace(scored, images=0), MODEL, "model", TASK)
    with pytest.raises(UserError, match=r"statistics.json: .*scores: is of ILL; allowed: SICK"):
        verdict.check_model("scores", scored, MODEL, "model", Task(("NORMAL", "SICK")))


def test_so_few_images_that_no_limit_can_be_broken_are_not_all_right(reference):
    one = judge(make_scored(3, 1), reference)
    assert (one.status, one.estimated) == ("too_few", None)
    assert not any(measure.judged for measure in one.measures)
    assert one.reason.startswith("1 cannot tell whether image/mean, ")
    needed = max(measure.needed for measure in one.measures)
    assert one.reason.endswith(f"drifted; at least {needed} are needed")
    assert judge(make_scored(3, needed, keep=(MEAN,)), reference).status == "all_right"


@pytest.mark.parametrize("name", [MEAN, SEX, "score", "unlike"])
def test_the_number_that_is_needed_is_the_least(reference, name):
    def measure(images):
        month = judge(make_scored(3, images, Population(unlike=0)), reference)
        return next(each for each in month.measures if each.name == name)

    few = measure(2)
    assert (few.judged, few.limit >= 1) == (False, True)
    assert measure(few.needed).judged
    assert measure(few.needed).needed is None
    assert not measure(few.needed - 2).judged


def test_what_no_number_of_images_could_tell_does_not_hold_up_the_rest(reference):
    small = dataclasses.replace(reference, patients=9)  # 10 / 9 of noise, however many images
    month = judge(make_scored(3, 400, keep=(MEAN,)), small)
    (mean,) = (each for each in month.measures if each.name == MEAN)
    assert (mean.judged, mean.needed, month.status) == (False, None, "all_right")


def test_folders_are_named_by_what_parts_them():
    assert verdict.name_months(["scores/2026-10/", "scores/2026-11"]) == ["2026-10", "2026-11"]
    assert verdict.name_months(["x/11", "y/11", "y/12"]) == ["x/11", "y/11", "y/12"]
    assert verdict.name_months(["gs://b/11", "gs://b/11"]) == ["11", "11"]
    assert verdict.name_months(["/"]) == ["/"]
