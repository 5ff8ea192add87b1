"""Object-CXR: foreign objects in chest X-rays.

Source of the facts: the authors' pages (jfhealthcare.github.io/object-CXR, MIDL 2020, and
academictorrents.com), and public programs that read the tables. The pages call the column of
the images `image_path`, and the tables `image_name`.
"""

from tfxray.components.source.dataset import Dataset, Mark

OBJECT_CXR = Dataset(
    name="object_cxr",
    title="Object-CXR",
    size="9,000 labelled images",
    licence="CC BY-NC 4.0",
    citation="JF Healthcare, object-CXR: automatic detection of foreign objects, MIDL 2020",
    address="https://academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5",
    marks=(Mark("train.csv*", ("annotation",)), Mark("dev.csv*", ("annotation",))),
    images=("train/*.jpg", "dev/*.jpg"),
    classes=("No Foreign Object", "Foreign Object"),
    ingest={
        "manifest": {"train": "train.csv*", "test": "dev.csv*"},
        "columns": {"path": ["image_name", "image_path"], "label": "annotation"},
        # An empty cell has no object; any other one has some, with their outlines.
        "labels": {"": "No Foreign Object", "*": "Foreign Object"},
        "exclude": ["test"],
    },
    # The gate's figures must come from images that the authors held out. Of these, only dev has
    # labels; eval, which chooses the operating point, is drawn out of train.
    official="8,000 images for train, and dev's 1,000 for test; eval is drawn out of train",
    left_out=(
        "The test images: their labels were not published, so that dev stands for test.",
        "The outlines: an image has Foreign Object if it has one. Support devices are none.",
        "No patients are named: each image counts as a patient.",
    ),
)
