"""What the files of monitoring may hold, key by key: they may be cut, or altered by hand."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics

from tfxray.components.common.contract import FEATURES, Task
from tfxray.components.watch import feature_statistics
from tfxray.components.watch.score_histogram import ScoreHistogram

FORMAT = 1

_Name = Annotated[str, StringConstraints(min_length=1)]
_Histogram = Annotated[ScoreHistogram, BeforeValidator(ScoreHistogram.from_json)]
_Statistics = Annotated[DatasetFeatureStatistics, BeforeValidator(feature_statistics.from_json)]


class _Section(BaseModel):
    # pydantic makes no protobuf and no histogram: their own readers do, and it sees that they did.
    model_config = ConfigDict(arbitrary_types_allowed=True)


class ScoredFile(_Section):
    """`filenames.SCORED_STATISTICS`; see `scored.Scored`."""

    format: Literal[1]
    model: _Name
    images: NonNegativeInt
    patients: PositiveInt | None
    unlike: NonNegativeInt | None
    scores: dict[_Name, _Histogram] = Field(min_length=1)
    statistics: _Statistics

    @model_validator(mode="after")
    def _count(self) -> "ScoredFile":
        like = self.images - (self.unlike or 0)
        require(self.patients is None or self.patients <= self.images, "patients", self.patients,
                f"at most the {self.images} images")  # fmt: skip
        require(like >= 0, "unlike", self.unlike, f"at most the {self.images} images")
        for name, histogram in self.scores.items():
            require(histogram.total <= like, f"scores.{name}", f"of {histogram.total} images",
                    f"of at most the {like} images that are not unlike")  # fmt: skip
        examples = int(self.statistics.num_examples)
        require(examples == self.images, "statistics.numExamples", examples,
                f"{self.images}, as many as images")  # fmt: skip
        return self


class _Task(_Section):
    names: list[_Name] = Field(min_length=1)
    exclusive: bool


class _Calibration(_Section):
    intercept: FiniteFloat
    slope: FiniteFloat
    covariance: tuple[tuple[FiniteFloat, FiniteFloat], tuple[FiniteFloat, FiniteFloat]]


class _Auc(_Section):
    value: FiniteFloat = Field(ge=0, le=1)
    low: FiniteFloat = Field(ge=0, le=1)
    high: FiniteFloat = Field(ge=0, le=1)


class _HeldOut(_Section):
    positives: _Histogram
    negatives: _Histogram
    calibration: _Calibration
    auc: _Auc | None
    clustering: FiniteFloat = Field(ge=1)
    score_clustering: FiniteFloat = Field(ge=1)


class ReferenceFile(_Section):
    """`filenames.MONITORING`; see `reference.Reference`."""

    format: Literal[1]
    task: _Task
    patients: NonNegativeInt
    heldout_images: NonNegativeInt
    heldout_patients: NonNegativeInt
    heldout_unlike: NonNegativeInt
    heldout: dict[_Name, _HeldOut]
    threshold: FiniteFloat = Field(ge=0, le=1)
    drift: dict[Literal[tuple(FEATURES)], FiniteFloat]  # type: ignore[valid-type]
    statistics: _Statistics

    @model_validator(mode="after")
    def _count(self) -> "ReferenceFile":
        require_names("heldout", list(self.heldout), self.as_task().judged)
        for key in ("heldout_patients", "heldout_unlike"):
            value = getattr(self, key)
            require(value <= self.heldout_images, key, value,
                    f"at most the {self.heldout_images} of heldout_images")  # fmt: skip
        return self

    def as_task(self) -> Task:
        """What the model is asked."""
        return Task(tuple(self.task.names), self.task.exclusive)


def require(holds: bool, key: str, value: object, allowed: str) -> None:
    """Sees that a value is allowed.

    Raises:
        ValueError: It is not.
    """
    if not holds:
        raise ValueError(f"{key}: is {value}; allowed: {allowed}")


def require_names(key: str, names: Sequence[str], judged: Sequence[str]) -> None:
    """Sees that a section is of the model's own classes or findings, each of them.

    Raises:
        ValueError: It is not.
    """
    require(set(names) == set(judged), key, f"of {', '.join(names) or 'nothing'}",
            ", ".join(judged))  # fmt: skip


def explain(error: Exception) -> str:
    """Why a file cannot be read: the key, its value where that is short, and what is allowed.

    Args:
        error: What reading the file raised.
    """
    if not isinstance(error, ValidationError):
        return str(error) if isinstance(error, ValueError) else type(error).__name__
    first: Any = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
    elif first["type"] == "missing":
        text = "is missing"
    elif first["type"] == "literal_error" and key == "format":
        text = f"it is of format {first['input']}, not {FORMAT}"
        key = ""
    else:
        value = first["input"]
        plain = value is None or isinstance(value, bool | int | float)
        told = f"is {value!r}; " if plain else f"is a {type(value).__name__}; "
        text = told + first["msg"][0].lower() + first["msg"][1:]
    return f"{key}: {text}" if key else text
