"""NIH ChestX-ray14, Kaggle's sample of it, and NIH-CXR-LT, which gives its images further labels.

Source of the facts: the tables themselves (`Data_Entry_2017_v2020.csv`: 112,120 rows, 30,805
patients), the FAQ and README beside them (nihcc.app.box.com/v/ChestXray-NIHCC), and the README of
NIH-CXR-LT (Holste et al., MICCAI 2022). The header has unquoted commas in brackets, so that
four of its eleven columns are halves of others; none of these is read.
"""

from tfxray.components.source.dataset import Dataset, Mark

_FINDINGS = (
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
    findings=_FINDINGS,
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

NIH_SAMPLE = Dataset(
    name="nih_sample",
    title="NIH ChestX-ray14, Kaggle's sample",
    size="5,606 images of 4,230 patients, 2 GB",
    licence=_LICENCE,
    citation=NIH.citation,
    address="https://www.kaggle.com/datasets/nih-chest-xrays/sample",
    marks=(Mark("sample_labels.csv", ("Image Index", "Finding Labels")),),
    images=("images/*.png", "sample/images/*.png"),
    findings=_FINDINGS,
    ingest={**NIH.ingest, "manifest": "sample_labels.csv"},
    left_out=("The labels were mined from reports, and are those of the release of 2017.",),
)

NIH_CXR_LT = Dataset(
    name="nih_cxr_lt",
    title="NIH-CXR-LT",
    size="112,120 images of 30,805 patients, 42 GB; 19 findings, some of them rare",
    licence=_LICENCE,
    citation="Holste et al., Long-Tailed Classification of Thorax Diseases on Chest X-Ray, MICCAI "
    "DALI 2022, arXiv:2208.13365; Holste et al., PruneCXR, MICCAI 2023",
    address="https://nihcc.app.box.com/v/ChestXray-NIHCC/folder/223604149466",
    marks=tuple(
        Mark(f"miccai2023_nih-cxr-lt_labels_{part}.csv", ("id", "No Finding", "subj_id"))
        for part in ("train", "val", "test")
    ),
    images=NIH.images,
    findings=(
        *_FINDINGS[:12], "Pleural Thickening", "Hernia", "Pneumoperitoneum", "Pneumomediastinum",
        "Subcutaneous Emphysema", "Tortuous Aorta", "Calcification of the Aorta",
    ),
    ingest={
        "manifest": {
            "train": "miccai2023_nih-cxr-lt_labels_train.csv",
            "eval": "miccai2023_nih-cxr-lt_labels_val.csv",
            "test": "miccai2023_nih-cxr-lt_labels_test.csv",
        },
        "columns": {"path": "id", "patient": "subj_id", "no_finding": "No Finding"},
        "defaults": _SITE,
    },
    official="a table of each split, by patient",
    left_out=(
        "The labels were mined from reports; five of them, those that ChestX-ray14 lacks, later.",
        "Its tables tell no age, sex or view. ChestX-ray14's does: ingest.joins: [{table: "
        "Data_Entry_2017_v2020.csv, by: {id: Image Index}}], with ingest.columns: {age: Patient "
        "Age, sex: Patient Gender, view: View Position}.",
        "The tables of 2022 (nih-cxr-lt_single-label_*.csv), in which an image has one label, are "
        "not read.",
    ),
)  # fmt: skip
