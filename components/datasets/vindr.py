"""VinDr-CXR, Kaggle's part of it (VinBigData), and VinDr-PCXR, of children.

Source of the facts: Nguyen et al., VinDr-CXR (Scientific Data 2022, arXiv:2012.15029); Pham et al.,
VinDr-PCXR (arXiv:2203.10612); the pages of both at PhysioNet; Kaggle's `train.csv`
itself (67,914 rows, 15,000 images); and public programs that read PhysioNet's tables. The
releases name no patient. So none is read here: a DICOM file that has a patient's number tells it,
and any other image counts as a patient of its own.
"""

from tfxray.components.source.dataset import Dataset, Mark

# Kaggle's 14. `Nodule/Mass` is written with a hyphen, since a finding is part of other names; a
# table may write it with any sign.
KAGGLE_FINDINGS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD",
    "Infiltration", "Lung Opacity", "Nodule-Mass", "Other lesion", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis",
)  # fmt: skip
# The table's order: 22 findings with a place in the image, and five diagnoses of the whole of it.
FINDINGS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule-Mass", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion",
    "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases",
)  # fmt: skip
# Spelt as in the table.
CHILDREN_FINDINGS = (
    "Bronchitis", "Brocho-pneumonia", "Other disease", "Bronchiolitis", "Situs inversus",
    "Pneumonia", "Pleuro-pneumonia", "Diagphramatic hernia", "Tuberculosis",
    "Congenital emphysema", "CPAM", "Hyaline membrane disease", "Mediastinal tumor", "Lung tumor",
)  # fmt: skip
_LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
_CITATION = "Nguyen et al., VinDr-CXR, Scientific Data 9, 429 (2022), arXiv:2012.15029"
_THREE_READERS = (
    "Three radiologists read each image of train. A finding is present if two of them say so; "
    "ingest.several: any takes it from one."
)
_NO_PATIENTS = (
    "The release names no patients: where a DICOM file has no number of one, each image counts as "
    "a patient, and images of one patient may go to several splits."
)

VINDR_CXR = Dataset(
    name="vindr_cxr",
    title="VinDr-CXR",
    size="18,000 DICOM images",
    licence=_LICENCE,
    citation=_CITATION,
    address="https://physionet.org/content/vindr-cxr/1.0.0/",
    marks=(
        Mark("annotations/image_labels_train.csv*", ("image_id", "rad_id", "Aortic enlargement")),
        Mark("annotations/image_labels_test.csv*", ("image_id", "Aortic enlargement")),
    ),
    images=("train/*.dicom", "test/*.dicom"),
    names=r"(?:^|/)(?:train|test)/[0-9a-f]{32}\.dicom$",
    findings=FINDINGS,
    ingest={
        "manifest": {
            "train": "annotations/image_labels_train.csv*",
            "test": "annotations/image_labels_test.csv*",
        },
        "columns": {
            "path": "image_id", "reader": "rad_id", "no_finding": "No finding",
            "Other diseases": ["Other diseases", "Other disease"],  # the second one in test
        },
        "extension": ".dicom",
        "several": "majority",
    },
    official="15,000 images for train and 3,000 for test; eval is drawn out of train",
    left_out=(
        _THREE_READERS,
        "The labels of test are a consensus of five radiologists, so they are better than train's.",
        _NO_PATIENTS,
    ),
)  # fmt: skip

VINBIGDATA = Dataset(
    name="vinbigdata",
    title="VinBigData Chest X-ray Abnormalities Detection",
    size="15,000 labelled DICOM images",
    licence="rules of the Kaggle competition; the images are VinDr-CXR's",
    citation=_CITATION,
    address="https://www.kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection",
    marks=(Mark("train.csv*", ("image_id", "class_name", "rad_id")),),
    images=("train/*.dicom",),
    findings=KAGGLE_FINDINGS,
    ingest={
        "manifest": "train.csv*",
        "columns": {"path": "image_id", "label": "class_name", "reader": "rad_id"},
        "extension": ".dicom",
        "exclude": ["test"],
        "several": "majority",
    },
    # The folder `train` is no split, since that of test has no labels.
    split={"ignore_given": True},
    left_out=(
        "The folder test: Kaggle published no labels of it.",
        "The boxes: an image has a finding if a reader drew a box of it.",
        _THREE_READERS,
        _NO_PATIENTS,
    ),
)

VINDR_PCXR = Dataset(
    name="vindr_pcxr",
    title="VinDr-PCXR",
    size="9,125 DICOM images of children",
    licence=_LICENCE,
    citation="Pham, Nguyen et al., VinDr-PCXR, Scientific Data 10, 240 (2023), arXiv:2203.10612",
    address="https://physionet.org/content/vindr-pcxr/1.0.0/",
    marks=(
        Mark("image_labels_train.csv*", ("image_id", "Bronchiolitis")),
        Mark("image_labels_test.csv*", ("image_id", "Bronchiolitis")),
    ),
    images=("train/*.dicom", "test/*.dicom"),
    findings=CHILDREN_FINDINGS,
    ingest={
        "manifest": {"train": "image_labels_train.csv*", "test": "image_labels_test.csv*"},
        "columns": {"path": "image_id", "reader": "rad_ID", "no_finding": "No finding"},
        "extension": ".dicom",
    },
    official="7,728 images for train and 1,397 for test; eval is drawn out of train",
    left_out=(
        "One radiologist labelled each image.",
        _NO_PATIENTS,
    ),
)
