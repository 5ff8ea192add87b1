"""Sets of X-rays of COVID-19, most of which were gathered from several others.

Source of the facts: the file lists and READMEs on Kaggle (COVID-19 Radiography Database,
COVID-QU-Ex); the tables themselves (`metadata.csv` of covid-chestxray-dataset, parts of the first
and the last release; `labels/*.txt` of COVID-Net, COVIDx 1 to 9) and the documents beside them. No
table of COVIDx CXR-4 was seen: by its paper and its page on Kaggle, it has the columns of COVIDx 9,
and a third table.
"""

from tfxray.components.datasets.beside import read_sources
from tfxray.components.source.dataset import Dataset, Mark

_NO_PATIENTS = "No patients are told: images of one patient may lie in several splits."
_GATHERED = "The classes come from different hospitals and machines: a network may tell those."
_MASKS = "Masks of the lungs, which have the file names of the X-rays, are left out."

COVID19_RADIOGRAPHY = Dataset(
    name="covid19_radiography",
    title="COVID-19 Radiography Database",
    size="21,165 images, 0.8 GB",
    licence="that of each source, which the workbooks beside the images name",
    citation="Chowdhury et al., IEEE Access 8, 2020; Rahman et al., Comput. Biol. Med. 132, 2021",
    address="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
    # Before 2021 the images lay in the class folders themselves.
    marks=(
        Mark(
            ("COVID/images/COVID-[0-9]*.png", "COVID/COVID*[0-9]*.png",
             "COVID-19/COVID-19*[0-9]*.png")
        ),
        Mark(
            (
                "Viral Pneumonia/images/Viral Pneumonia-[0-9]*.png",
                "Viral Pneumonia/Viral Pneumonia*[0-9]*.png",
            )
        ),
        Mark(
            ("Normal/images/Normal-[0-9]*.png", "Normal/Normal*[0-9]*.png",
             "NORMAL/NORMAL*[0-9]*.png")
        ),
    ),
    images=("CLASS/images/CLASS-1.png", "CLASS/CLASS (1).png"),
    classes=("Normal", "Lung_Opacity", "Viral Pneumonia", "COVID"),
    ingest={"labels": {"NORMAL": "Normal", "COVID-19": "COVID"}},
    left_out=(
        _MASKS,
        _NO_PATIENTS,
        "Viral Pneumonia are children of Kermany's set, and most others are adults: age tells the "
        "class.",
        "The site is the address that the workbook of a class gives for an image. " + _GATHERED,
    ),
    read_beside=read_sources,
)  # fmt: skip

# The names of earlier releases, without a hierarchy.
_EARLIER = {
    "COVID-19": "Pneumonia|Viral|COVID-19",
    "COVID-19, ARDS": "Pneumonia|Viral|COVID-19",
    "SARS": "Pneumonia|Viral|SARS",
    **dict.fromkeys(("MERS", "MERS-CoV", "Influenza", "H1N1", "Varicella", "Herpes"),
                    "Pneumonia|Viral"),
    **dict.fromkeys(
        ("Chlamydophila", "E.Coli", "Klebsiella", "Legionella", "MRSA", "Mycoplasma", "Nocardia",
         "Staphylococcus", "Streptococcus"), "Pneumonia|Bacterial"),
    **dict.fromkeys(("Aspergillosis", "Pneumocystis"), "Pneumonia|Fungal"),
    **dict.fromkeys(("Aspiration", "Lipoid"), "Pneumonia"),
}  # fmt: skip

COVID_CHESTXRAY = Dataset(
    name="covid_chestxray",
    title="covid-chestxray-dataset (Cohen)",
    size="some 950 images of 470 patients, 0.3 GB without the volumes",
    licence="that of each image: the column license",
    citation="Cohen et al., COVID-19 Image Data Collection, 2020, arXiv:2006.11988",
    address="https://github.com/ieee8023/covid-chestxray-dataset",
    marks=(
        Mark(
            "metadata.csv",
            # Many: other tables of that name have some of them, too.
            ("patientid", "offset", "sex", "age", "finding", "survival", "view", "modality", "date",
             "location", "filename", "url", "license"),
        ),
    ),
    images=("images/*",),
    findings=("Pneumonia", "Viral", "COVID-19", "SARS", "Bacterial", "Fungal", "Tuberculosis"),
    ingest={
        "manifest": "metadata.csv",
        "columns": {
            "path": ["{folder}/{filename}", "filename"], "label": "finding",
            "patient": "patientid", "age": "age", "sex": "sex", "view": "view", "site": "location",
        },
        "keep": {"modality": ["X-ray"]},
        "label_parts": "slash",
        "labels": {"todo": None, "Unknown": None, "ARDS": None, **_EARLIER},
    },
    left_out=(
        "CT and volumes are left out (modality), and images whose finding is todo, Unknown or ARDS "
        "alone.",
        "Of the hierarchy, each part that is a finding here is present, and all others are absent: "
        "so Pneumonia of which no cause is told counts as none of Viral, Bacterial and Fungal.",
        "Images come from publications: they are small, cropped, and have letters in them.",
    ),
)  # fmt: skip

