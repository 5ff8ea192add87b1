"""PadChest.

Source of the facts: the table itself (`PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`:
160,861 rows, 67,625 patients), and Bustos et al. (Medical Image Analysis 66, 2020).

The table has 193 words. The findings are those that torchxrayvision's reader (1.5.7, PC_Dataset)
takes, in the table's own words, if 300 frontal images or more have them. A kind of one of them,
such as `laminar atelectasis`, is that finding, too: the table often names the kind alone. What
only sounds like one is none: pseudonodules, subcutaneous emphysema, sequelae of tuberculosis.
Infiltrates and their patterns stay apart, as the table has them.
"""

from tfxray.components.source.dataset import Dataset, Mark

_KINDS = {
    "atelectasis": (
        "laminar atelectasis", "lobar atelectasis", "segmental atelectasis", "total atelectasis",
        "round atelectasis", "atelectasis basal",
    ),
    "interstitial pattern": (
        "reticular interstitial pattern", "reticulonodular interstitial pattern",
    ),
    "pneumothorax": ("hydropneumothorax",),
    "pleural effusion": ("loculated pleural effusion",),
    "pneumonia": ("atypical pneumonia",),
    "pleural thickening": ("apical pleural thickening", "calcified pleural thickening"),
    "nodule": ("multiple nodules",),
    "rib fracture": ("callus rib fracture",),
    "granuloma": ("calcified granuloma",),
    "aortic elongation": (
        "supra aortic elongation", "ascendent aortic elongation", "descendent aortic elongation",
    ),
    "hilar enlargement": ("vascular hilar enlargement",),
}  # fmt: skip
FINDINGS = (
    "air trapping", "alveolar pattern", "aortic atheromatosis", "aortic elongation", "atelectasis",
    "bronchiectasis", "cardiomegaly", "consolidation", "costophrenic angle blunting", "emphysema",
    "flattened diaphragm", "granuloma", "hemidiaphragm elevation", "hiatal hernia",
    "hilar enlargement", "infiltrates", "interstitial pattern", "nodule", "pacemaker",
    "pleural effusion", "pleural thickening", "pneumonia", "pneumothorax", "pulmonary edema",
    "pulmonary fibrosis", "pulmonary mass", "rib fracture", "scoliosis",
)  # fmt: skip

PADCHEST = Dataset(
    name="padchest",
    title="PadChest",
    size="160,861 images of 67,625 patients, 1 TB",
    licence="PadChest's research use agreement",
    citation="Bustos et al., PadChest, Medical Image Analysis 66 (2020), arXiv:1901.07441",
    address="https://bimcv.cipf.es/bimcv-projects/padchest/",
    marks=(
        Mark(
            "PADCHEST_chest_x_ray_images_labels_160K*.csv*",
            ("ImageID", "PatientID", "Projection", "Labels"),
        ),
    ),
    images=("[0-9]*/*.png",),
    names=r"(?:^|/)\d{20,}_[0-9a-z-]+\.png$",
    findings=FINDINGS,
    ingest={
        "manifest": "PADCHEST_chest_x_ray_images_labels_160K*.csv*",
        "columns": {
            # Names are unique. Who has no folders 0 to 54 (ImageDir) finds the images all the same.
            "path": "ImageID", "label": "Labels", "patient": "PatientID",
            "birth": "PatientBirth", "study_date": "StudyDate_DICOM",
            "sex": "PatientSex_DICOM", "view": "Projection",
        },
        "label_separator": "list",
        "labels": {
            # It is said of a sentence: 232 rows have it beside findings.
            "normal": "",
            "*": "", "unchanged": "?", "exclude": None, "suboptimal study": None,
            **{kind: finding for finding, kinds in _KINDS.items() for kind in kinds},
        },
        "defaults": {"site": "Hospital San Juan de Alicante"},
    },
    left_out=(
        "A physician read 27 % of the reports; a network, which learned from these, read the rest.",
        "Images with `exclude` or `suboptimal study` are left out (dropped); the views COSTAL and "
        "EXCLUDE, as laterals are (other_view). Images without a label, or with an empty one "
        "alone, are rejected (no_label): that is not the same as normal.",
        "`unchanged` tells nothing: an image of which nothing else is said, some 2,500 of them, is "
        "rejected (no_label). Its earlier report may have named findings. torchxrayvision's reader "
        "counts it as without any.",
        "Words that are none of the findings mean none of them. Kinds of a finding, such as "
        "laminar atelectasis, mean that finding. ingest.labels may say otherwise.",
        "The age counts from the year of birth, and may be one year too many.",
    ),
)  # fmt: skip
