"""What a watch comes to, for people and for programs: the verdict, and the next step."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from tfxray.components.monitor import verdict
from tfxray.components.monitor.verdict import Month
from tfxray.components.monitor.watch import Watch

TITLES = {
    verdict.ALL_RIGHT: "All right",
    verdict.DRIFTED: "Drifted",
    verdict.BELOW: "Below the gate",
}
NEXT_STEPS = {
    verdict.ALL_RIGHT: "Nothing is to be done.",
    verdict.DRIFTED: "Look at these images. If they are what is to come, label some of them, give "
    "the labels (tfxray monitor --labels), and train on data that hold such images (tfxray run).",
    verdict.BELOW: "Train on the newest labelled data (tfxray run). Until its model is pushed, do "
    "not rely on these scores.",
}


def tell_month(month: Month) -> Iterator[str]:
    """The verdict of a scored folder, its AUC and the next step, in lines."""
    yield TITLES[month.status] + (f": {month.reason}" if month.reason else "")
    if month.unknown:
        yield f"not compared, since these images do not tell it: {', '.join(month.unknown)}"
    for kind, auc in (
        ("estimated without labels", month.estimated),
        ("by labels", month.labelled.auc if month.labelled else None),
    ):
        if auc:
            yield f"AUC {kind}: {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
    yield NEXT_STEPS[month.status]


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
        "months": [dataclasses.asdict(month) for month in watch.months],
        "page": page,
    }
