"""What a run left behind, as the page reads it; whatever is missing is None or empty."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.evaluator.gate import read_verdicts
from tfxray.components.evaluator.heldout_scores import read_scores
from tfxray.components.evaluator.results import Results, read_results
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

    @property
    def threshold(self) -> float:
        """The operating point: a score that reaches it is called positive."""
        return float(self.operating_point.get("threshold", 0.5))

    @property
    def classes(self) -> tuple[str, str]:
        """The negative and the positive class."""
        names = self.config.get("classes") or ("0", "1")
        return str(names[0]), str(names[1])

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
    table, unscored = read_scores(evaluation) if evaluation else None, 0
    if table is not None:
        finite = np.isfinite(table[contract.SCORE].to_numpy(float))
        table, unscored = table[finite].reset_index(drop=True), int((~finite).sum())
    return Evidence(
        summary=summary,
        config=yaml.safe_load(config) or {},
        uris=uris,
        # Of an evaluation that broke off, the scores may be all there is.
        results=read_results(evaluation)
        if evaluation and any(n.startswith("metrics") for n in artifacts.list_folder(evaluation))
        else None,
        heldout_scores=table if table is not None and len(table) else None,
        unscored=unscored,
        gate=read_verdicts(evaluation) if evaluation else {},
        operating_point=artifacts.read_training_file(uris, filenames.OPERATING_POINT),
        history=artifacts.read_training_file(uris, filenames.HISTORY),
        network=artifacts.read_training_file(uris, filenames.NETWORK),
        site_transfer=artifacts.read_training_file(uris, filenames.SITE_TRANSFER),
        counts=count_splits(statistics) if statistics else {},
    )
