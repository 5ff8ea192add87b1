"""Reads what Evaluator wrote: figures per slice, the blessing, its reasons, the gate's rules."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import tensorflow_model_analysis as tfma
from sklearn.metrics import log_loss

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import gate, heldout_scores
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.metrics import intervals
from tfxray.components.metrics.split_metrics import FINDINGS

OVERALL = "all"
_NAMED = 5  # of what was not judged, so many are named
_COUNTS = (
    "example_count",
    "true_positives",
    "false_positives",
    "true_negatives",
    "false_negatives",
)
# Trainer's figures of a split, and what TFMA calls the same.
_SPLIT_FIGURES = {
    name: name for name in ("auc", "precision", "accuracy", "cross_entropy", *_COUNTS[1:])
} | {"recall": "sensitivity"}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A metric's value with its 95 % interval, where TFMA gave one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Slice:
    """The metrics of one slice.

    Attributes:
        name: `all`, or `study/site: north`.
        figures: By metric name; None where the slice cannot have it (AUC with one class only).
        images: How many.
        positives: How many of the last class.
    """

    name: str
    figures: dict[str, Figure | None]
    images: int
    positives: int


@dataclasses.dataclass(frozen=True)
class Results:
    """Evaluator's results.

    Attributes:
        slices: The whole test split first. Of several classes or findings, empty.
        by_finding: Of several classes or findings, those of each by its name.
        blessed: Whether the model may be pushed.
        reasons: Why not, one line each.
        compared: Whether the latest blessed model scored the same images.
        rules: The gate's, as `gate.Rule`'s fields.
    """

    slices: list[Slice]
    by_finding: dict[str, list[Slice]]
    blessed: bool
    reasons: list[str]
    compared: bool
    rules: list[dict[str, Any]]

    def of(self, finding: str) -> "Results":
        """The results of one of several classes or findings, as of two classes."""
        rules = [rule for rule in self.rules if rule.get("finding", "") == finding]
        slices = self.by_finding.get(finding, [])
        return dataclasses.replace(self, slices=slices, by_finding={}, rules=rules)

    @property
    def of_test(self) -> dict[str, Any]:
        """The whole test split's figures, by Trainer's names; see `split_metrics`."""
        figures = self.slices[0].figures if self.slices else {}
        by_name = {name: figures.get(metric) for name, metric in _SPLIT_FIGURES.items()}
        values: dict[str, Any] = {name: figure.value for name, figure in by_name.items() if figure}
        values |= {"auc": self.auc.value} if self.auc else {}
        if self.by_finding:
            of_each = {name: self.of(name).of_test for name in self.by_finding}
            for key in ("accuracy", "cross_entropy"):
                known = [of_one[key] for of_one in of_each.values() if key in of_one]
                values |= {key: sum(known) / len(known)} if known else {}
            values[FINDINGS] = of_each
        return values

    @property
    def auc(self) -> Figure | None:
        """The AUC of the whole test split, as the gate has it: exact, its interval by patient.

        TFMA's is an approximation, as near as its resolution: two figures for one thing.
        """
        # Of one finding alone, the gate may ask no AUC: TFMA's is then all there is.
        rule = next((rule for rule in self.rules if rule["rule"] == AUC), None)
        if rule and rule["figure"] is not None:
            return Figure(rule["figure"], rule["low"], rule["high"])
        return self.slices[0].figures.get(AUC) if self.slices else None


def read_results(evaluation: str, task: Task) -> Results:
    """Reads Evaluator's `evaluation` artifact.

    Args:
        evaluation: Its folder.
        task: What is asked.
    """
    metrics = list(tfma.load_metrics(evaluation))
    scores = heldout_scores.read_scores(evaluation)
    by_finding: dict[str, list[Slice]] = {}
    for name in task.judged:
        outputs = {
            heldout_scores.score_column(task, name), heldout_scores.positive_output(task, name)
        }  # fmt: skip
        slices = [_slice(of_slice, outputs) for of_slice in metrics]
        by_finding[name] = sorted(slices, key=lambda s: (s.name != OVERALL, s.name))
        if scores is not None and not task.binary:
            by_finding[name][0].figures["cross_entropy"] = _cross_entropy(scores, task, name)
    result = tfma.load_validation_result(evaluation)
    verdicts = gate.read_verdicts(evaluation)
    reasons = [rule["text"] for rule in verdicts.get("rules", []) if rule["passed"] is False]
    if not reasons and not result.validation_ok:
        reasons = _reasons(result)
    return Results(
        slices=by_finding.pop(task.judged[0]) if task.binary else [],
        by_finding=by_finding,
        blessed=not reasons,
        reasons=reasons,
        compared=verdicts.get("baseline", {}).get("state") == "compared",
        rules=verdicts.get("rules", []),
    )


def tell_findings(
    evaluation: str, task: Task, thresholds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """What the held-out images say of each of several classes or findings.

    Args:
        evaluation: See `read_results`.
        task: What is asked.
        thresholds: The operating point of each.

    Returns:
        By name: `auc` and `auc_interval` (None where a class is missing), `positives`, `negatives`,
        `unknown` (images) and `operating_point`. Empty where nothing was scored.
    """
    scores = heldout_scores.read_scores(evaluation)
    if scores is None:
        return {}
    told: dict[str, dict[str, Any]] = {}
    for name in task.judged:
        view = heldout_scores.view(scores, task, name)
        labels = view[contract.LABEL].to_numpy()
        auc = intervals.auc(labels, view[contract.SCORE].to_numpy(), view[contract.PATIENT])
        told[name] = {
            "auc": auc.value if auc else None,
            "auc_interval": [auc.low, auc.high] if auc else None,
            "positives": int((labels == 1).sum()),
            "negatives": int((labels == 0).sum()),
            "unknown": len(scores) - len(view),
            "operating_point": thresholds[name],
        }
    return told


def _slice(
    metrics: tfma.proto.metrics_for_slice_pb2.MetricsForSlice, outputs: Collection[str]
) -> Slice:
    parts = [f"{key.column}: {_value(key)}" for key in metrics.slice_key.single_slice_keys]
    raw: dict[str, Figure] = {}
    for metric in metrics.metric_keys_and_values:
        if metric.key.output_name not in outputs:
            continue
        value = metric.value.double_value.value
        if metric.value.WhichOneof("type") == "bounded_value":
            value = metric.value.bounded_value.value.value
        interval = metric.confidence_interval
        has_interval = metric.HasField("confidence_interval")
        raw[metric.key.name] = Figure(
            value,
            interval.lower_bound.double_value.value if has_interval else None,
            interval.upper_bound.double_value.value if has_interval else None,
        )
    counts = {name: raw[name].value if name in raw else 0.0 for name in _COUNTS[1:]}
    positives = round(counts["true_positives"] + counts["false_negatives"])
    images = positives + round(counts["false_positives"] + counts["true_negatives"])
    figures: dict[str, Figure | None] = {
        name: _defined(name, figure, images, positives) for name, figure in raw.items()
    }
    return Slice(" & ".join(parts) or OVERALL, figures, images, positives)


def _cross_entropy(scores: pd.DataFrame, task: Task, name: str) -> Figure | None:
    view = heldout_scores.view(scores, task, name)
    if view.empty:
        return None
    value = log_loss(view[contract.LABEL], view[contract.SCORE], labels=[0, 1])
    return Figure(float(value))


def _value(key: tfma.proto.metrics_for_slice_pb2.SingleSliceKey) -> str:
    kind = key.WhichOneof("kind")
    value = getattr(key, kind) if kind else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _defined(name: str, figure: Figure, images: int, positives: int) -> Figure | None:
    """A slice of one class has no AUC, whatever number TFMA gives."""
    needs = {
        AUC: 0 < positives < images,
        "prauc": 0 < positives < images,
        "sensitivity": positives > 0,
        "specificity": positives < images,
    }
    if not needs.get(name, True) or not math.isfinite(figure.value):
        return None
    low, high = figure.low, figure.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return Figure(figure.value)
    most = images if name in _COUNTS else math.inf if name == "cross_entropy" else 1.0
    return Figure(figure.value, max(0.0, low), min(float(most), high))


def _reasons(result: tfma.ValidationResult) -> list[str]:
    reasons = []
    for for_slice in result.metric_validations_per_slice:
        for failure in for_slice.failures:
            value = failure.metric_value.double_value.value
            if failure.metric_value.WhichOneof("type") == "bounded_value":
                value = failure.metric_value.bounded_value.value.value
            limit = failure.metric_threshold.value_threshold.lower_bound.value
            reasons.append(
                f"{failure.metric_key.name.upper()} {value:.4f} is below the threshold {limit}"
            )
    if result.missing_slices:
        reasons.append("the test split is empty")
    return reasons or ["the gate's metric is missing from the evaluation"]


def tell_unjudged(rules: Sequence[Mapping[str, Any]]) -> str:
    """What the gate could not judge, in a few words; empty where it has judged all.

    Args:
        rules: With the fields of a `rules.Rule`.
    """
    some = [rule for rule in rules if rule.get("unjudged")]
    # A finding that lacks patients is told once, and not again in each slice.
    names = dict.fromkeys(r["finding"] for r in some if r["finding"] and r["slice"] == OVERALL)
    slices = dict.fromkeys(r["slice"] for r in some if not r["finding"] and r["slice"] != OVERALL)
    of_one = sum(
        bool(r["finding"]) and r["slice"] not in slices and r["finding"] not in names
        for r in some
        if r["slice"] != OVERALL
    )
    listed = [*names, *slices]
    parts = listed[:_NAMED] + [f"{len(listed) - _NAMED} more"] * (len(listed) > _NAMED)
    if of_one:
        parts.append(f"{of_one} slices of single findings")
    return ", ".join(parts)
