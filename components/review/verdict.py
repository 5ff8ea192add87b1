"""The verdict: the rules of the gate, and the answers to a reader's six questions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfxray.components.common import contract
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.evaluator.results import OVERALL, Figure, tell_unjudged
from tfxray.components.review.evidence import Evidence
from tfxray.components.review.findings import Overview
from tfxray.components.review.slice_figures import Row
from tfxray.components.review.threshold import count_confusion

RULES = {
    "auc": "AUC",
    "slice_auc": "AUC of a slice",
    "calibration": "Calibration error",
    "baseline": "Against the latest blessed model",
    "label_shift": "Labels, by the latest blessed model",
    "relabelled": "Images with another label than before",
    "classes": "Classes as served",
    "positives": "Patients with a positive image",
    "negatives": "Patients with a negative image",
    "servable": "The model can be served",
    "external_patients": "Patients of an external test set",
    "external_auc": "AUC on an external test set",
    "external_drop": "External test set against the split test",
    "external_calibration": "Calibration error on an external test set",
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule of the gate.

    Attributes:
        kind: As Evaluator calls it.
        name: In words.
        slice: The slice that it applies to.
        figure: The figure, with its interval; None where there is none.
        limit: The limit of the config.
        passed: The verdict; None where it does not apply to this run.
        text: All of it in a line.
        finding: Of several classes or findings, the one that it looks at.
        warns: Whether it was not kept, and the model may pass all the same.
        unjudged: Whether there were too few patients to judge.
    """

    kind: str
    name: str
    slice: str
    figure: Figure | None
    limit: float | None
    passed: bool | None
    text: str
    finding: str = ""
    warns: bool = False
    unjudged: bool = False


def list_rules(evidence: Evidence) -> list[Rule]:
    """The gate's rules; where Evaluator wrote none, the AUC's with TFMA's verdict.

    Args:
        evidence: Of the run.
    """
    places = {kind: place for place, kind in enumerate(RULES)}
    rules = [_rule(item) for item in evidence.gate.get("rules", [])]
    # What failed first: it is why nothing was pushed. Then what nobody has judged.
    rules.sort(
        key=lambda r: (r.passed is not False, not r.warns, not r.unjudged, places.get(r.kind, 0))
    )
    if rules or not evidence.results:
        return rules
    results, limit = evidence.results, float(evidence.summary["threshold"])
    text = "; ".join(results.reasons) or f"AUC of at least {limit:g}"
    return [Rule(AUC, RULES[AUC], OVERALL, results.auc, limit, results.blessed, text)]


def _rule(item: dict[str, Any]) -> Rule:
    figure = item.get("figure")
    return Rule(
        item["rule"],
        RULES.get(item["rule"], item["rule"]),
        item.get("slice") or OVERALL,
        None if figure is None else Figure(figure, item.get("low"), item.get("high")),
        item.get("limit"),
        item["passed"],
        item.get("text", ""),
        item.get("finding", ""),
        item.get("warns", False),
        item.get("unjudged", False),
    )


@dataclasses.dataclass(frozen=True)
class Answer:
    """A question and its answer.

    Attributes:
        question: A reader's.
        short: The answer in a word or two.
        text: The answer in a sentence.
        anchor: Where the page tells more.
        finding: Of several classes or findings, the one whose part of the page does.
    """

    question: str
    short: str
    text: str
    anchor: str
    finding: str = ""


def answer_questions(
    evidence: Evidence, slices: Sequence[Row], gate: Sequence[Rule], heat: bool
) -> list[Answer]:
    """The questions that the run can answer.

    Args:
        evidence: Of the run.
        slices: The whole test split first.
        gate: See `list_rules`.
        heat: Whether the page shows heat maps.
    """
    answers = [
        _enough(gate),
        _whom(slices, gate),
        _sure(slices),
        _wrong(evidence, slices),
        _why(evidence, heat),
    ]
    return [answer for answer in answers if answer] + [_pushed(evidence)]


