"""All public data sets whose layouts are known."""

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.datasets import (
    challenges,
    chexpert,
    covid,
    kermany,
    mimic,
    nih,
    openi,
    padchest,
    tuberculosis,
    vindr,
)
from tfxray.components.source.dataset import Dataset

DATASETS: tuple[Dataset, ...] = (
    nih.NIH,
    nih.NIH_SAMPLE,
    nih.NIH_CXR_LT,
    chexpert.CHEXPERT,
    chexpert.CHEXPERT_BATCHES,
    chexpert.CHEXPERT_PLUS,
    chexpert.BRAX,
    mimic.MIMIC_CXR_JPG,
    padchest.PADCHEST,
    vindr.VINDR_CXR,
    vindr.VINBIGDATA,
    vindr.VINDR_PCXR,
    challenges.RSNA_PNEUMONIA,
    challenges.SIIM_ACR,
    openi.OPENI,
    openi.OPENI_XML,
    challenges.OBJECT_CXR,
    *covid.DATASETS,
    *tuberculosis.DATASETS,
    kermany.KERMANY,
)
NAMES = tuple(dataset.name for dataset in DATASETS)
_BY_NAME = {dataset.name: dataset for dataset in DATASETS}


def by_name(name: str) -> Dataset:
    """A data set by its name.

    Args:
        name: One of NAMES.

    Raises:
        UserError: There is none of that name.
    """
    name = name.lower()
    if name not in _BY_NAME:
        raise UserError(
            f"{name!r} is no data set that tfxray knows (ingest.dataset)"
            f"{did_you_mean(name, NAMES)}; allowed: none, {', '.join(NAMES)}"
        )
    return _BY_NAME[name]
