"""Kermany's X-rays of children, as Mendeley Data and Kaggle have them.

Source of the facts: Kermany et al., Cell 172:1122 (2018); Mendeley Data, rscbjbr9sj; the file lists
of Kaggle's archive, which holds the set twice, and macOS's own files beside it.
"""

from tfxray.components.source.dataset import Dataset, Mark

# person12_bacteria_34.jpeg, IM-0115-0001.jpeg, NORMAL2-IM-0117-0001.jpeg: the numbers of bacteria,
# virus and the two normal series are counted separately.
PATTERN = (
    r"(?:person(?P<patient>\d+)_(?P<kind>bacteria|virus)|"
    r"(?P<kind2>(?:NORMAL2-)?IM)-(?P<patient2>\d+))[^/]*$"
)

KERMANY = Dataset(
    name="kermany",
    title="Kermany's chest X-rays of children",
    size="5,856 images, 1.2 GB",
    licence="CC BY 4.0",
    citation="Kermany et al., Cell 172:1122, 2018; Mendeley Data, doi:10.17632/rscbjbr9sj",
    address="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
    # Many folders have the classes NORMAL and PNEUMONIA: the names of the files tell.
    marks=(
        Mark("train/NORMAL/*IM-[0-9]*"),
        Mark(("train/PNEUMONIA/person[0-9]*_virus_*", "train/PNEUMONIA/person[0-9]*_bacteria_*")),
        Mark(("test/PNEUMONIA/person[0-9]*_virus_*", "test/PNEUMONIA/person[0-9]*_bacteria_*")),
    ),
    images=("train/NORMAL/*.jpeg", "train/PNEUMONIA/*.jpeg", "test/NORMAL/*.jpeg"),
    classes=("NORMAL", "PNEUMONIA"),
    ingest={"pattern": PATTERN},
    # The 16 images of val decide nothing.
    split={"eval_from_train": 0.1},
    official="in the folders train and test; the 16 images of val join train, out of which eval is "
    "drawn by patient",
    left_out=(
        "All are children of one to five years, of one hospital. Of PNEUMONIA, the file names tell "
        "bacteria and virus; that is read as a part of the patient alone.",
        "The images of test are of another kind than those of train: figures on them are lower "
        "than on patients who are drawn out of train (split.ignore_given).",
    ),
)  # fmt: skip
