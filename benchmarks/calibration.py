"""What does a bias beside the temperature gain, and what does it cost where none is needed?

Draws logits of two classes, normal in each, so that the true chances are known; makes them too
sure (a temperature of 1.7) and too low by a shift; fits on a validation split of n images; and
measures on 50,000 fresh ones.

    python benchmarks/calibration.py

Prints the table that stands in benchmarks/CALIBRATION.md.
"""

import numpy as np
from scipy import special
from sklearn import metrics

from tfxray.components.metrics import calibration
from tfxray.components.trainer.scaling import Scaling, fit_scaling

DRAWS, FRESH, SEPARATION = 100, 50_000, 2.0
WAYS = ("none", "temperature", "platt")


def draw_logits(rng: np.random.Generator, count: int, share: float) -> tuple[np.ndarray, ...]:
    """True logits of so many images, and their labels; at least five of each class."""
    labels = (rng.random(count) < share).astype(int)
    labels[:10] = np.arange(10) % 2
    middle = np.where(labels, 1, -1) * SEPARATION**2 / 2
    return rng.normal(middle, SEPARATION) + special.logit(share), labels


def measure(scaling: Scaling, logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The log loss and the calibration error of fresh images."""
    scores = scaling.apply(special.expit(logits)[:, np.newaxis])[:, 0]
    return float(metrics.log_loss(labels, scores)), calibration.expected_error(labels, scores)


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    ways = " | ".join(f"{way}: loss, error" for way in WAYS)
    print(f"| positive | images | shift | {ways} | biases fitted |")
    print("|---|---|---|" + "---|" * (len(WAYS) + 1))
    for share in (0.5, 0.1):
        fresh, labels = draw_logits(rng, FRESH, share)
        best = float(metrics.log_loss(labels, special.expit(fresh)))
        for images in (100, 300, 1000):
            for shift in (0.0, 0.5, 1.5):
                rows, biased = [], 0
                for _ in range(DRAWS):
                    own, own_labels = draw_logits(rng, images, share)
                    scores = special.expit((own - shift) * 1.7)[:, np.newaxis]
                    row = []
                    for way in WAYS:
                        fitted = np.ones(1, bool)
                        truth = own_labels[:, np.newaxis]
                        scaling = fit_scaling(scores, truth, fitted, False, way)
                        row.append(measure(scaling, (fresh - shift) * 1.7, labels))
                    biased += bool(scaling.biases.any())
                    rows.append(row)
                cells = " | ".join(
                    f"{loss - best:+.4f}, {error:.3f}" for loss, error in np.mean(rows, axis=0)
                )
                print(f"| {share:.0%} | {images} | {shift} | {cells} | {biased} % |", flush=True)


if __name__ == "__main__":
    main()
