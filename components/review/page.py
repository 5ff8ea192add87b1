"""Renders the page from a run's artifacts."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs
from tfx.dsl.io import fileio

from tfxray.components.common import artifacts, filenames
from tfxray.components.common.filesystem import StrPath
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.external import site
from tfxray.components.predict import likeness
from tfxray.components.review import (
    card,
    data_profile,
    error_lists,
    findings,
    plots,
    slice_figures,
    threshold,
    verdict,
)
from tfxray.components.review.evidence import Evidence, read_evidence
from tfxray.components.shortcuts import section, shortcut_report
from tfxray.components.text import escape

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
    "ingest": {}, "seconds": {}, "cached": [],
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
    evidence = read_evidence(summary, config, uris)
    categories = data_profile.read_categories(evidence)
    shortcuts = _read_shortcuts(evidence)
    values = {
        "summary": {**_PLAIN, **summary},
        "evidence": evidence,
        "config": config.splitlines(),
        **_evaluations(evidence, categories),
        "shortcuts": shortcuts,
        "elsewhere": _external_sites(evidence),
        "sign_off": _sign_off(evidence),
        "leaking_pairs": error_lists.list_leaking_pairs(evidence),
        **_data_sections(evidence, categories),
        **_training_section(evidence),
    }
    # Names of files, sites and classes are text, never markup: neither HTML's nor Markdown's.
    html_templates = make_templates(escape.for_screen, autoescape=True)
    html = html_templates.get_template("review.html").render(plotly_js=get_plotlyjs(), **values)
    text = make_templates(escape.for_markdown).get_template(CARD).render(**values)
    artifacts.write_text(os.fspath(path), html)
    model_folder = values["summary"]["pushed_model"]
    for folder in (os.path.dirname(path), *([model_folder] if model_folder else [])):
        if fileio.isdir(folder):
            artifacts.write_text(os.path.join(folder, CARD), text)


def make_templates(
    write: Callable[[str], str], autoescape: bool = False, more: Sequence[Path] = ()
) -> jinja2.Environment:
    """The templates, with what every text goes through that one of them puts in.

    Args:
        write: See `escape`.
        autoescape: Whether what they make is HTML.
        more: Folders of other templates, which may include these.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", *more]),
        autoescape=autoescape,
        # Not what is markup already: `Markup` is another type.
        finalize=lambda value: write(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["fixed"] = format_number
    environment.filters["cell"] = escape.for_cell
    return environment


def format_number(value: float, digits: int = 3) -> str:
    """Rounds a number to so many decimals, a half upwards, as JavaScript's `toFixed` does.

    Args:
        value: The number.
        digits: After the point.

    Returns:
        Such as `0.938`; `not finite` for NaN and the infinite.
    """
    if not math.isfinite(value):
        return "not finite"
    number = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return str(number if number else abs(number))  # no minus before a zero


def _evaluations(evidence: Evidence, categories: list[data_profile.Category]) -> dict[str, Any]:
    """The values of the sections on the held-out images: of two classes, or of each finding."""
    gate = verdict.list_rules(evidence)
    baseline = evidence.gate.get("baseline")
    common = {"gate": gate, "baseline": baseline, "columns": slice_figures.COLUMNS}
    if evidence.task.binary:
        part = _evaluation(evidence, categories)
        answers = verdict.answer_questions(evidence, part["rows"], gate, heat=not part["no_heat"])
        return {**common, **part, "parts": [part], "overview": None, "answers": answers}
    parts = []
    for number, name in enumerate(evidence.task.judged, 1):
        part = _evaluation(evidence.of(name), categories)
        parts.append({**part, "name": name, "key": f"-{number}", "of": f": {name}"})
    overview = findings.make_overview(evidence, parts)
    answers = verdict.answer_for_all(evidence, overview, parts, gate)
    return {
        **common,
        **parts[0],
        "evidence": evidence,
        "parts": parts,
        "overview": overview,
        "kind": "class" if evidence.task.exclusive else "finding",
        "answers": answers,
        "sites": [],
    }


def _evaluation(evidence: Evidence, categories: list[data_profile.Category]) -> dict[str, Any]:
    """The values of the sections on the held-out images, of one label of each."""
    rows = slice_figures.make_rows(evidence)
    errors, no_heat = error_lists.list_errors(evidence)
    return {
        "evidence": evidence,
        "name": evidence.classes[1],
        "key": "",
        "of": "",
        "rows": rows,
        "widening": slice_figures.measure_widening(evidence),
        "agree": slice_figures.figures_agree(evidence),
        "curves": plots.plot_roc_and_pr(evidence),
        "forest": plots.plot_forest(rows, _demanded(evidence)),
        "reliability": plots.plot_reliability(evidence),
        "slider": threshold.make_slider_data(evidence, rows),
        "confusion": threshold.count_confusion(evidence),
        "error_lists": errors,
        "no_heat": no_heat,
        "unlike": likeness.UNLIKE,
        "limits": card.list_limits(evidence, rows, categories),
        "sites": card.list_sites(evidence, rows, categories),
        "site_transfer": {"rows": [], "reason": "", **evidence.site_transfer},
    }


def _sign_off(evidence: Evidence) -> list[card.SignOff]:
    """What a signer asks first."""
    origin = data_profile.read_origin(evidence.summary.get("ingest") or {})
    return card.list_sign_off(evidence, origin.title if origin else "")


def _external_sites(evidence: Evidence) -> list[site.Site]:
    """The external test sets, and how the model does on them."""
    thresholds = artifacts.read_thresholds(evidence.uris, evidence.task)
    gate = evidence.config.get("gate", {})
    return site.read_sites(evidence.uris, evidence.task, thresholds, gate)


def _demanded(evidence: Evidence) -> float | None:
    """The AUC that the gate demands: of two classes, or of one class or finding of several."""
    if not evidence.finding:
        return float(evidence.summary["threshold"])
    return next((r["limit"] for r in evidence.gate.get("rules", []) if r["rule"] == AUC), None)


def _data_sections(evidence: Evidence, categories: list[data_profile.Category]) -> dict[str, Any]:
    """The values of the sections on the data, and on DataGate's verdict."""
    numbers = data_profile.read_numbers(evidence)
    return {
        "origin": data_profile.read_origin(evidence.summary.get("ingest") or {}),
        "counts": evidence.counts,
        "balance": plots.plot_balance(evidence.counts, evidence.classes)
        if evidence.counts and evidence.task.binary
        else None,
        "judged": evidence.task.judged,
        "numbers": numbers,
        "categories": categories,
        "unknown_patients": data_profile.tell_unknown_patients(evidence),
        "population": card.describe_population(categories, numbers),
        "drifts": data_profile.read_drifts(evidence),
        "checked": "ExampleValidator.anomalies" in evidence.uris,
        "inferred": "SchemaGen.schema" in evidence.uris,
        "differences": data_profile.find_differences(evidence.uris),
    }


def _read_shortcuts(evidence: Evidence) -> section.Section:
    """What may be learnt in the place of the disease, by DataGate, Evaluator and Trainer."""
    associations, comparisons = (
        shortcut_report.read_found(evidence.uris.get(name))
        for name in ("DataGate.verdict", "Evaluator.evaluation")
    )
    probe = artifacts.read_training_file(evidence.uris, filenames.PROBE)
    judged, least = evidence.task.judged, evidence.min_patients
    return section.make_section(associations, comparisons, probe, judged, least)


def _training_section(evidence: Evidence) -> dict[str, Any]:
    """The values of the section on the training."""
    names = {"auc": "AUC", "cross_entropy": "cross entropy"}
    plots_by_figure = [
        plots.plot_training(evidence.history, key, name) for key, name in names.items()
    ]
    trained = bool(evidence.history)
    return {
        "training_plots": [plot for plot in plots_by_figure if plot],
        "epochs": len(evidence.history.get("loss", [])),
        "weights": _describe_weights(evidence.config) if trained else None,
        "network": evidence.network if trained else None,
        "split_columns": SPLIT_COLUMNS,
        "count_columns": _COUNTS,
        "versions": card.read_versions(),
    }


def _describe_weights(config: Mapping[str, Any]) -> str:
    """Which weights training ended with, in words."""
    train = config.get("train", {})
    if train.get("patience") is None:
        return "the last round"
    monitor = {"auc": "AUC"}.get(train["monitor"], train["monitor"].replace("_", " "))
    return f"the round with the best validation {monitor}"
