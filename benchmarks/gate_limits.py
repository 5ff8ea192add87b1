"""How often does the gate refuse by chance, and what does it find?

Scores are drawn whose AUC is known, one image per patient. Prints the tables that stand in
benchmarks/GATE.md.

    python benchmarks/gate_limits.py
"""

import math

import numpy as np
from scipy import stats

from tfxray.components.metrics import intervals

PATIENTS = (100, 500, 5000)
# How many test splits are drawn of each size.
PAIRED_DRAWS = {100: 4000, 500: 2000, 5000: 400}
OTHER_DRAWS = {100: 2000, 500: 500, 5000: 100}
# Of the scores of two models within a class: much alike, and less so.
CORRELATIONS = (0.9, 0.6)
MAX_DROP = 0.02  # gate.auc.max_drop
LIMITS = (0.0, 0.02, 0.05, 0.1)  # of gate.label_shift.max_drop
SWAPPED = (0.05, 0.1, 0.25, 0.5, 1.0)


def distance(auc: float) -> float:
    """Standard deviations between the classes' scores that make an AUC."""
    return math.sqrt(2) * float(stats.norm.ppf(auc))


def draw_labels(patients: int, prevalence: float, rng: np.random.Generator) -> np.ndarray:
    """Labels with so many positives, [n]."""
    return rng.permutation(np.arange(patients) < round(patients * prevalence)).astype(int)


def draw_scores(labels: np.ndarray, auc: float, rng: np.random.Generator) -> np.ndarray:
    """A model's scores, [n]."""
    return distance(auc) * labels + rng.normal(size=len(labels))


def refused_pairs(
    patients: int, correlation: float, second_auc: float, rng: np.random.Generator
) -> dict[str, float]:
    """How often a model is refused beside one of AUC 0.95 on the same images, by each way."""
    refused = dict.fromkeys(("lower", "value", "significant", "upper"), 0)
    everyone = np.arange(patients)
    for _ in range(PAIRED_DRAWS[patients]):
        labels = draw_labels(patients, 0.5, rng)
        shared = math.sqrt(correlation) * rng.normal(size=patients)
        own = math.sqrt(1 - correlation) * rng.normal(size=(2, patients))
        before, after = (
            distance(auc) * labels + shared + noise
            for auc, noise in zip((0.95, second_auc), own, strict=True)
        )
        difference = intervals.auc_difference(labels, after, before, everyone)
        assert difference is not None
        refused["lower"] += difference.low < -MAX_DROP
        refused["value"] += difference.value < -MAX_DROP
        refused["significant"] += difference.value < -MAX_DROP and difference.high < 0
        refused["upper"] += difference.high < -MAX_DROP
    return {way: count / PAIRED_DRAWS[patients] for way, count in refused.items()}


def found_shifts(
    patients: int,
    rng: np.random.Generator,
    auc: float = 0.95,
    new_auc: float | None = None,
    prevalence: float = 0.5,
    swapped: float = 0.0,
) -> list[float]:
    """How often a new test split is taken for one of other labels, by each of LIMITS."""
    found = np.zeros(len(LIMITS))
    everyone = np.arange(patients)
    for _ in range(OTHER_DRAWS[patients]):
        labels = draw_labels(patients, 0.5, rng)
        before = intervals.auc(labels, draw_scores(labels, auc, rng), everyone)
        labels = draw_labels(patients, prevalence, rng)
        scores = draw_scores(labels, new_auc or auc, rng)
        turned = rng.permutation(patients) < round(patients * swapped)
        now = intervals.auc(np.where(turned, 1 - labels, labels), scores, everyone)
        assert before is not None
        assert now is not None
        change = intervals.difference(now, before)
        found += [change.high < -limit for limit in LIMITS]
    return list(found / OTHER_DRAWS[patients])


def print_table(columns: list[str], rows: dict[str, list[float]]) -> None:
    """Prints shares as a table."""
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, shares in rows.items():
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |", flush=True)


def main() -> None:
    """Prints the tables."""
    rng = np.random.default_rng(17)
    ways = ("lower", "value", "significant", "upper")
    rows = {}
    for second_auc in (0.95, 0.9):
        for correlation in CORRELATIONS:
            for patients in PATIENTS:
                shares = refused_pairs(patients, correlation, second_auc, rng)
                rows[f"{second_auc} | {correlation} | {patients}"] = [shares[w] for w in ways]
    print_table(["AUC", "correlation", "patients", *ways], rows)
    cases: dict[str, dict[str, float]] = {
        "the same population": {},
        "the same, AUC 0.85": {"auc": 0.85},
        "the same, AUC 0.99": {"auc": 0.99},
        "a quarter positive": {"prevalence": 0.25},
        "a tenth positive": {"prevalence": 0.1},
        "a harder population, AUC 0.90": {"new_auc": 0.9},
        "a harder population, AUC 0.80": {"new_auc": 0.8},
        **{f"{share:.0%} of the labels swapped": {"swapped": share} for share in SWAPPED},
        "10% swapped, AUC 0.85": {"auc": 0.85, "swapped": 0.1},
        "25% swapped, AUC 0.85": {"auc": 0.85, "swapped": 0.25},
    }
    rows = {
        f"{name} | {patients}": found_shifts(patients, rng, **case)
        for name, case in cases.items()
        for patients in PATIENTS
    }
    print_table(["new test split", "patients", *(f"limit {limit:g}" for limit in LIMITS)], rows)


if __name__ == "__main__":
    main()
