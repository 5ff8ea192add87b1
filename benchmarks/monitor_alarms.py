"""Does `tfxray monitor` alarm where it should, and nowhere else? Is its estimated AUC right?

A model is trained on drawn X-rays. Months are drawn, by patient, from other drawn X-rays that it
has scored, as they are or with a change, and judged as the command judges them.

    python benchmarks/monitor_alarms.py FOLDER [alarms|estimates]

FOLDER keeps the run and the scores, so that a second call begins with the months. Prints the
tables of benchmarks/MONITOR.md, or one of them.
"""

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import AGE, LABEL, MEAN, PATIENT, SEX, SHARPNESS, SITE, STD
from tfxray.components.ingest import job
from tfxray.components.metrics import intervals
from tfxray.components.monitor import verdict
from tfxray.components.predict import batch_job, pushed_model
from tfxray.components.sample import draw
from tfxray.components.source import labelling
from tfxray.components.text import tables
from tfxray.components.watch import reference as references
from tfxray.components.watch import scored
from tfxray.pipeline.cli.main import main as tfxray

MONTHS = 200
SIZES = (200, 1000)
NAME = draw.PNEUMONIA
POOL = 6000
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "brighter": lambda pixels: np.clip(pixels.astype(float) + 25, 0, 255),
    "negatives": lambda pixels: 255 - pixels,
    "upside down": lambda pixels: pixels[::-1],
}


def prepare(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], references.Reference]:
    """Trains, and scores other X-rays as they are and changed; does only what is missing.

    Returns:
        The scores of other X-rays, those of the changed ones, and what goes with the model.
    """
    if not (folder / "run" / "serving").exists():
        draw.write_sample(folder / "training", images=3000, size=96, seed=11)
        tfxray(
            ["run", "--config", "demo", "--data", str(folder / "training"), "--out",
             str(folder / "run"), "--set", "gate.calibration_error=null"], standalone_mode=False,
        )  # fmt: skip
    if not (folder / "others").exists():
        draw.write_sample(folder / "others", images=POOL, size=96, seed=12)
    changed = {}
    for name, change in CHANGES.items():
        target = folder / name
        if not target.exists():
            write_changed(folder / "others", target, change)
        changed[name] = score(target, folder / f"{name} scored", folder / "run")
    pool = score(folder / "others", folder / "others scored", folder / "run")
    version = pushed_model.find_model(folder / "run")
    return pool, changed, references.read_reference(version)


