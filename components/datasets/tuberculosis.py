"""Sets of X-rays of tuberculosis.

Source of the facts: Jaeger et al., Quant. Imaging Med. Surg. 4:475 (2014), and the READMEs of the
National Library of Medicine (Shenzhen, Montgomery); Liu et al., CVPR 2020, and the lists in the
archive (TBX11K); Rahman et al., IEEE Access 8 (2020), and the file list on Kaggle (Qatar); Chauhan
et al., PLoS ONE 9:e112980 (2014) (India). The ways in which readings write age and sex are those of
the programs that read them.
"""

from tfxray.components.datasets import beside
from tfxray.components.source.dataset import Dataset, Mark

_NLM_LICENCE = "free to use, with attribution to the National Library of Medicine"
_NLM_CITATION = "Jaeger et al., Quant. Imaging Med. Surg. 4:475, 2014"
_NLM_ADDRESS = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html"
_NLM_CLASSES = ("normal", "tuberculosis")
_NLM_LABELS = {"0": "normal", "1": "tuberculosis"}
_NLM_VIEWS = "The authors call all X-rays postero-anterior. No file tells the view: it is unknown."
_NLM_MASKS = "Masks of the lungs are left out."

SHENZHEN = Dataset(
    name="shenzhen",
    title="Shenzhen (NLM)",
    size="662 images, 3.6 GB",
    licence=_NLM_LICENCE,
    citation=_NLM_CITATION,
    address=_NLM_ADDRESS,
    marks=(Mark("CXR_png/CHNCXR_[0-9]*_[01].png"),),
    images=("CXR_png/CHNCXR_0001_0.png",),
    classes=_NLM_CLASSES,
    ingest={
        # Some archives have Montgomery's in the same folder.
        "include": ["CHNCXR_*"],
        "pattern": r"CHNCXR_\d+_(?P<label>[01])\.\w+$",
        "labels": _NLM_LABELS,
        "defaults": {"site": "Shenzhen No. 3 People's Hospital"},
    },
    left_out=(
        _NLM_MASKS,
        "Age and sex are those of ClinicalReadings/*.txt; which tuberculosis it is stays unread.",
        "No patients are told: each image counts as a patient.",
        _NLM_VIEWS,
    ),
    read_beside=beside.read_shenzhen,
)  # fmt: skip

MONTGOMERY = Dataset(
    name="montgomery",
    title="Montgomery County (NLM)",
    size="138 images, 0.6 GB",
    licence=_NLM_LICENCE,
    citation=_NLM_CITATION,
    address=_NLM_ADDRESS,
    marks=(Mark("CXR_png/MCUCXR_[0-9]*_[01].png"),),
    images=("CXR_png/MCUCXR_0001_0.png",),
    classes=_NLM_CLASSES,
    ingest={
        "include": ["MCUCXR_*"],
        "pattern": r"MCUCXR_\d+_(?P<label>[01])\.\w+$",
        "labels": _NLM_LABELS,
        "defaults": {"site": "Montgomery County"},
    },
    left_out=(
        _NLM_MASKS,
        "Age, sex and patient are those of ClinicalReadings/*.txt; two files are of one patient "
        "where a reading says so. Which tuberculosis it is stays unread.",
        _NLM_VIEWS,
    ),
    read_beside=beside.read_montgomery,
)  # fmt: skip

TBX11K = Dataset(
    name="tbx11k",
    title="TBX11K",
    size="11,200 images, 3 GB; 8,400 have labels",
    licence="for research that is not commercial; see the address",
    citation="Liu et al., Rethinking computer-aided tuberculosis diagnosis, CVPR 2020",
    address="https://mmcheng.net/tb/",
    marks=(
        Mark("imgs/health/h[0-9]*.png"),
        Mark("imgs/sick/s[0-9]*.png"),
        Mark("imgs/tb/tb[0-9]*.png"),
    ),
    images=("imgs/health/*.png", "imgs/sick/*.png", "imgs/tb/*.png"),
    classes=("health", "sick", "tb"),
    ingest={"root": "imgs", "exclude": ["imgs/extra", "imgs/test"]},
    split={"lists": {"train": "lists/TBX11K_train.txt", "test": "lists/TBX11K_val.txt"}},
    official="lists/TBX11K_train.txt, and as test lists/TBX11K_val.txt; eval is drawn out of train",
    left_out=(
        "imgs/test is left out: its labels are not public. So the official validation part is held "
        "out as test.",
        "imgs/extra is left out: it holds other public sets.",
        "No patients are told: each image counts as a patient.",
        "Of tb, boxes and whether it is active or latent stay unread.",
    ),
)  # fmt: skip

TB_QATAR = Dataset(
    name="tb_qatar",
    title="TB Chest Radiography Database (Qatar)",
    size="4,200 images, 0.7 GB",
    licence="that of each source, which the workbooks beside the images name",
    citation="Rahman et al., IEEE Access 8:191586, 2020",
    address="https://www.kaggle.com/datasets/tawsifurrahman/tuberculosis-tb-chest-xray-dataset",
    marks=(
        Mark("Normal/Normal-[0-9]*.png"),
        Mark("Tuberculosis/Tuberculosis-[0-9]*.png"),
    ),
    images=("Normal/Normal-1.png", "Tuberculosis/Tuberculosis-1.png"),
    classes=("Normal", "Tuberculosis"),
    left_out=(
        "No patients are told: images of one patient may lie in several splits.",
        "The site is the address that the workbook of a class gives for an image. The classes come "
        "from different hospitals and machines: a network may tell those. Some images are those of "
        "Shenzhen, Montgomery and RSNA: do not test a model of this set on them.",
    ),
    read_beside=beside.read_sources,
)  # fmt: skip

TB_INDIA = Dataset(
    name="tb_india",
    title="Indian sets DA and DB (tbxpredict)",
    size="156 and 150 images",
    licence="free to use for research; see the address",
    citation="Chauhan, Chauhan, Rout, PLoS ONE 9:e112980, 2014",
    address="https://sourceforge.net/projects/tbxpredict/",
    marks=(
        Mark("Training/nx[0-9]*"),
        Mark("Training/px[0-9]*"),
        Mark("Testing/[np]x[0-9]*"),
    ),
    images=("Training/nx1.jpg", "Training/px1.jpg", "Testing/nx2.jpg"),
    classes=_NLM_CLASSES,
    ingest={
        "pattern": r"(?:^|/)(?P<label>[np])x\d+[^/]*$",
        "labels": {"n": "normal", "p": "tuberculosis"},
    },
    official="in the folders Training and Testing; eval is drawn out of Training",
    left_out=(
        "No patients are told: each image counts as a patient.",
        "DatasetA and DatasetB are two sets: name the folder of one.",
    ),
)  # fmt: skip

DATASETS = (SHENZHEN, MONTGOMERY, TBX11K, TB_QATAR, TB_INDIA)
