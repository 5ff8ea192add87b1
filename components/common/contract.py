"""The data contract: features of the records, outputs of Transform and of the served model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

IMAGE = "image/encoded"
FORMAT = "image/format"
FILENAME = "image/filename"
SHA256 = "image/sha256"
HEIGHT = "image/height"
WIDTH = "image/width"
MEAN = "image/mean"
STD = "image/std"
SHARPNESS = "image/sharpness"
PHASH = "image/phash"
LABEL = "image/class/label"
TEXT = "image/class/text"
PATIENT = "patient/id"
AGE = "patient/age"
SEX = "patient/sex"
VIEW = "study/view"
SITE = "study/site"

# Every feature of the contract and its kind in a tf.train.Example.
FEATURES = {
    IMAGE: bytes, FORMAT: bytes, FILENAME: bytes, SHA256: bytes, PHASH: bytes,
    HEIGHT: int, WIDTH: int, MEAN: float, STD: float, SHARPNESS: float,
    LABEL: int, TEXT: bytes,
    PATIENT: bytes, AGE: float, SEX: bytes, VIEW: bytes, SITE: bytes,
}  # fmt: skip

# The words of the features that have a few; TF-slim writes formats in capitals.
WORDS = {
    FORMAT: ("jpeg", "png", "JPEG", "PNG"),
    SEX: ("F", "M"),
    VIEW: ("PA", "AP", "LL"),
}

# What a manifest's columns and a file name pattern's groups are called, and the feature each fills.
METADATA = {"patient": PATIENT, "age": AGE, "sex": SEX, "view": VIEW, "site": SITE}

SPLITS = ("train", "eval", "test")

_FINDING = "finding/"


def finding(name: str) -> str:
    """The feature of a finding: 1 present, 0 absent, -1 uncertain; missing where nobody said."""
    return _FINDING + name


_OWN = "image:"


def own_patient(name: str) -> str:
    """The patient of an image whose patient is unknown: one of its own.

    Args:
        name: The image's file, as the file system has it; what is no UTF-8 in it is escaped.
    """
    return f"{_OWN}{name}".encode("utf-8", "backslashreplace").decode()


def is_own_patient(patient: str) -> bool:
    """Whether a patient is one of `own_patient`: nobody knows whose the image is."""
    return patient.startswith(_OWN)


# Transform's outputs.
EMBEDDING = "embedding"
DISTORTED = "distorted"  # embeddings of distorted copies
PIXELS = "pixels"
TARGET = "target"
KEY = "key"  # a hash of the file, to find an image again
NAME = "name"  # `image/filename`, by which Trainer sorts; empty where unknown
HOSPITAL = "hospital"  # `study/site`, empty where unknown
PROJECTION = "projection"  # `study/view`, empty where unknown
OWNER = "owner"  # a hash of the patient; of the file where the patient is unknown

# In the names of its files: which part of a split, drawn by the examples' keys, a file holds of.
BUCKET = "-bucket-{:05d}-of-{:05d}-"

# The served model's outputs.
SCORE = "score"  # of the last class: for two classes, the positive one
SCORES = "scores"
CLASSES = "classes"
POSITIVE = "positive"  # 1 where the score reaches the operating point, else 0
THRESHOLD = "threshold"
DISTANCE = "distance"  # to the training images
UNLIKE = "unlike"  # whether it is further than they are
SIGNATURE_EXAMPLES = "serving_default"
SIGNATURE_BYTES = "serving_bytes"

# How heat maps are made; `explain.heat_maps` knows how.
EXPLAIN_METHODS = ("grad-cam", "integrated-gradients", "shap")

UNKNOWN = -1  # in a matrix of labels: nobody said, or nobody is sure


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model is asked.

    Attributes:
        names: Of the classes, the negative one first; or of the findings.
        exclusive: Whether an image has exactly one of them. Else it has none, one or several.
    """

    names: tuple[str, ...]
    exclusive: bool = True

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Task":
        """The task of a config, or of what a node is told: `classes`, or else `findings`."""
        if findings := config.get("findings"):
            return cls(tuple(findings), False)
        return cls(tuple(config["classes"]))

    @property
    def binary(self) -> bool:
        """Whether there are two classes, so that one score tells both."""
        return self.exclusive and len(self.names) == 2

    @property
    def softmax(self) -> bool:
        """Whether the scores of an image sum to 1, one for each of its names."""
        return self.exclusive and not self.binary

    @property
    def judged(self) -> tuple[str, ...]:
        """What is scored, each against all else: of two classes, the positive one alone."""
        return self.names[1:] if self.binary else self.names

    def index(self, name: str) -> int:
        """The column of one of `judged`."""
        return self.judged.index(name)
