"""How often does DataGate see a shortcut where there is none, and how often one that is there?

Draws data sets whose labels go with nothing (or, by a known amount, with the view), and judges them
as DataGate does, with the default threshold.

    python benchmarks/shortcut_false_alarms.py [EXAMPLES]

EXAMPLES is the folder of a run's examples; its images' traits are then drawn by patient,
and their labels anew. Without it, traits are drawn, too. Prints the tables of
benchmarks/SHORTCUTS.md.
"""

import sys

import numpy as np
import pandas as pd
from scipy import stats

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.shortcuts import association, traits, values
from tfxray.pipeline.config.data import Validation

SIZES = (200, 1000, 5000)
DRAWS = {200: 600, 1000: 500, 5000: 100}
REPEATS = 10  # labels that are drawn for the same images
THRESHOLD = Validation().shortcut_auc
ALONE = "two classes, half and half, one image of each patient"
MANY = tuple(f"finding {number}" for number in range(14))  # as many as ChestX-ray14 has


def draw_traits(images: int, rng: np.random.Generator, alone: bool = False) -> pd.DataFrame:
    """Draws what is known of images of patients who have one or several, 1.7 in the mean.

    Args:
        images: How many.
        rng: The random numbers.
        alone: Each patient has one image.
    """
    counts = np.ones(images, int) if alone else rng.geometric(0.6, images)
    owner = np.repeat(np.arange(images), counts)[:images]
    number = owner.max() + 1
    site = rng.choice(["a", "b", "c", None], number, p=[0.5, 0.3, 0.1, 0.1])
    sex = rng.choice(["F", "M", None], number, p=[0.45, 0.45, 0.1])
    level = rng.normal(0, 1, (number, 3))
    size = rng.choice([1024, 2048, 0], number, p=[0.4, 0.4, 0.2])
    odd = rng.integers(900, 2500, (images, 2))
    frame = pd.DataFrame(
        {
            contract.PATIENT: owner.astype(str),
            contract.SITE: site[owner],
            contract.SEX: sex[owner],
            contract.AGE: np.clip(rng.normal(50, 18, number).round(), 0, 95)[owner],
            contract.VIEW: rng.choice(["PA", "AP", "LL", None], images, p=[0.5, 0.3, 0.15, 0.05]),
            contract.FORMAT: rng.choice(["png", "jpeg"], number)[owner],
        }
    )
    for place, name in enumerate((contract.HEIGHT, contract.WIDTH)):
        frame[name] = np.where(size[owner] > 0, size[owner], odd[:, place]).astype(float)
    for place, name in enumerate((contract.MEAN, contract.STD, contract.SHARPNESS)):
        # Images of a patient are alike.
        frame[name] = np.exp(level[owner, place] + 0.5 * rng.normal(0, 1, images))
    return frame


def resample(frame: pd.DataFrame, images: int, rng: np.random.Generator) -> pd.DataFrame:
    """Images of patients drawn with replacement, each a new patient."""
    groups = list(frame.groupby(contract.PATIENT).indices.values())
    places, owners, count = [], [], 0
    while count < images:
        own = groups[rng.integers(len(groups))]
        owners.append(np.full(len(own), len(owners)))
        places.append(own)
        count += len(own)
    taken = frame.iloc[np.concatenate(places)[:images]].reset_index(drop=True)
    return taken.assign(**{contract.PATIENT: np.concatenate(owners)[:images].astype(str)})