def write_changed(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Writes the first 2,000 X-rays of a sample with other pixels."""
    manifest = pd.read_csv(source / draw.MANIFEST)[:2000]
    for path in manifest["path"]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = change(np.asarray(Image.open(source / path)))
        Image.fromarray(pixels.astype(np.uint8)).save(target / path)
    manifest.to_csv(target / draw.MANIFEST, index=False)


def score(source: Path, out: Path, model: Path) -> pd.DataFrame:
    """Ingests and scores a sample; a row per image, with its record's features."""
    records = source.with_name(f"{source.name} records")
    if not records.exists():
        job.ingest(source, records, labelling.Rules())
    scoring = batch_job.Job(records, out, model, force=True)
    if not scoring.earlier_report:
        scoring.run()
    rows = {}
    for record in artifacts.record_dataset([str(p) for p in sorted(records.glob("*.tfrecord*"))]):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        row = {}
        for name in (MEAN, STD, SHARPNESS, AGE, SEX, contract.VIEW, SITE, PATIENT, LABEL):
            kind = features[name].WhichOneof("kind")
            row[name] = getattr(features[name], kind).value[0] if kind else None
        rows[features[contract.FILENAME].bytes_list.value[0].decode()] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    predictions = pd.DataFrame(tables.read_table(str(out / "predictions.csv"))).set_index("name")
    frame["score"] = predictions["score"].astype(float)
    frame["unlike"] = predictions["unlike"] == "true"
    frame[PATIENT] = [scored.hide_patient(text.decode()) for text in frame[PATIENT]]
    return frame


def draw_month(
    frame: pd.DataFrame, images: int, rng: np.random.Generator, weights: np.ndarray | None = None
) -> pd.DataFrame:
    """So many images, of patients drawn one after the other, each at most once.

    Args:
        frame: The pool.
        images: How many.
        rng: Of the draw.
        weights: Of each patient's chance to be drawn, by row; the mean of a patient's counts.
    """
    patients, own = np.unique(frame[PATIENT], return_inverse=True)
    chances = np.ones(len(patients))
    if weights is not None:
        chances = np.bincount(own, weights) / np.bincount(own)
    # Without replacement, by weights (Efraimidis and Spirakis, 2006).
    order = np.argsort(rng.exponential(size=len(patients)) / np.maximum(chances, 1e-12))
    sizes = np.bincount(own)[order]
    taken = order[: int(np.searchsorted(np.cumsum(sizes), images)) + 1]
    return frame[np.isin(own, taken)]


def summarise(month: pd.DataFrame) -> scored.Scored:
    """What scoring these images leaves."""
    collector = scored.Collector([NAME])
    for row in month.drop(columns=LABEL).to_dict("records"):
        known = {key: value for key, value in row.items() if value is not None}
        collector.add(known, [row["score"]], bool(row["unlike"]))
    return collector.finish("")


def judge(month: pd.DataFrame, reference: references.Reference) -> verdict.Month:
    """As the command judges a folder."""
    return verdict.judge_month("month", summarise(month), reference)


def count_alarms(
    frame: pd.DataFrame,
    reference: references.Reference,
    images: int,
    weigh: Callable[[pd.DataFrame], np.ndarray] | None = None,
    months: int = MONTHS,
) -> tuple[int, Counter[str], float]:
    """How many months alarm, how often each measure does, and the share of positive images."""
    rng, alarms, named = np.random.default_rng(images), 0, Counter[str]()
    positives = []
    for _ in range(months):
        drawn = draw_month(frame, images, rng, weigh(frame) if weigh else None)
        month = judge(drawn, reference)
        positives.append((drawn[LABEL] == 1).mean())
        alarms += month.status != verdict.ALL_RIGHT
        named.update(measure.name for measure in month.measures if measure.drifted)
        named["AUC"] += month.status == verdict.BELOW
    return alarms, +named, float(np.mean(positives))


def estimate_once(
    pool: pd.DataFrame, reference: references.Reference, images: int, shift: str, seed: int
) -> tuple[float, float, bool]:
    """One simulated month of a shift, beside a held-out split that is drawn anew, too.

    Returns:
        The estimated AUC, that of the labels, and whether the interval holds it.
    """
    rng = np.random.default_rng(seed)
    heldout = draw_month(pool, reference.heldout_images, rng)
    rest = pool[~pool[PATIENT].isin(set(heldout[PATIENT]))]
    weights, labels_flipped = np.ones(len(rest)), 0.0
    if shift == "mix of sites, ages, looks":
        columns = [rest[n].astype(float) for n in (MEAN, STD, SHARPNESS, AGE)]
        columns += [(rest[n] == rest[n].iloc[0]).astype(float) for n in (SITE, SEX, contract.VIEW)]
        z = np.column_stack([(c - c.mean()) / c.std() for c in columns])
        weights = np.exp(z @ rng.normal(size=z.shape[1]) * 0.7)
    elif shift == "harder or easier images":
        logits = np.log(rest["score"] / (1 - rest["score"])).to_numpy().clip(-8, 8)
        weights = np.exp(rng.choice([-0.5, 0.5]) * np.abs(logits))
    elif shift == "prevalence":
        weights = np.where(rest[LABEL] == 1, rng.choice([0.3, 3.0]), 1.0)
    elif shift == "concept: 1 of 10 negatives is called positive":
        labels_flipped = 0.1
    month = draw_month(rest, images, rng, weights)
    month = month[~month["unlike"]]
    own = references.summarise_scores(
        references.Scores(
            *(heldout[name].to_numpy() for name in (LABEL, "score", PATIENT, "unlike"))
        )
    )
    estimated = judge(month, dataclasses.replace(reference, heldout={NAME: own})).estimated
    labels = month[LABEL].to_numpy().copy()
    labels[(labels == 0) & (rng.random(len(labels)) < labels_flipped)] = 1
    truth = intervals.auc(labels, month["score"].to_numpy(), month[PATIENT].to_numpy())
    assert estimated
    assert truth
    return estimated.value, truth.value, estimated.low <= truth.value <= estimated.high


SHIFTS = (
    "none", "mix of sites, ages, looks", "harder or easier images", "prevalence",
    "concept: 1 of 10 negatives is called positive",
)  # fmt: skip


def print_alarms(
    pool: pd.DataFrame, changed: dict[str, pd.DataFrame], reference: references.Reference
) -> None:
    """Prints the table of alarms."""
    cases: dict[str, tuple[pd.DataFrame, Callable[[pd.DataFrame], np.ndarray] | None]] = {
        "none": (pool, None),
        "brighter by 25 of 255 levels": (changed["brighter"], None),
        "9 of 10 patients of one site": (
            pool, lambda frame: np.where(frame[SITE] == b"south", 30.0, 1.0)),
        "positive images three times as likely": (
            pool, lambda frame: np.where(frame[LABEL] == 1, 3.0, 1.0)),
        "positive images a tenth as likely": (
            pool, lambda frame: np.where(frame[LABEL] == 1, 0.1, 1.0)),
        "patients under 30 alone": (pool[pool[AGE] < 30], None),
        "negatives (white is black)": (changed["negatives"], None),
        "upside down": (changed["upside down"], None),
    }  # fmt: skip
    print(
        "| change | images a month | positive | months with an alarm | named |"
        "\n|---|---|---|---|---|"
    )
    for name, (frame, weigh) in cases.items():
        for images in SIZES:
            months = MONTHS if name == "none" else 50
            images = min(images, len(frame) - 10)
            alarms, named, positives = count_alarms(frame, reference, images, weigh, months)
            told = ", ".join(f"{n} {count}" for n, count in named.most_common()) or "nothing"
            line = f"| {name} | {images} | {positives:.0%} | {alarms} of {months} | {told} |"
            print(line, flush=True)


def print_estimates(pool: pd.DataFrame, reference: references.Reference) -> None:
    """Prints the table of estimated AUCs."""
    print(
        "\n| shift | images a month | AUC by labels, 5 % to 95 % | estimate less that, mean | "
        "interval holds it |\n|---|---|---|---|---|"
    )
    for shift in SHIFTS:
        for images in SIZES:
            results = [
                estimate_once(pool, reference, images, shift, seed) for seed in range(MONTHS)
            ]
            estimated, truth, held = map(np.array, zip(*results, strict=True))
            low, high = np.quantile(truth, [0.05, 0.95])
            error = (estimated - truth).mean()
            print(
                f"| {shift} | {images} | {low:.3f} to {high:.3f} | {error:+.3f} "
                f"| {held.mean():.1%} |", flush=True,
            )  # fmt: skip


def main() -> None:
    """Prints the tables."""
    pool, changed, reference = prepare(Path(sys.argv[1]))
    print(
        f"{len(pool)} images of {pool[PATIENT].nunique()} patients; the run trained on "
        f"{reference.statistics.num_examples}, and held out {reference.heldout_images} images of "
        f"{reference.heldout_patients} patients, of which {reference.heldout_unlike} are unlike\n"
    )
    tables_asked = sys.argv[2:] or ["alarms", "estimates"]
    if "alarms" in tables_asked:
        print_alarms(pool, changed, reference)
    if "estimates" in tables_asked:
        print_estimates(pool, reference)


if __name__ == "__main__":
    main()
