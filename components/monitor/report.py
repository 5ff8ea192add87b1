"""What a watch comes to, for people and for programs: the verdict, and the next step."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import estimate, verdict
from tfxray.components.monitor.labels import Labelled
from tfxray.components.monitor.verdict import Month
from tfxray.components.monitor.watch import Watch

TITLES = {
    verdict.ALL_RIGHT: "All right",
    verdict.DRIFTED: "Drifted",
    verdict.BELOW: "Below the gate",
    verdict.TOO_FEW: "Too few images",
}
NEXT_STEPS = {
    verdict.ALL_RIGHT: "Nothing is to be done.",
    verdict.DRIFTED: "Look at these images. If they are what is to come, label some of them, give "
    "the labels (tfxray monitor --labels), and train on data that hold such images (tfxray run).",
    verdict.TOO_FEW: "Score the images of a longer time into one folder (tfxray predict --input), "
    "and judge that.",
    verdict.BELOW: "Train on the newest labelled data (tfxray run). Until its model is pushed, do "
    "not rely on these scores.",
}


def tell_month(month: Month) -> Iterator[str]:
    """The verdict of a scored folder, its AUC and the next step, in lines."""
    yield TITLES[month.status] + (f": {month.reason}" if month.reason else "")
    if never := [each.name for each in month.measures if not each.judged and not each.needed]:
        yield (
            "not judged, since the model's own run had too few patients to tell drift from chance: "
            f"{', '.join(sorted(never))}"
        )
    if month.unknown:
        yield f"not compared, since these images do not tell it: {', '.join(month.unknown)}"
    yield f"AUC estimated without labels: {_tell_auc(month.estimated, missing_estimate(month))}"
    if labelled := month.labelled:
        yield f"labels: {count_labels(labelled)}"
        yield f"AUC by labels: {_tell_auc(labelled.auc, labelled.missing)}"
    if doubt := tell_contradiction(month):
        yield doubt
    yield NEXT_STEPS[month.status]


def _tell_auc(auc: Estimate | None, missing: str) -> str:
    return f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" if auc else f"unknown: {missing}"


def missing_estimate(month: Month) -> str:
    """Why there is no AUC without labels, in words; empty where there is one."""
    if month.estimated:
        return ""
    names = " or ".join(month.expected)
    return f"fewer than {estimate.LEAST:g} images with, or without, {names} are to be expected"


def count_labels(labelled: Labelled) -> str:
    """How many labels count, and how many do not, in words."""
    told = f"{labelled.images} images with a score"
    if labelled.patients is None:
        told += "; they name no patient, so each image counts as one"
    else:
        told += f" of {labelled.patients} patients"
    if labelled.withheld:
        told += (
            f"; {labelled.withheld} labelled ones have no score that counts: unlike the training "
            "data, or rejected"
        )
    return told + (f"; {labelled.blank} rows have no label" if labelled.blank else "")


def tell_contradiction(month: Month) -> str:
    """That labels and the estimate cannot both be right, in words; empty where they can.

    Each lies outside of the other's 95 % interval.
    """
    labels, expected = month.labelled and month.labelled.auc, month.estimated
    if not labels or not expected:
        return ""
    if expected.low <= labels.value <= expected.high or labels.low <= expected.value <= labels.high:
        return ""
    way = "high" if expected.value > labels.value else "low"
    return (
        f"the labels contradict the estimate, which is too {way}: these scores do not mean what "
        "they meant in the model's own run. Rely on the labels"
    )


def describe_watch(watch: Watch, page: str) -> dict[str, Any]:
    """All of a watch, as JSON takes it; status, reason and next step are the newest folder's.

    Args:
        watch: What became of it.
        page: The path of its page.
    """
    newest = watch.months[-1]
    return {
        "status": newest.status,
        "reason": newest.reason or None,
        "next_step": NEXT_STEPS[newest.status],
        "model": watch.model,
        "threshold": watch.reference.threshold,
        "months": [_describe_month(month) for month in watch.months],
        "page": page,
    }


def _describe_month(month: Month) -> dict[str, Any]:
    measures = [
        {**dataclasses.asdict(each), "judged": each.judged, "drifted": each.drifted}
        for each in month.measures
    ]
    return {**dataclasses.asdict(month), "measures": measures}
