"""The held-out scores, image by image: what Evaluator leaves beside TFMA's figures."""

from pathlib import Path

import pandas as pd

from tfxray.components import names

FILE = "scores.csv"
# Besides these, the slices' features that the data holds.
COLUMNS = (names.FILENAME, names.PATIENT, names.LABEL, names.SCORE, names.DISTANCE, names.UNLIKE)
METADATA = (names.AGE, names.SEX, names.VIEW, names.SITE)


def write(scores: pd.DataFrame, folder: Path) -> None:
    """Writes the scores of the test split; see `read`."""
    scores.to_csv(folder / FILE, index=False)


def read(folder: Path) -> pd.DataFrame | None:
    """Reads the scores of the test split.

    Args:
        folder: Evaluator's `evaluation`.

    Returns:
        A row per image: `image/filename`, `patient/id`, `image/class/label` (0 or 1), `score`
        (calibrated, of the positive class), `distance` (to the training images), `unlike` (0 or
        1: further than they are), and those of age, sex, view and site that the data holds (NaN
        or empty where one image lacks them). None where nothing was judged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    text = dict.fromkeys((names.FILENAME, names.PATIENT, names.SEX, names.VIEW, names.SITE), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={names.AGE: [""]})
