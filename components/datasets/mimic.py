"""MIMIC-CXR-JPG, releases 2.0.0 and 2.1.0.

Source of the facts: the description on PhysioNet (physionet.org/content/mimic-cxr-jpg), Johnson et
al. (arXiv:1901.07042), and torchxrayvision's reader with the tables that its tests draw. No table
has a path: it is made of a row's numbers. The labels are a study's, and hold for its images.
"""

from tfxray.components.datasets.chexpert import FINDINGS, MINED, NO_FINDING
from tfxray.components.source.dataset import Dataset, Mark

_KEYS = ("subject_id", "study_id")
_RELEASE = "mimic-cxr-2.?.?-"  # 2.1.0 kept the names of 2.0.0

MIMIC_CXR_JPG = Dataset(
    name="mimic_cxr_jpg",
    title="MIMIC-CXR-JPG",
    size="377,110 images of 65,379 patients, 570 GB",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Johnson et al., MIMIC-CXR-JPG, 2019, arXiv:1901.07042",
    address="https://physionet.org/content/mimic-cxr-jpg/",
    marks=(
        Mark(f"{_RELEASE}metadata.csv*", ("dicom_id", *_KEYS, "ViewPosition")),
        Mark(f"{_RELEASE}split.csv*", ("dicom_id", "split")),
    ),
    images=("files/p1*/p*/s*/*.jpg",),
    names=r"(?:^|/)p1\d{7}/s5\d{7}/[0-9a-f]{8}(?:-[0-9a-f]{8}){4}\.jpg$",
    findings=tuple(sorted(FINDINGS)),
    ingest={
        "manifest": f"{_RELEASE}metadata.csv*",
        "joins": [
            {"table": f"{_RELEASE}split.csv*", "by": ["dicom_id"]},
            # Two labelers have read the same reports. Either table is enough.
            {"table": [f"{_RELEASE}chexpert.csv*", f"{_RELEASE}negbio.csv*"], "by": list(_KEYS)},
        ],
        "columns": {
            "path": "files/p{subject_id:.2}/p{subject_id}/s{study_id}/{dicom_id}.jpg",
            "patient": "subject_id", "split": "split",
            "view": ["ViewPosition", "ViewCodeSequence_CodeMeaning"], **NO_FINDING,
        },
        "defaults": {"site": "Beth Israel Deaconess Medical Center"},
    },
    official="the table of splits: train, validate (eval) and test, by patient",
    left_out=(
        f"{MINED} They are CheXpert's; NegBio's if that table alone is there, or if ingest.joins "
        "names it. The images of studies without a row of labels are rejected (no_label).",
        "mimic-cxr-2.1.0-test-set-labeled.csv, a radiologist's labels of 687 studies, is not read.",
        "Its tables tell neither age nor sex: those are in MIMIC-IV.",
    ),
)  # fmt: skip
