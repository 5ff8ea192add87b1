"""Open-I, the Indiana University chest X-ray collection, in two layouts.

Source of the facts: the 3,955 reports themselves (`NLMCXR_reports.tgz`); Demner-Fushman et al.,
Preparing a collection of radiology examinations (JAMIA 2016); Kaggle's page of its
copy; and torchxrayvision's reader. A report is of one study of one patient. People coded it by
words of MeSH and RadLex: `Opacity/lung/upper lobe/right` is the finding, and where and how it is.
Kaggle's column `Problems` has the first part of each.
"""

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.source.dataset import Dataset, Mark

_REPORTS = "ecgen-radiology"
_LARGEST = 2**20  # bytes of a report; the real ones have up to 8,967
# `CXR10_IM-0002-1001` in a report and of a PNG file, `10_IM-0002-1001` of a DICOM file; report 1
# alone says `CXR1_1_IM-0001-3001`.
_IMAGE = re.compile(r"(?:CXR)?(?P<number>\d+)_(?:(?P=number)_)?(?P<image>IM-[\w-]+)")
# The words of at least 20 reports, but for those that name only a place (Lung, Spine, Aorta,
# Diaphragm, ...) or the image's quality; without commas, which no word needs to be told.
FINDINGS = (
    "Opacity", "Cardiomegaly", "Pulmonary Atelectasis", "Calcinosis", "Calcified Granuloma",
    "Cicatrix", "Markings", "Pleural Effusion", "Atherosclerosis", "Catheters Indwelling",
    "Airspace Disease", "Density", "Deformity", "Granulomatous Disease", "Nodule",
    "Implanted Medical Device", "Surgical Instruments", "Scoliosis", "Fractures Bone",
    "Pulmonary Congestion", "Osteophyte", "Infiltrate", "Spondylosis", "Emphysema", "Thickening",
    "Granuloma", "Pulmonary Disease Chronic Obstructive", "Hernia Hiatal", "Pulmonary Edema",
    "Pneumonia", "Pulmonary Emphysema", "Diaphragmatic Eventration", "Kyphosis", "Arthritis",
    "Bone Diseases Metabolic", "Tube Inserted", "Consolidation", "Foreign Bodies", "Lucency",
    "Medical Device", "Pneumothorax", "Spinal Fusion",
)  # fmt: skip
# Nobody coded a report of `No Indexing`. Any other word is none of the findings.
_WORDS = {"labels": {"No Indexing": None, "*": ""}, "label_separator": "semicolon"}
_DEFAULTS = {"site": "Indiana University"}
_LEFT_OUT = (
    "Reports that nobody coded (No Indexing): their findings are unknown.",
    "The labels are the report's: an image may not show a finding that its other view shows.",
    "Words of fewer than 20 reports, and those that only name a place, mean none of the findings. "
    "Name any word in `findings` to have it.",
)


def read_reports(source: str, paths: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """What the reports in XML tell of their images.

    Args:
        source: The data set's folder.
        paths: Of its images, below it. The name tells the report's number.

    Returns:
        The label, which names the findings, and the patient, by the image's path.

    Raises:
        UserError: A report is damaged, or no image has one.
    """
    reports: dict[str, tuple[frozenset[str], str]] = {}
    told: dict[str, Mapping[str, str]] = {}
    for path in paths:
        if not (name := _IMAGE.match(posixpath.basename(path))):
            continue
        number = name["number"]
        if number not in reports:
            reports[number] = _read_report(os.path.join(source, _REPORTS, f"{number}.xml"))
        images, label = reports[number]
        if name["image"] in images:
            told[path] = {"label": label, "patient": number}
    if not told:
        raise UserError(
            f"{source}: {_REPORTS} tells of none of the images. Their names are those of the "
            "reports' parentImage, such as CXR10_IM-0002-1001.png, or, of DICOM files, "
            "10_IM-0002-1001.dcm"
        )
    return told


def _read_report(path: str) -> tuple[frozenset[str], str]:
    """The images of a report, and the first parts of its words; of none, if it is not there."""
    if not filesystem.is_file(path):
        return frozenset(), ""
    try:
        with filesystem.open_file(path) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise UserError(f"{path}: holds more than {_LARGEST} bytes, which no report needs")
        report: Element = ElementTree.fromstring(content, forbid_dtd=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or 'unknown'}") from None
    except (ParseError, ValueError, LookupError, DefusedXmlException):
        raise UserError(f"{path}: is no report in XML. Unpack NLMCXR_reports.tgz again") from None
    words = [(major.text or "").split("/")[0].strip() for major in report.iterfind("MeSH/major")]
    names = [_IMAGE.match(image.get("id", "")) for image in report.iterfind("parentImage")]
    return frozenset(name["image"] for name in names if name), ";".join(filter(None, words))


OPENI = Dataset(
    name="openi",
    title="Open-I (Indiana University), Kaggle's layout",
    size="7,470 images of 3,955 reports",
    licence="CC BY-NC-ND 4.0",
    citation="Demner-Fushman et al., JAMIA 2016;23(2):304-310",
    address="https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university",
    marks=(
        Mark("indiana_projections.csv*", ("uid", "filename", "projection")),
        Mark("indiana_reports.csv*", ("uid", "Problems")),
    ),
    images=("images/images_normalized/*.png",),
    names=r"(?:^|/)\d+_IM-\d{4}-\d+\.dcm\.png$",
    findings=FINDINGS,
    ingest={
        "manifest": "indiana_projections.csv*",
        "joins": [{"table": "indiana_reports.csv*", "by": ["uid"]}],
        "columns": {
            "path": "filename", "label": "Problems", "view": "projection", "patient": "uid",
        },
        # PA or AP: nobody said.
        "unknown": {"view": ["Frontal"]},
        "defaults": _DEFAULTS,
        **_WORDS,
    },
    left_out=("The laterals: they show other things, and their labels are the report's.",
              *_LEFT_OUT),
)  # fmt: skip

OPENI_XML = Dataset(
    name="openi_xml",
    title="Open-I (Indiana University), the reports in XML",
    size="7,470 images of 3,955 reports",
    licence="CC BY-NC-ND 4.0",
    citation="Demner-Fushman et al., JAMIA 2016;23(2):304-310",
    address="https://openi.nlm.nih.gov/faq",
    marks=(Mark("ecgen-radiology/*.xml"),),
    images=("**/CXR*_IM-*.png", "**/*_IM-*.dcm"),
    findings=FINDINGS,
    ingest={"defaults": _DEFAULTS, **_WORDS},
    left_out=(
        "The laterals, as far as DICOM files tell their view. PNG files tell none: half of them "
        "are laterals, which are used.",
        *_LEFT_OUT,
    ),
    read_beside=read_reports,
)