_COVIDX = {
    "separator": "blanks",
    "headings": ["patient", "file", "class", "source"],
    "columns": {"path": "file", "label": "class", "patient": "patient", "site": "source"},
    # COVIDx 9 spells RSNA in two ways.
    "meanings": {"site": {"rnsa": "rsna"}},
}  # fmt: skip
_COVIDX_LICENCE = "that of each source; for research only"
_COVIDX_ADDRESS = "https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md"
_COVIDX_OFFICIAL = "train*.txt and test*.txt; eval is drawn by patient out of train"
_COVIDX_LEFT_OUT = ("The site is the collection that an image was taken from. " + _GATHERED,)
_ROW = r"\S+\s+\S+\s+(?:{})(?:\s+\S+)?"
_ROW_A, _ROW_B = _ROW.format("normal|pneumonia|COVID-19"), _ROW.format("negative|positive")
_EXAMPLE_A, _EXAMPLE_B = "`12 chest.png COVID-19 cohen`", "`12 chest.png positive cohen`"

# A folder may have the tables of both, train_COVIDx9A.txt and train_COVIDx9B.txt; and those of one
# may be train.txt, whose last letter the glob takes for one that is not B.
COVIDX_A = Dataset(
    name="covidx_a",
    title="COVIDx, three classes (A)",
    size="30,530 images (COVIDx 9A)",
    licence=_COVIDX_LICENCE,
    citation="Wang, Lin, Wong, COVID-Net, Sci. Rep. 10, 2020",
    address=_COVIDX_ADDRESS,
    marks=(
        Mark("trai*[!B].txt", line=_ROW_A, example=_EXAMPLE_A),
        Mark("tes*[!B].txt", line=_ROW_A, example=_EXAMPLE_A),
    ),
    images=("train/*", "test/*"),
    classes=("normal", "pneumonia", "COVID-19"),
    ingest={**_COVIDX, "manifest": {"train": "trai*[!B].txt", "test": "tes*[!B].txt"}},
    official=_COVIDX_OFFICIAL,
    left_out=(
        *_COVIDX_LEFT_OUT,
        "COVIDx 7A has patients with a blank in their names, and cannot be read.",
    ),
)  # fmt: skip

COVIDX_B = Dataset(
    name="covidx_b",
    title="COVIDx, two classes (B)",
    size="30,882 images (COVIDx 9B)",
    licence=_COVIDX_LICENCE,
    citation="Wang, Lin, Wong, COVID-Net, Sci. Rep. 10, 2020",
    address=_COVIDX_ADDRESS,
    marks=(
        Mark("trai*[!A].txt", line=_ROW_B, example=_EXAMPLE_B),
        Mark("tes*[!A].txt", line=_ROW_B, example=_EXAMPLE_B),
        Mark("val.txt", absent=True),
    ),
    images=("train/*", "test/*"),
    classes=("negative", "positive"),
    ingest={**_COVIDX, "manifest": {"train": "trai*[!A].txt", "test": "tes*[!A].txt"}},
    official=_COVIDX_OFFICIAL,
    left_out=(
        *_COVIDX_LEFT_OUT,
        "negative holds pneumonia of other causes, and the normal.",
    ),
)  # fmt: skip

COVIDX_CXR4 = Dataset(
    name="covidx_cxr4",
    title="COVIDx CXR-4",
    size="84,818 images of 45,342 patients",
    licence=_COVIDX_LICENCE,
    citation="Wang et al., COVIDx CXR-4, 2023, arXiv:2311.17677",
    address="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
    marks=tuple(
        Mark(f"{name}.txt", line=_ROW_B, example=_EXAMPLE_B) for name in ("train", "val", "test")
    ),
    images=("train/*", "val/*", "test/*"),
    classes=("negative", "positive"),
    ingest={
        **_COVIDX, "manifest": {"train": "train.txt", "eval": "val.txt", "test": "test.txt"},
    },
    official="train.txt, val.txt and test.txt",
    left_out=_COVIDX_LEFT_OUT,
)  # fmt: skip

_LUNGS = "Lung Segmentation Data"
_PLACES = ("Train/Non-COVID/images/*", "Test/Non-COVID/images/*", "Train/COVID-19/lung masks")
COVID_QU_EX = Dataset(
    name="covid_qu_ex",
    title="COVID-QU-Ex",
    size="33,920 images, 1.2 GB",
    licence="that of each source; see the address",
    citation="Tahir et al., Comput. Biol. Med. 139, 2021",
    address="https://www.kaggle.com/datasets/anasmohammedtahir/covidqu",
    marks=(
        *(Mark((f"{_LUNGS}/{_LUNGS}/{place}", f"{_LUNGS}/{place}", place)) for place in _PLACES),
        Mark("Train/*/infection masks", absent=True),
    ),
    images=(f"{_LUNGS}/{_LUNGS}/Train/COVID-19/images/*.png",),
    classes=("Normal", "Non-COVID", "COVID-19"),
    ingest={"exclude": ["Infection Segmentation Data"]},
    official="in the folders Train, Val and Test",
    left_out=(
        "Infection Segmentation Data is left out: it has some of the X-rays once more, in a split "
        "of its own.",
        _MASKS,
        _NO_PATIENTS + " " + _GATHERED,
    ),
)  # fmt: skip

DATASETS = (
    COVID19_RADIOGRAPHY, COVID_CHESTXRAY, COVIDX_A, COVIDX_B, COVIDX_CXR4, COVID_QU_EX,
)  # fmt: skip
