"""Puts the page together from what the run left behind."""

import os
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common.filesystem import StrPath
from tfxray.components.review import (
    card,
    data_profile,
    error_lists,
    evidence,
    plots,
    slice_figures,
    threshold,
    verdict,
)
from tfxray.components.review.evidence import Evidence

# The columns of the table of splits: Trainer's figure, and its heading.
_COUNTS = {
    "true_positives": "TP",
    "false_positives": "FP",
    "true_negatives": "TN",
    "false_negatives": "FN",
}
SPLIT_COLUMNS = {
    "auc": "AUC", "precision": "Precision", "recall": "Recall", "accuracy": "Accuracy",
    "cross_entropy": "Cross entropy", **_COUNTS,
}  # fmt: skip

CARD = "MODEL_CARD.md"

# What a run that ended early may lack.
_PLAIN: dict[str, Any] = {
    "reason": None, "pushed_model": None, "examples": {}, "data_issues": [], "metrics": {},
    "seconds": {}, "cached": [],
}  # fmt: skip


def write_page(
    path: StrPath, summary: Mapping[str, Any], config: str, uris: Mapping[str, str]
) -> None:
    """Writes the page, and beside it and beside the pushed model its card, `MODEL_CARD.md`.

    Args:
        path: Where to.
        summary: The fields of a run's summary.
        config: The resolved configuration, in YAML.
        uris: Folders of the run's artifacts, as `StatisticsGen.statistics`; parts whose artifact
            is missing are left out.
    """
    found = evidence.read_evidence(summary, config, uris)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # names of files, sites and classes are text, never markup
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["fixed"] = fixed
    environment.filters["cell"] = lambda text: " ".join(text.replace("|", "/").split())
    categories = data_profile.categories(found)
    known = {
        "summary": {**_PLAIN, **summary},
        "evidence": found,
        "config": config,
        **_judged(found, categories),
        **_data(found, categories),
        **_training(found),
    }
    html = environment.get_template("review.html").render(plotly_js=get_plotlyjs(), **known)
    io_utils.write_string_file(os.fspath(path), html)
    text = environment.get_template(CARD).render(**known)
    pushed = known["summary"]["pushed_model"]
    for folder in (os.path.dirname(path), *([pushed] if pushed else [])):
        if fileio.isdir(folder):
            io_utils.write_string_file(os.path.join(folder, CARD), text)


def fixed(value: float, digits: int = 3) -> str:
    """A number with so many decimals, a half upwards: as JavaScript's `toFixed` has it.

    Args:
        value: The number.
        digits: After the point.

    Returns:
        Such as `0.938`.
    """
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return str(rounded if rounded else abs(rounded))  # no minus before a zero


def _judged(found: Evidence, categories: list[data_profile.Category]) -> dict[str, Any]:
    """What the test split told."""
    rows = slice_figures.make_rows(found)
    gate = verdict.list_rules(found)
    cases, no_heat = error_lists.list_errors(found)
    return {
        "rows": rows,
        "columns": slice_figures.COLUMNS,
        "gate": gate,
        "baseline": found.gate.get("baseline"),
        "answers": verdict.answer_questions(found, rows, gate, heat=not no_heat),
        "widening": slice_figures.widening(found),
        "agree": slice_figures.agree(found),
        "curves": plots.plot_roc_and_pr(found),
        "forest": plots.plot_forest(rows, found.summary["threshold"]),
        "reliability": plots.plot_reliability(found),
        "slider": threshold.payload(found, rows),
        "confusion": threshold.confusion(found),
        "cases": cases,
        "no_heat": no_heat,
        "limits": card.limits(found, rows, categories),
        "sites": card.sites(found, rows, categories),
        "transfer": {"rows": [], "reason": "", **found.transfer},
    }


def _data(found: Evidence, categories: list[data_profile.Category]) -> dict[str, Any]:
    """What the data looks like, and what DataGate thought of it."""
    numbers = data_profile.numbers(found)
    return {
        "counts": found.counts,
        "balance": plots.plot_balance(found.counts, found.classes) if found.counts else None,
        "numbers": numbers,
        "categories": categories,
        "population": card.population(categories, numbers),
        "drifts": data_profile.drifts(found),
        "checked": "ExampleValidator.anomalies" in found.uris,
        "inferred": "SchemaGen.schema" in found.uris,
        "differences": data_profile.differences(found.uris),
    }


def _training(found: Evidence) -> dict[str, Any]:
    """How the model came about."""
    wanted = {"auc": "AUC", "cross_entropy": "cross entropy"}
    drawn = [plots.plot_training(found.history, key, name) for key, name in wanted.items()]
    trained = bool(found.history)
    return {
        "history": [plot for plot in drawn if plot],
        "epochs": len(found.history.get("loss", [])),
        "kept": _kept(found.config) if trained else None,
        "network": found.network if trained else None,
        "split_columns": SPLIT_COLUMNS,
        "counted": _COUNTS,
        "versions": card.versions(),
    }


def _kept(config: Mapping[str, Any]) -> str:
    """Which weights training ended with, in words."""
    train = config.get("train", {})
    if train.get("patience") is None:
        return "the last round"
    monitor = {"auc": "AUC"}.get(train["monitor"], train["monitor"].replace("_", " "))
    return f"the round with the best validation {monitor}"