def draw_labels(
    patients: pd.Series, names: tuple[str, ...], share: float, by_patient: bool,
    rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Labels that go with nothing: of a patient, the same for all images, or of each image."""
    owners = pd.factorize(patients)[0]
    number = owners.max() + 1 if by_patient else len(owners)
    drawn = (rng.random((number, len(names))) < share).astype(int)
    return pd.DataFrame(drawn[owners] if by_patient else drawn, columns=list(names))


def judge(words: pd.DataFrame, labels: pd.DataFrame, patients: pd.Series) -> list[str]:
    """The traits that DataGate names: `association.measure_all` without its intervals."""
    varied = words[[name for name in words if words[name].nunique() > 1]]
    codes = varied.apply(lambda column: pd.factorize(column)[0]).to_numpy()
    folds = pd.util.hash_array(patients.to_numpy(object)) % association._FOLDS
    shares = [varied[name].value_counts(normalize=True).to_numpy() for name in varied]
    traits_and_shares = [*zip(varied, shares, strict=True), (association.TOGETHER, np.zeros(1))]
    comparisons = len(traits_and_shares) * len(labels.columns)
    named = []
    for column in labels:
        truth = labels[column].to_numpy()
        sizes = [association.count_independent(patients[truth == label]) for label in (1, 0)]
        scores = association._score_out_of_fold(codes, truth, folds)
        positives, negatives = int(truth.sum()), int((1 - truth).sum())
        ranks = stats.rankdata(scores, axis=0)[truth == 1].sum(0)
        areas = (ranks - positives * (positives + 1) / 2) / max(1, positives * negatives)
        for (trait, own), area in zip(traits_and_shares, areas, strict=True):
            if area > association.find_limit(THRESHOLD, *sizes, own, comparisons):
                named.append(trait)
    return named


def check_judge(frame: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Sees that `judge` says what DataGate says."""
    words, patients = values.Values(frame).of(frame), frame[contract.PATIENT]
    found = association.measure_all(words, labels, patients, THRESHOLD)
    named = sorted(one.trait for one in found if one.beyond)
    assert sorted(judge(words, labels, patients)) == named, named


def main() -> None:
    """Prints both tables."""
    rng = np.random.default_rng(0)
    source = None
    if len(sys.argv) > 1:
        source, _ = traits.read_traits(sys.argv[1], contract.SPLITS, Task(("0", "1")))

    def draw(images: int, alone: bool = False) -> pd.DataFrame:
        if source is None:
            return draw_traits(images, rng, alone)
        return resample(source, images, rng)

    print(
        "| labels | images | data sets | false alarms | the largest limit |\n|---|---|---|---|---|"
    )
    for text, names, share, by_patient, fewer in (
        (ALONE, ("x",), 0.5, True, 1),
        ("two classes, half and half, by patient", ("x",), 0.5, True, 1),
        ("two classes, a tenth, by image", ("x",), 0.1, False, 1),
        ("14 findings of a tenth each, by image", MANY, 0.1, False, 10),
    ):
        for size in SIZES:
            alarms, draws = 0, DRAWS[size] // fewer
            for number in range(draws):
                if number % REPEATS == 0:
                    frame = draw(size, text == ALONE)
                    words, patients = values.Values(frame).of(frame), frame[contract.PATIENT]
                labels = draw_labels(patients, names, share, by_patient, rng)
                alarms += bool(judge(words, labels, patients))
            positives = association.count_independent(
                frame[contract.PATIENT][labels.iloc[:, 0] == 1]
            )
            negatives = association.count_independent(
                frame[contract.PATIENT][labels.iloc[:, 0] == 0]
            )
            most = association.find_limit(
                THRESHOLD, positives, negatives, np.zeros(1), 10 * len(names)
            )
            print(f"| {text} | {size} | {draws} | {alarms / draws:.2%} | {most:.3f} |", flush=True)
    print("\n| AUC of the view | images | data sets | found |\n|---|---|---|---|")
    for auc in (0.6, 0.65, 0.7):
        for size in SIZES:
            hits, draws = 0, DRAWS[size] // 10
            for number in range(draws):
                frame = draw(size)
                labels = draw_labels(frame[contract.PATIENT], ("x",), 0.5, True, rng)
                # Of two views, the AUC is half of 1 and the difference of their shares.
                shares = np.where(labels["x"] == 1, auc, 1 - auc)
                frame[contract.VIEW] = np.where(rng.random(size) < shares, "AP", "PA")
                if number == 0:
                    check_judge(frame, labels)
                words = values.Values(frame).of(frame)
                hits += contract.VIEW in judge(words, labels, frame[contract.PATIENT])
            print(f"| {auc} | {size} | {draws} | {hits / draws:.0%} |", flush=True)


if __name__ == "__main__":
    main()
