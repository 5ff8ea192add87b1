"""All public data sets whose layouts are known."""

from tfxray.components.datasets import nih, object_cxr, openi, rsna, vindr
from tfxray.components.source.dataset import Dataset

DATASETS: tuple[Dataset, ...] = (
    nih.NIH,
    vindr.VINDR_CXR,
    vindr.VINBIGDATA,
    vindr.VINDR_PCXR,
    rsna.RSNA_PNEUMONIA,
    rsna.SIIM_ACR,
    openi.OPENI,
    openi.OPENI_XML,
    object_cxr.OBJECT_CXR,
)
NAMES = tuple(dataset.name for dataset in DATASETS)
_BY_NAME = {dataset.name: dataset for dataset in DATASETS}


def by_name(name: str) -> Dataset:
    """A data set by its name.

    Args:
        name: One of NAMES.
    """
    return _BY_NAME[name]
