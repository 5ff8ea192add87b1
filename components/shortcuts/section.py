"""The page's section on shortcuts, and the lines of the model card, in plain words."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfxray.components.shortcuts import shortcut_report, strata
from tfxray.components.shortcuts.association import TOGETHER

_Fields = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
    """What is told of one class or finding.

    Attributes:
        finding: Its name.
        associations: The fields of each `association.Association`, and `beyond`, whether it may be
            a shortcut.
        comparisons: The fields of each `strata.Comparison`.
        lines: What follows from both, in sentences; none where no trait may be a shortcut.
    """

    finding: str
    associations: list[dict[str, Any]]
    comparisons: list[_Fields]
    lines: list[str]


@dataclasses.dataclass(frozen=True)
class Section:
    """The section.

    Attributes:
        parts: One per class or finding; none where nothing was checked, or nothing varies.
        probe: The fields of a `probe.Probe`; empty where the training left none.
        least: How many patients of each class a stratum needs.
    """

    parts: list[Part]
    probe: _Fields
    least: int


def make_section(
    associations: Sequence[_Fields],
    comparisons: Sequence[_Fields],
    probe: _Fields,
    findings: Sequence[str],
    least: int,
) -> Section:
    """Puts together what DataGate, Evaluator and Trainer left.

    Args:
        associations: DataGate's; see `shortcut_report.read_found`.
        comparisons: Evaluator's, likewise.
        probe: Trainer's.
        findings: What the model tells, in order.
        least: See `Section`.
    """
    parts = []
    for finding in findings:
        own = [
            {**one, "beyond": one["auc"]["value"] > one["limit"]}
            for one in associations
            if one["finding"] == finding
        ]
        beside = [one for one in comparisons if one["finding"] == finding]
        if own or beside:
            by_trait = {one["trait"]: one for one in beside}
            # What is single can be looked at, and mended.
            beyond = sorted(
                (one for one in own if one["beyond"]), key=lambda one: one["trait"] == TOGETHER
            )
            lines = [_tell(one, by_trait.get(one["trait"])) for one in beyond]
            parts.append(Part(finding, own, beside, lines))
    return Section(parts, probe, least)


def _tell(association: _Fields, comparison: _Fields | None) -> str:
    text = (
        f"{shortcut_report.name_trait(association['trait'])} tells {association['finding']} with "
        f"AUC {association['auc']['value']:.2f} in these data, so that a model may learn it in the "
        "place of the disease."
    )
    text = text[0].upper() + text[1:] if association["trait"] == TOGETHER else text
    if comparison is None:
        return f"{text} Whether this model did is not known."
    figures = (
        f"AUC {comparison['model']['value']:.2f} against {comparison['alone']['value']:.2f} on the "
        f"same held-out images, a difference of {_figure(comparison['difference'])}"
    )
    judged = [one for one in comparison["strata"] if one["auc"]]
    within = ", ".join(f"within {one['value']} {_figure(one['auc'])}" for one in judged)
    within = f" Among images that share it: {within}." if within else ""
    weak = [one["value"] for one in judged if one["auc"]["low"] <= 0.5]
    verdicts = {
        strata.BETTER: f"The model is better than that: {figures}.",
        strata.NOT_EVERYWHERE: f"The model is better than that over all images: {figures}. But "
        f"within {', '.join(weak)}, nothing shows that it is better than chance.",
        strata.NOT_SHOWN: f"Nothing shows that the model is better than that: {figures}.",
        strata.UNJUDGED: f"The held-out patients are too few to say whether the model is better: "
        f"{figures}.",
    }
    return f"{text} {verdicts[comparison['verdict']]}{within}"


def _figure(estimate: _Fields) -> str:
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"
