"""A made model's knowledge of its run, and months of images that it scored."""

import dataclasses

import numpy as np
from scipy import special

from tfxray.components.common.contract import AGE, MEAN, PATIENT, SEX, SHARPNESS, SITE, STD, Task
from tfxray.components.watch import feature_statistics, reference, scored

TASK = Task(("NORMAL", "ILL"))
DRIFT = {MEAN: 0.07, STD: 0.07, SHARPNESS: 0.07, AGE: 0.07, SEX: 0.1, SITE: 0.1}
MODEL = "a model"


@dataclasses.dataclass(frozen=True)
class Population:
    """Where images come from."""

    brightness: float = 100.0
    north: float = 0.5
    ill: float = 0.4
    unlike: float = 0.01
    task: Task = TASK


def draw(seed: int, images: int, of: Population = Population()):
    """Images of patients with two each.

    Returns:
        What is known of each; scores and labels [n, judged], and whether it is unlike.
    """
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange((images + 1) // 2), 2)[:images]
    age, north = rng.normal(50, 15, images)[patients], (rng.random(images) < of.north)[patients]
    rows = [
        {
            MEAN: rng.normal(of.brightness, 15),
            STD: rng.normal(50, 5),
            SHARPNESS: rng.gamma(5, 20),
            AGE: float(np.clip(round(age[i]), 1, 95)),
            SEX: rng.choice([b"F", b"M"]),
            SITE: b"north" if north[i] else b"south",
            PATIENT: scored.hide_patient(str(patients[i])),
        }
        for i in range(images)
    ]
    count = len(of.task.judged)
    labels = (rng.random((images, count)) < of.ill)[patients].astype(int)
    logits = rng.normal(3.0 * labels - 1.5, 1.5)
    return rows, special.expit(logits), labels, rng.random(images) < of.unlike


def make_reference(threshold: float = 0.8, of: Population = Population()) -> reference.Reference:
    """What goes with a model that 2,000 images trained, and 600 judged."""
    collector = feature_statistics.Collector()
    collector.add(draw(1, 2000, of)[0])
    rows, scores, labels, unlike = draw(2, 600, of)
    patients = np.array([row[PATIENT] for row in rows])
    heldout = {
        name: reference.summarise_scores(
            reference.Scores(labels[:, place], scores[:, place], patients, unlike)
        )
        for place, name in enumerate(of.task.judged)
    }
    return reference.Reference(
        task=of.task,
        statistics=collector.finish(),
        patients=1000,
        heldout_images=600,
        heldout_patients=300,
        heldout_unlike=int(unlike.sum()),
        heldout=heldout,
        threshold=threshold,
        drift=DRIFT,
    )


def make_scored(
    seed: int, images: int = 400, of: Population = Population(), keep: tuple[str, ...] = ()
) -> scored.Scored:
    """What scoring a month leaves.

    Args:
        seed: Of the draw.
        images: How many.
        of: Where they come from.
        keep: What is known of them; all if empty.
    """
    rows, scores, _, unlike = draw(seed, images, of)
    collector = scored.Collector(of.task.judged)
    for row, own, is_unlike in zip(rows, scores, unlike, strict=True):
        known = {name: value for name, value in row.items() if not keep or name in keep}
        collector.add(known, None if is_unlike else own.tolist(), bool(is_unlike))
    return collector.finish(MODEL)
