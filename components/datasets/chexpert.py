"""CheXpert, CheXpert Plus and BRAX: sets whose labels CheXpert's labeler, or its kind, has mined.

Source of the facts. CheXpert: `train.csv` itself (223,414 rows, 64,540 patients), and Irvin et al.,
AAAI 2019. CheXpert Plus: Chambon et al., arXiv:2405.19538, and public programs that read its tables
(f10409/RadHarmony, for one). BRAX: Reis et al., Scientific Data 9, 487 (2022), and the columns that
such programs read. All have one vocabulary. `No Finding` is no finding of theirs here: it tells
that the others are absent.
"""

import dataclasses

from tfxray.components.source.dataset import Dataset, Mark

FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
NO_FINDING = {"no_finding": "No Finding"}
MINED = (
    "The labels were mined from reports. Many are uncertain (-1) and count by ingest.uncertain. "
    "Most cells are empty, since the report says nothing, and count by ingest.blank."
)
_STANFORD = "Stanford Hospital"
_USE = "Stanford University's research use agreement; no commercial use"
_TABLES = ("Path", "Frontal/Lateral", "AP/PA", "No Finding")

CHEXPERT = Dataset(
    name="chexpert",
    title="CheXpert",
    size="223,648 images of 64,740 patients, 439 GB (small: 11 GB)",
    licence=_USE,
    citation="Irvin et al., CheXpert, AAAI 2019, arXiv:1901.07031",
    address="https://stanfordaimi.azurewebsites.net/datasets/8cbd9ed4-2eb9-4565-affc-111cf4f7ebe2",
    # The first of four batches holds the tables and `valid/`, and is not the whole.
    marks=(Mark("train.csv", _TABLES), Mark("valid.csv", _TABLES), Mark("train/patient*")),
    images=("train/patient*/study*/*.jpg", "valid/patient*/study*/*.jpg"),
    names=r"(?:^|/)patient\d{5}/study\d+/view\d+_(?:frontal|lateral)\.jpg$",
    findings=FINDINGS,
    ingest={
        "manifest": {"train": "train.csv", "test": "valid.csv"},
        "columns": {
            "path": "Path", "age": "Age", "sex": "Sex",
            # `AP/PA` is empty of a lateral, and of some frontal images, whose view nobody said.
            "view": ["{Frontal/Lateral} {AP/PA}", "Frontal/Lateral"], **NO_FINDING,
        },
        # The paths begin with the archive's own folder, which may be called otherwise, or lack.
        "strip": ["CheXpert-v1.0*"],
        # Three images have the age 0.
        "unknown": {"age": ["0"], "view": ["Frontal"]},
        "defaults": {"site": _STANFORD},
        # Numbers in `valid/` are none of `train/`.
        "pattern": r"(?P<patient>patient\d+)/",
    },
    official="valid.csv, 200 patients whose labels are radiologists', is test; train.csv is train, "
    "and eval is drawn out of it by patient",
    left_out=(
        f"{MINED} Those of valid.csv are radiologists', and each is told.",
        "The age 90 means 90 and more; 0 is unknown.",
        "17 frontal images of train.csv whose AP/PA says lateral (LL, RL) count as laterals.",
        "The labels of CheXbert and VisualCheXbert that lie beside it are not read.",
    ),
)  # fmt: skip

# As the archive is unpacked: four folders, of which the first has the tables.
_FIRST = "CheXpert-v1.0 batch 1*"
CHEXPERT_BATCHES = dataclasses.replace(
    CHEXPERT,
    name="chexpert_batches",
    title="CheXpert, in batches",
    size="223,648 images of 64,740 patients, 439 GB",
    marks=(
        Mark(f"{_FIRST}/train.csv", _TABLES),
        Mark(f"{_FIRST}/valid.csv", _TABLES),
        Mark("CheXpert-v1.0 batch [234]*/*"),
    ),
    images=("CheXpert-v1.0 batch */**/patient*/study*/*.jpg",),
    ingest={
        **CHEXPERT.ingest,
        "manifest": {"train": f"{_FIRST}/train.csv", "test": f"{_FIRST}/valid.csv"},
        # Patients lie in the batches without `train/`, or with it.
        "strip": ["CheXpert-v1.0*/train", "CheXpert-v1.0*"],
    },
)

