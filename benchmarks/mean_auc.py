"""Does the interval of a mean AUC hold what it should, and is it as narrow as it may be?

Draws test splits of 14 findings: one to three images per patient, scores that share a part between
an image's findings and another between a patient's images, one label of ten unknown. The true AUC
of each finding is known.

    python benchmarks/mean_auc.py

Prints the table that stands in benchmarks/INTERVALS.md.
"""

import numpy as np
from scipy import stats

from tfxray.components.metrics import intervals

DRAWS, AUC = 1000, 0.85
SHARES = np.geomspace(0.4, 0.05, 14)  # of the images with each finding
SIZES = (100, 500)  # patients
SHARED = (0.0, 0.3, 0.6)  # of a score's variance: between the findings of an image
WITHIN = 0.3  # and between the images of a patient


def draw_split(
    rng: np.random.Generator, patients: int, shared: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and scores [n, 14], and whose image each is [n]."""
    owners = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    shape = (len(owners), len(SHARES))
    labels = (rng.random((patients, len(SHARES))) < SHARES).astype(int)[owners]
    own = max(0.0, 1 - shared - WITHIN)
    noise = np.sqrt(shared) * rng.normal(size=(len(owners), 1))
    noise = noise + np.sqrt(min(WITHIN, 1 - shared)) * rng.normal(size=(patients, 14))[owners]
    noise = noise + np.sqrt(own) * rng.normal(size=shape)
    scores = np.sqrt(2) * stats.norm.ppf(AUC) * labels + noise
    return np.where(rng.random(shape) < 0.1, -1, labels), scores, owners


def as_if_apart(labels: np.ndarray, scores: np.ndarray, owners: np.ndarray) -> tuple[float, float]:
    """The interval as if findings were independent, from those of each."""
    each = [
        intervals.mean_auc(labels[:, [k]], scores[:, [k]], owners) for k in range(labels.shape[1])
    ]
    each = [estimate for estimate in each if estimate]
    middle = float(np.mean([estimate.value for estimate in each]))
    half = np.sqrt(sum((e.high - e.low) ** 2 for e in each)) / 2 / len(each)
    return middle - half, middle + half


def main() -> None:
    """Prints the table."""
    print("| patients | shared | width / true | holds | as if apart: width / true | holds |")
    print("|" + "---|" * 6)
    for patients in SIZES:
        for shared in SHARED:
            rng = np.random.default_rng(patients)
            values, ours, apart = [], [], []
            for _ in range(DRAWS):
                split = draw_split(rng, patients, shared)
                estimate = intervals.mean_auc(*split)
                assert estimate is not None
                values.append(estimate.value)
                ours.append((estimate.low, estimate.high))
                apart.append(as_if_apart(*split))
            true_width = 2 * stats.norm.ppf(0.975) * float(np.std(values))
            cells = []
            for ends in (np.array(ours), np.array(apart)):
                width = float(np.mean(ends[:, 1] - ends[:, 0])) / true_width
                holds = float(np.mean((ends[:, 0] <= AUC) & (ends[:, 1] >= AUC)))
                cells += [f"{width:.2f}", f"{holds:.1%}"]
            print(f"| {patients} | {shared:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