def answer_for_all(
    evidence: Evidence,
    overview: Overview | None,
    parts: Sequence[Mapping[str, Any]],
    gate: Sequence[Rule],
) -> list[Answer]:
    """The same questions, of several classes or findings.

    Args:
        evidence: Of the run, of all of them together.
        overview: See `findings.make_overview`.
        parts: Likewise.
        gate: See `list_rules`.
    """
    if overview is None:
        return [answer for answer in (_enough(gate), _pushed(evidence)) if answer]
    judged = [(row, row.auc) for row in overview.rows if row.auc]
    answers = [_enough(gate)]
    if judged:
        row, auc = min(judged, key=lambda pair: pair[1].value)
        part = parts[overview.rows.index(row)]
        who = _whom(part["rows"], [rule for rule in gate if rule.finding == row.name])
        text = f"Of {len(judged)} that can be judged, {row.name} is the weakest: AUC "
        text += f"{auc.value:.3f}{format_interval(auc)}. {who.text if who else ''}"
        anchor = f"slices{row.key}"
        answers.append(Answer("For whom?", f"Weakest: {row.name}", text, anchor, row.name))
    mean = overview.auc
    if mean and mean.low is not None and mean.high is not None:
        text = f"That is the 95 % interval of the mean, on {overview.images} images of "
        text += f"{overview.patients} patients that the model has never seen."
        short = f"Mean AUC {mean.low:.3f} to {mean.high:.3f}"
        answers.append(Answer("How sure?", short, text, "findings"))
    wrong = [(part, count_confusion(part["evidence"])) for part in parts]
    counted = [(part, counts) for part, counts in wrong if counts]
    if evidence.task.exclusive:  # called by the most probable one
        counted = [(part, overview.count_confusion(part["name"])) for part in parts]
    if counted:
        part, counts = max(counted, key=lambda pair: pair[1]["fn"])
        missed, alarms = (sum(c[key] for _, c in counted) for key in ("fn", "fp"))
        text = f"Most often missed is {part['name']}: {counts['fn']} of "
        text += f"{counts['fn'] + counts['tp']}, with {counts['fp']} false alarms."
        # Of exclusive classes, these are counted by the most probable one, and rates by its score.
        text += "" if evidence.task.exclusive else _rates(part["rows"])
        short = f"{missed} missed, {alarms} false alarms"
        if evidence.task.exclusive:
            short = f"{missed} of {overview.images} images"
        anchor = f"errors{part['key']}"
        answers.append(Answer("What does it get wrong?", short, text, anchor, part["name"]))
        why = _why(part["evidence"], heat=not part["no_heat"])
        if why:
            text = f"{part['name']}: {why.text}"
            answers.append(Answer(why.question, why.short, text, anchor, part["name"]))
    return [answer for answer in answers if answer] + [_pushed(evidence)]


def _enough(gate: Sequence[Rule]) -> Answer | None:
    if not gate:
        return None
    failing = [rule for rule in gate if rule.passed is False]
    if failing:
        text = "; ".join(rule.text for rule in failing)
        return Answer("Is it good enough?", "No", f"{text}.", "gate")
    passing = [rule for rule in gate if rule.passed]
    warnings = [rule.text for rule in gate if rule.warns]
    every = "" if warnings else "All "
    many = "The gate's rule holds"
    if len(passing) > 1:
        many = f"{every}{len(passing)} rules of the gate hold"
    first = next((rule for rule in passing if rule.kind == AUC), passing[0]) if passing else None
    text = f"{many}: {first.text}." if first else "No rule of the gate applies."
    short = "Yes"
    if warnings:
        text = f"{text} But the config lets this pass: {'; '.join(warnings)}."
        short = "Yes, with warnings"
    if unjudged := tell_unjudged([dataclasses.asdict(rule) for rule in gate]):
        text = f"{text} Not judged, since too few patients are there: {unjudged}."
        short = f"{short}, but not for all"
    return Answer("Is it good enough?", short, text, "gate")


