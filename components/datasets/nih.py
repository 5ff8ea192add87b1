"""NIH ChestX-ray14, and NIH-CXR-LT, which gives the same images further labels.

Source of the facts: the tables themselves (`Data_Entry_2017_v2020.csv`: 112,120 rows, 30,805
patients), the FAQ and README beside them (nihcc.app.box.com/v/ChestXray-NIHCC), and the README of
NIH-CXR-LT (Holste et al., MICCAI 2022). The header has unquoted commas in brackets, so that
four of its eleven columns are halves of others; none of these is read.
"""

from tfxray.components.source.dataset import Dataset, Mark

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
    "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening",
    "Hernia",
)  # fmt: skip
_LICENCE = "free to use, with attribution to the NIH Clinical Center"
_SITE = {"site": "NIH Clinical Center"}

NIH = Dataset(
    name="nih",
    title="NIH ChestX-ray14",
    size="112,120 images of 30,805 patients, 42 GB",
    licence=_LICENCE,
    citation="Wang et al., ChestX-ray8, CVPR 2017, arXiv:1705.02315",
    address="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    # Kaggle's sample of 5,606 images has `sample_labels.csv`, and no lists.
    marks=(Mark("Data_Entry_2017*.csv*", ("Image Index", "Finding Labels")),),
    images=("images_*/images/*.png", "images/*.png"),
    names=r"(?:^|/)\d{8}_\d{3}\.png$",
    findings=FINDINGS,
    ingest={
        "manifest": "Data_Entry_2017*.csv*",
        "columns": {
            "path": "Image Index", "label": "Finding Labels", "patient": "Patient ID",
            "age": "Patient Age", "sex": "Patient Gender", "view": "View Position",
        },
        "defaults": _SITE,
    },
    split={"lists": {"train": "train_val_list.txt", "test": "test_list.txt"}},
    official="by patient: train_val_list.txt and test_list.txt; eval is drawn out of train",
    left_out=(
        "The labels were mined from reports, and were revised between the releases of 2017 and "
        "2020.",
    ),
)  # fmt: skip
