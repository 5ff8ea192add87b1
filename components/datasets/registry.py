"""All public data sets whose layouts are known."""

from tfxray.components.datasets import chexpert, mimic, nih, padchest
from tfxray.components.source.dataset import Dataset

DATASETS: tuple[Dataset, ...] = (
    nih.NIH, nih.NIH_SAMPLE, nih.NIH_CXR_LT,
    chexpert.CHEXPERT, chexpert.CHEXPERT_BATCHES, chexpert.CHEXPERT_PLUS, chexpert.BRAX,
    mimic.MIMIC_CXR_JPG,
    padchest.PADCHEST,
)  # fmt: skip
NAMES = tuple(dataset.name for dataset in DATASETS)
_BY_NAME = {dataset.name: dataset for dataset in DATASETS}


def by_name(name: str) -> Dataset:
    """A data set by its name.

    Args:
        name: One of NAMES.
    """
    return _BY_NAME[name]