CHEXPERT_PLUS = Dataset(
    name="chexpert_plus",
    title="CheXpert Plus",
    size="223,462 images of 64,725 patients, as PNG about 1 TB",
    licence=_USE,
    citation="Chambon et al., CheXpert Plus, 2024, arXiv:2405.19538",
    address="https://stanfordaimi.azurewebsites.net/datasets/5158c524-d3ab-4e02-96e9-6ee9efc110a1",
    marks=(
        Mark("df_chexpert_plus_*.csv", ("path_to_image", "frontal_lateral", "ap_pa", "split")),
    ),
    images=("PNG/train/patient*/study*/*.png", "PNG/valid/patient*/study*/*.png"),
    findings=FINDINGS,
    ingest={
        "manifest": "df_chexpert_plus_*.csv",
        "joins": [{"table": "**/report_fixed.json", "by": ["path_to_image"]}],
        "columns": {
            "path": "path_to_image", "patient": "deid_patient_id",
            "view": ["{frontal_lateral} {ap_pa}", "frontal_lateral"], **NO_FINDING,
        },
        # The table says .jpg. The parts of the archive lie in PNG/, or in folders of their own; the
        # same images as DICOM may lie beside them.
        "extension": ".png",
        "include": ["*.png"],
        "unknown": {"age": ["0"], "view": ["Frontal"]},
        "defaults": {"site": _STANFORD},
    },
    # Its 200 patients are the valid set of CheXpert. To judge by them alone keeps figures of both
    # apart from training in the same way; 234 images are too few to tune by and to judge by.
    split={"words": {"valid": "test"}},
    official="the column split: valid is test, as in CheXpert, and eval is drawn out of train by "
    "patient",
    left_out=(
        f"{MINED} They are those of report_fixed.json (CheXbert, the whole report), of valid too: "
        "no radiologists' labels. findings_fixed.json or impression_fixed.json: ingest.joins.",
        "Images that are not PNG: DICOM files need `extension: .dcm` and `include: ['*.dcm']`.",
    ),
)  # fmt: skip

BRAX = Dataset(
    name="brax",
    title="BRAX",
    size="40,967 images of 19,351 patients",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Reis et al., BRAX, Scientific Data 9, 487 (2022)",
    address="https://physionet.org/content/brax/",
    marks=(
        Mark(
            "master_spreadsheet_update.csv",
            ("PngPath", "PatientID", "PatientAge", "ViewPosition", "No Finding"),
        ),
    ),
    images=("images/id_*/Study_*/Series_*/*.png",),
    names=r"(?:^|/)id_[0-9a-f-]{36}/Study_[\d.]+/Series_[\d.]+/[^/]+\.png$",
    findings=FINDINGS,
    ingest={
        "manifest": "master_spreadsheet_update.csv",
        "columns": {
            "path": "PngPath", "patient": "PatientID", "sex": "PatientSex",
            # `85 or more` counts as 85: all ages are the first of five years.
            "age": "{PatientAge:.2}", "view": "ViewPosition", **NO_FINDING,
        },
        # The same images as DICOM may lie beside them.
        "include": ["*.png"],
        "defaults": {"site": "Hospital Israelita Albert Einstein"},
    },
    left_out=(
        f"{MINED} The labeler is CheXpert's, translated to Portuguese.",
        "The age is the first of five years; 85 means 85 and more.",
        "Images that are not PNG: DICOM files need `columns: {path: DicomPath}` and "
        "`include: ['*.dcm']`.",
    ),
)  # fmt: skip