def _whom(slices: Sequence[Row], gate: Sequence[Rule]) -> Answer | None:
    slices_but_all = [row for row in slices if row.name != OVERALL]
    measurable = [(row, figure) for row in slices_but_all if (figure := row.figures.get(AUC))]
    if not slices:
        return None
    if not measurable:
        why = "every slice is too small to tell" if slices_but_all else "the data tells no slices"
        text = f"How it does by age, sex, view or site is unknown: {why}."
        return Answer("For whom?", "Unknown", text, "slices")
    row, figure = min(measurable, key=lambda pair: pair[1].value)
    text = f"Of {len(measurable)} slices that can be measured, it is weakest on {row.name}: "
    text += f"AUC {figure.value:.3f}{format_interval(figure)}"
    unjudged = {rule.slice for rule in gate if rule.unjudged}
    text += ", of too few patients for the gate to judge." if row.name in unjudged else "."
    few = len(slices_but_all) - len(measurable)
    if few:
        text += f" {few} more {'slice is' if few == 1 else 'slices are'} too small to tell."
    return Answer("For whom?", f"Weakest: {row.name}", text, "slices")


def _sure(slices: Sequence[Row]) -> Answer | None:
    figure = slices[0].figures.get(AUC) if slices else None
    if not figure or figure.low is None or figure.high is None:
        return None
    who = (
        f"{slices[0].images} images of {slices[0].patients} patients"
        if slices[0].patients
        else f"{slices[0].images} images"
    )
    text = f"That is the 95 % interval, on {who} that the model has never seen."
    return Answer("How sure?", f"AUC {figure.low:.3f} to {figure.high:.3f}", text, "figures")


def _wrong(evidence: Evidence, slices: Sequence[Row]) -> Answer | None:
    counts = count_confusion(evidence)
    if not counts:
        return None
    positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    text = f"At a score of {evidence.threshold:.3g} it misses {counts['fn']} of {positives} "
    text += f"{evidence.classes[1]} and raises {counts['fp']} false alarms on {negatives} "
    text += f"{evidence.classes[0]}.{_rates(slices)}"
    short = f"{counts['fn']} missed, {counts['fp']} false alarms"
    return Answer("What does it get wrong?", short, text, "errors")


def _rates(slices: Sequence[Row]) -> str:
    """Sensitivity and specificity of the whole test split, in a sentence after a space."""
    figures = slices[0].figures if slices else {}
    told = [
        f"{name} {figure.value:.3f}{format_interval(figure)}"
        for name in ("sensitivity", "specificity")
        if (figure := figures.get(name))
    ]
    return f" That is {', '.join(told)}." if told else ""


def _why(evidence: Evidence, heat: bool) -> Answer | None:
    table = evidence.heldout_scores
    if table is None or contract.UNLIKE not in table:
        return None
    calls = table[contract.SCORE] >= evidence.threshold
    wrong = calls != (table[contract.LABEL] == 1)
    total, unlike = int(wrong.sum()), int((table[contract.UNLIKE][wrong] == 1).sum())
    rate = float((table[contract.UNLIKE][~wrong] == 1).mean()) if total < len(table) else 0.0
    text = "The heat maps below show where it looked. " if heat else ""
    text += f"{unlike} of the {total} images it gets wrong look unlike the training images, and "
    text += f"{rate:.1%} of those it gets right."
    if not total:
        short = "No errors to explain"
    elif unlike > rate * total + 1:
        short = "Its errors look unusual"
    else:
        short = "Its errors look ordinary"
    return Answer("Why?", short, text, "errors")


def _pushed(evidence: Evidence) -> Answer:
    summary = evidence.summary
    if summary["status"] == "pushed":
        return Answer("Was it pushed?", "Yes", str(summary.get("pushed_model") or ""), "run")
    reason = str(summary.get("reason") or "The run ended early.")
    return Answer("Was it pushed?", "No", reason, "gate" if evidence.results else "checks")


def format_interval(figure: Figure | None, digits: int = 3) -> str:
    """A figure's interval in brackets, after a space; empty where it has none."""
    if not figure or figure.low is None or figure.high is None:
        return ""
    return f" [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
