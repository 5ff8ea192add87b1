"""Do TFMA's intervals of the AUC agree with DeLong's, and which of them is right?

Scores are drawn whose AUC is known, one image per patient: then DeLong's interval is the one that
`intervals.auc` widens for patients with several images. Prints the table that stands in
benchmarks/INTERVALS.md.

    python benchmarks/intervals.py
"""

import tempfile

import numpy as np
import pandas as pd
import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import BoolValue
from scipy import stats
from tensorflow_model_analysis.proto import config_pb2

from tfxray.components.common import contract
from tfxray.components.evaluator import eval_config
from tfxray.components.metrics import intervals

# Images of a test split, how many such splits are drawn, and how many of them TFMA gets: it takes
# seconds for each.
SIZES = (150, 1000)
DRAWS, BY_TFMA = 200, 24
PARTS = (20, 50, 100)
APART = 2.33  # standard deviations between the classes' logits: an AUC of 0.95
WITHIN = 0.2
DRAW = "draw"


def draw_split(images: int, rng: np.random.Generator) -> pd.DataFrame:
    """A test split: labels, and the scores that a calibrated model would give."""
    labels = rng.permutation(np.arange(images) % 2)
    # The log odds of a normal logit at either side of 0.
    logits = APART * (rng.normal(size=images) + APART * (labels - 0.5))
    return pd.DataFrame({contract.LABEL: labels, contract.SCORE: 1 / (1 + np.exp(-logits))})


def by_tfma(splits: list[pd.DataFrame], method: int) -> np.ndarray:
    """TFMA's widths: the splits are slices of one table, and each slice has its own."""
    table = pd.concat([split.assign(**{DRAW: n}) for n, split in enumerate(splits)])
    config = eval_config.make_eval_config([DRAW], 0.0)
    config.model_specs[0].ClearField("signature_name")
    config.model_specs[0].ClearField("label_keys")
    config.model_specs[0].label_key = contract.LABEL
    config.model_specs[0].prediction_key = contract.SCORE
    config.options.compute_confidence_intervals.CopyFrom(BoolValue(value=True))
    config.options.confidence_intervals.method = method
    auc = tfma.metrics.AUC(name=eval_config.AUC, num_thresholds=eval_config.AUC_THRESHOLDS)
    del config.metrics_specs[:]
    config.metrics_specs.extend(tfma.metrics.specs_from_metrics([auc]))
    widths = np.full(len(splits), np.nan)
    with tempfile.TemporaryDirectory() as folder:
        tfma.analyze_raw_data(table, config, output_path=folder)
        for metrics in tfma.load_metrics(folder):
            keys = metrics.slice_key.single_slice_keys
            if keys:
                values = {item.key.name: item for item in metrics.metric_keys_and_values}
                interval = values[eval_config.AUC].confidence_interval
                high, low = interval.upper_bound.double_value, interval.lower_bound.double_value
                widths[keys[0].int64_value] = high.value - low.value
    return widths


def jackknife(split: pd.DataFrame, parts: int, rng: np.random.Generator) -> float:
    """The width by TFMA's own steps (its evaluators/jackknife.py), with any number of parts."""
    part = rng.integers(parts, size=len(split))
    whole = weighted_auc(split, np.ones((1, len(split))))
    aucs = weighted_auc(split, part != np.arange(parts)[:, np.newaxis])
    pseudo = parts * whole - (parts - 1) * aucs
    return float(2 * stats.t.ppf(0.975, parts - 1) * pseudo.std(ddof=1) / np.sqrt(parts))


def bootstrap(split: pd.DataFrame, rng: np.random.Generator, draws: int = 500) -> float:
    """The width of the middle 95 % of so many draws with replacement."""
    size = len(split)
    low, high = np.quantile(
        weighted_auc(split, rng.multinomial(size, np.full(size, 1 / size), draws)), (0.025, 0.975)
    )
    return float(high - low)


def weighted_auc(split: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """The AUC [k] of a split whose images count as often as weights [k, n] say."""
    ill = split[contract.LABEL].to_numpy() == 1
    scores, weights = split[contract.SCORE].to_numpy(), weights.astype(float)
    # Weights are counts of images; scores hold no ties.
    in_order = (scores[ill][:, np.newaxis] > scores[~ill]).astype(float)
    areas = ((weights[:, ill] @ in_order) * weights[:, ~ill]).sum(1)
    return areas / weights[:, ill].sum(1) / weights[:, ~ill].sum(1)


def delong(split: pd.DataFrame) -> tuple[float, float]:
    """The width of DeLong's interval around the AUC, and of ours, on the logit scale."""
    labels, scores = split[contract.LABEL].to_numpy(), split[contract.SCORE].to_numpy()
    patients = np.arange(len(split))
    # The paired difference from a model that says nothing is the AUC less a half, unscaled.
    difference = intervals.auc_difference(labels, scores, np.zeros(len(split)), patients)
    own = intervals.auc(labels, scores, patients)
    assert difference is not None
    assert own is not None
    return difference.high - difference.low, own.high - own.low


def main() -> None:
    """Prints the table."""
    print("| images | interval | splits | width / DeLong's | spread of that | within 20 % |")
    print("|" + "---|" * 6)
    methods = config_pb2.ConfidenceIntervalOptions
    for images in SIZES:
        rng = np.random.default_rng(images)
        splits = [draw_split(images, rng) for _ in range(DRAWS)]
        delong_widths, own_widths = np.transpose([delong(split) for split in splits])
        # What intervals estimate: how much the AUC of such a split varies.
        aucs = [weighted_auc(draw_split(images, rng), np.ones((1, images)))[0] for _ in range(2000)]
        true_width = 2 * stats.norm.ppf(0.975) * float(np.std(aucs))
        widths_by_interval = {
            "TFMA's jackknife": by_tfma(splits[:BY_TFMA], methods.JACKKNIFE),
            "TFMA's Poisson bootstrap": by_tfma(splits[:BY_TFMA], methods.POISSON_BOOTSTRAP),
            **{
                f"jackknife, {parts} parts": np.array([jackknife(s, parts, rng) for s in splits])
                for parts in PARTS
            },
            "bootstrap, 500 draws": np.array([bootstrap(s, rng) for s in splits]),
            "ours (`intervals.auc`)": own_widths,
            "what the AUC varies by": np.full(DRAWS, true_width),
        }
        for name, widths in widths_by_interval.items():
            ratio = widths / delong_widths[: len(widths)]
            near = float(np.mean(np.abs(ratio - 1) <= WITHIN))
            figures = f"{ratio.mean():.2f} | {ratio.std():.2f} | {near:.0%}"
            print(f"| {images} | {name} | {len(widths)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
