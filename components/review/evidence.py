"""What a run left behind, as the page reads it; whatever is missing is None or empty."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tfxray.components.common import artifacts, filenames
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.gate import read_verdicts
from tfxray.components.evaluator.results import Results, read_results
from tfxray.components.metrics.split_metrics import FINDINGS
from tfxray.components.validation.statistics import SplitCounts, count_splits

MIN_PATIENTS = 10


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a run left behind.

    Attributes:
        summary: The fields of its summary.
        config: Its resolved configuration.
        uris: Folders of its artifacts, as `StatisticsGen.statistics`.
        results: Evaluator's, where there was an evaluation.
        heldout_scores: See `heldout_scores.read_scores`; those that are finite.
        unscored: How many are not.
        gate: `rules` and `baseline`, as Evaluator wrote them.
        operating_point: Threshold and temperature, as Trainer wrote them.
        history: The training's, by figure.
        network: The fields of a `summary.Network`.
        site_transfer: How sites carry to each other: the fields of a `site_transfer.Table`.
        counts: How much each split holds.
        task: What was asked.
        finding: The one of several classes or findings that is looked at; empty for all together.
    """

    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    uris: Mapping[str, str]
    results: Results | None
    heldout_scores: pd.DataFrame | None
    unscored: int
    gate: Mapping[str, Any]
    operating_point: Mapping[str, Any]
    history: Mapping[str, list[float]]
    network: Mapping[str, Any]
    site_transfer: Mapping[str, Any]
    counts: Mapping[str, SplitCounts]
    task: Task
    finding: str = ""

    def of(self, finding: str) -> "Evidence":
        """What the run left behind of one of several classes or findings, as of two classes."""
        table, points = self.heldout_scores, self.operating_point
        if table is not None:
            table = heldout_scores.view(table, self.task, finding)
        rules = self.gate.get("rules", [])
        return dataclasses.replace(
            self,
            results=self.results.of(finding) if self.results else None,
            heldout_scores=table if table is not None and len(table) else None,
            gate={**self.gate, "rules": [r for r in rules if r.get("finding") == finding]},
            operating_point={**points.get(FINDINGS, {}).get(finding, {}), **_without(points)},
            finding=finding,
        )

    @property
    def threshold(self) -> float:
        """The operating point: a score that reaches it is called positive."""
        return float(self.operating_point.get("threshold", 0.5))

    @property
    def classes(self) -> tuple[str, str]:
        """The negative and the positive class; of one finding, its absence and its presence."""
        if self.finding:
            without = "not" if self.task.exclusive else "no"
            return f"{without} {self.finding}", self.finding
        return self.task.names[0], self.task.names[-1]

    @property
    def slices(self) -> list[str | list[str]]:
        """The features to slice by; a list within crosses some."""
        return self.config.get("evaluate", {}).get("slices") or []

    @property
    def min_patients(self) -> int:
        """A slice of fewer patients has no figures."""
        return int(self.config.get("evaluate", {}).get("min_patients", MIN_PATIENTS))


def read_evidence(summary: Mapping[str, Any], config: str, uris: Mapping[str, str]) -> Evidence:
    """Reads the artifacts that there are.

    Args:
        summary: The fields of a run's summary.
        config: The resolved configuration, in YAML.
        uris: Folders of the run's artifacts.
    """
    evaluation = uris.get("Evaluator.evaluation")
    statistics = uris.get("StatisticsGen.statistics")
    settings = yaml.safe_load(config) or {}
    task = Task.of({"classes": ("0", "1"), **settings})
    table, unscored = heldout_scores.read_scores(evaluation) if evaluation else None, 0
    if table is not None:
        finite = np.isfinite(heldout_scores.matrices(table, task)[1]).all(1)
        table, unscored = table[finite].reset_index(drop=True), int((~finite).sum())
    return Evidence(
        summary=summary,
        config=settings,
        uris=uris,
        # Of an evaluation that broke off, the scores may be all there is.
        results=read_results(evaluation, task)
        if evaluation and any(n.startswith("metrics") for n in artifacts.list_folder(evaluation))
        else None,
        heldout_scores=table if table is not None and len(table) else None,
        unscored=unscored,
        gate=read_verdicts(evaluation) if evaluation else {},
        operating_point=artifacts.read_training_file(uris, filenames.OPERATING_POINT),
        history=artifacts.read_training_file(uris, filenames.HISTORY),
        network=artifacts.read_training_file(uris, filenames.NETWORK),
        site_transfer=artifacts.read_training_file(uris, filenames.SITE_TRANSFER),
        counts=count_splits(statistics, task) if statistics else {},
        task=task,
    )


def _without(points: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for all findings."""
    return {name: value for name, value in points.items() if name != FINDINGS}
