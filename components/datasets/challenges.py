"""Sets of challenges: RSNA's of pneumonia, SIIM-ACR's of pneumothorax, and foreign objects.

Source of the facts of the first two, which are of NIH's images: `stage_2_train_labels.csv` (30,227
rows, 26,684 images) and `train-rle.csv` (12,954 rows, 12,047 images) themselves; Shih et al.,
Augmenting the NIH Chest Radiograph Dataset (Radiology: AI 2019); Kaggle's page of the data; and
torchxrayvision's readers. The DICOM files tell age (without a unit), sex and view.

Of Object-CXR: the authors' pages (jfhealthcare.github.io/object-CXR, MIDL 2020, and
academictorrents.com), and public programs that read the tables. The pages call the column of
the images `image_path`, and the tables `image_name`.
"""

from tfxray.components.source.dataset import Dataset, Mark

_OF_NIH = (
    "The images are a part of NIH ChestX-ray14's: a model that was trained on one of the two is "
    "not to be tested on the other."
)
_NO_PATIENTS = (
    "The number of the patient is one of the image: images of one patient may go to several splits."
)

RSNA_PNEUMONIA = Dataset(
    name="rsna_pneumonia",
    title="RSNA Pneumonia Detection Challenge (2018)",
    size="26,684 labelled DICOM images",
    licence="RSNA's terms: any use, with attribution; the images are NIH's",
    citation="Shih et al., Radiology: Artificial Intelligence 2019;1(1):e180041",
    address="https://www.rsna.org/education/ai-resources-and-training/ai-image-challenge",
    marks=(Mark("stage_2_train_labels.csv*", ("patientId", "Target")),),
    images=("stage_2_train_images/*.dcm",),
    classes=("No Lung Opacity", "Lung Opacity"),
    ingest={
        "manifest": "stage_2_train_labels.csv*",
        # An image has a row of each box; but for the boxes, they say the same.
        "columns": {"path": "patientId", "label": "Target", "patient": "patientId"},
        "labels": {"0": "No Lung Opacity", "1": "Lung Opacity"},
        "extension": ".dcm",
        "exclude": ["stage_2_test_images"],
    },
    left_out=(
        "The folder stage_2_test_images: Kaggle published no labels of it.",
        "The boxes: an image has Lung Opacity if it has one, by which readers suspected pneumonia.",
        "No Lung Opacity is not healthy: it joins Normal and No Lung Opacity / Not Normal. For "
        "these as three classes, name all of them in `classes`, and write ingest: {dataset: "
        "rsna_pneumonia, manifest: stage_2_detailed_class_info.csv, columns: {label: class}}.",
        _NO_PATIENTS,
        _OF_NIH,
    ),
)

SIIM_ACR = Dataset(
    name="siim_acr",
    title="SIIM-ACR Pneumothorax Segmentation (2019)",
    size="12,047 labelled DICOM images",
    licence="rules of the Kaggle competition; see the address; the images are NIH's",
    citation="SIIM-ACR Pneumothorax Segmentation, Kaggle 2019",
    address="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
    marks=(Mark("train-rle.csv*", ("ImageId", "EncodedPixels")),),
    images=("dicom-images-train/*/*/*.dcm",),
    names=r"(?:^|/)1\.2\.276\.0\.7230010\.3\.1\.4\.[\d.]+\.dcm$",
    classes=("No Pneumothorax", "Pneumothorax"),
    ingest={
        "manifest": "train-rle.csv*",
        "columns": {"path": "ImageId", "label": "EncodedPixels"},
        # Anything but -1 is a mask, of which an image has one or several.
        "labels": {"-1": "No Pneumothorax", "*": "Pneumothorax"},
        "extension": ".dcm",
        "exclude": ["dicom-images-test"],
        "several": "any",
    },
    left_out=(
        "The folder dicom-images-test: its labels came later, in a table of its own.",
        "The masks: an image has Pneumothorax if it has one.",
        _NO_PATIENTS,
        _OF_NIH,
    ),
)

OBJECT_CXR = Dataset(
    name="object_cxr",
    title="Object-CXR",
    size="9,000 labelled images",
    licence="the authors' terms; see the address",
    citation="JF Healthcare, object-CXR: automatic detection of foreign objects, MIDL 2020",
    address="https://academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5",
    marks=(
        Mark("train.csv*", ("image_name or image_path", "annotation")),
        Mark("dev.csv*", ("image_name or image_path", "annotation")),
    ),
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
