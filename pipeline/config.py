"""The configuration: one YAML file, read into typed models, overridden by `--set a.b=value`."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from tfxray.components.errors import UserError
from tfxray.components.names import (
    AGE,
    FEATURES,
    MEAN,
    METADATA,
    SEX,
    SHARPNESS,
    SITE,
    STD,
    TEXT,
    VIEW,
)

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sample(_Section):
    """A drawn set, used when neither `--data` nor `ingest.data` names one."""

    images: int = Field(1200, ge=20)
    size: int = Field(160, ge=64, le=1024)
    seed: int = 0


class Ingest(_Section):
    """Where images come from and how they are labelled.

    Attributes:
        data: Folder of images or TFRecords; `--data` overrides it.
        sample: Draw a set instead.
        manifest: CSV below the data folder, with the columns `path`, `label` and any of
            `patient,age,sex,view,site`. Default: `manifest.csv` where there is one.
        pattern: Regular expression, matched against the path below the data folder, whose named
            groups (`label`, `patient`, `age`, `sex`, `view`, `site`) fill what the manifest does
            not. Groups may repeat under a numeral (`patient2`): the first that matched counts,
            and `kind` is put before the patient, so that numbers of two series do not meet.
        labels: What a folder, manifest or pattern calls a class: `{normal: NORMAL}`.
        features: TFRecords that name things otherwise: `{image/encoded: image}`.
        shards: TFRecord files written per split; 0 lets Beam choose, and needs less memory.
        max_pixels: Larger images are set aside undecoded.
        pseudonym_key: File of the key by which DICOM's patients become pseudonyms. Default: the
            environment's TFXRAY_PSEUDONYM_KEY, else a fresh key kept beside the records.
    """

    data: str | None = None
    sample: Sample | None = None
    manifest: str | None = None
    pattern: str | None = None
    labels: dict[str, str] = {}
    features: dict[str, str] = {}
    shards: int = Field(0, ge=0)
    max_pixels: int = Field(200_000_000, ge=1024)
    pseudonym_key: str | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        allowed = {"label", "kind", *METADATA}
        unknown = sorted(g for g in groups if re.sub(r"\d+$", "", g) not in allowed)
        if unknown or not groups:
            raise ValueError(
                f"named groups {unknown or 'are missing'}; allowed: {', '.join(sorted(allowed))}"
            )
        return value

    @field_validator("features")
    @classmethod
    def _features(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            raise ValueError(f"no such feature: {unknown}; allowed: {', '.join(FEATURES)}")
        return value


class Split(_Section):
    """Shares of the patients; given split folders are taken as they are.

    Attributes:
        train: Share for training.
        eval: Share for early stopping, threshold and calibration.
        test: Share for Evaluator and the gate, and nothing else.
        eval_from_train: With given folders: draw `eval` by patient out of `train` with this
            share, and leave a given `val` folder aside.
        ignore_given: Treat given split folders as one set and split it by patient.
    """

    train: Share = 0.70
    eval: Share = 0.15
    test: Share = 0.15
    eval_from_train: Share | None = None
    ignore_given: bool = False

    @model_validator(mode="after")
    def _sum(self) -> "Split":
        if abs(self.train + self.eval + self.test - 1) > 1e-6:
            raise ValueError("train, eval and test must sum to 1")
        if min(self.train, self.eval, self.test) < 0.01:
            raise ValueError("train, eval and test must each be at least 0.01")
        return self


Action = Literal["fail", "warn"]
# Jensen-Shannon divergence for numbers, L-infinity distance for categories.
DRIFT: dict[str, float | None] = {
    MEAN: 0.07, STD: 0.07, SHARPNESS: 0.07, AGE: 0.07,
    TEXT: 0.1, SEX: 0.1, VIEW: 0.1, SITE: 0.1,
}  # fmt: skip


class DataGate(_Section):
    """What each kind of finding leads to: `fail` stops the run with exit code 4.

    Attributes:
        rejects: More images set aside than `validation.max_rejected`.
        leakage: A patient, or the same pixels, in two splits.
        near_identical: Nearly the same image in two splits.
        drift: A feature lies further from the latest blessed run's than it may.
        anomalies: The data breaks the schema. Columns that the schema does not know only warn.
    """

    rejects: Action = "fail"
    leakage: Action = "fail"
    near_identical: Action = "fail"
    drift: Action = "fail"
    anomalies: Action = "fail"


class Validation(_Section):
    """What the data is checked against.

    Attributes:
        schema_file: A curated schema; default: the one in the package.
        max_rejected: Share of the images that may be set aside.
        near_distance: Images whose perceptual hashes differ in at most so many of 256 bits are
            nearly identical. Of 17 million pairs of images of different patients in Kermany's set,
            the nearest differ in 36.
        drift: Thresholds by feature, on top of `DRIFT`; null leaves a feature out. They hold for
            very large samples; for smaller ones the limit is higher, see `components/drift.py`.
        gate: What a finding leads to.
    """

    schema_file: str | None = Field(None, alias="schema")
    max_rejected: Share = 0.05
    near_distance: int = Field(16, ge=0, le=32)
    drift: dict[str, Annotated[float, Field(ge=0)] | None] = Field(DRIFT, validate_default=True)
    gate: DataGate = DataGate()

    @field_validator("drift")
    @classmethod
    def _drift(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            raise ValueError(f"no such feature: {unknown}; allowed: {', '.join(FEATURES)}")
        return {**DRIFT, **value}


class Head(_Section):
    """The layers on top of the backbone.

    Attributes:
        hidden: Widths of dense layers before the output.
        dropout: Share dropped before each dense layer.
        batch_norm: Normalise the embedding first.
    """

    hidden: list[Annotated[int, Field(ge=1)]] = []
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    batch_norm: bool = True


class Model(_Section):
    """The network.

    Attributes:
        backbone: A `keras.applications` network by name.
        arguments: Further arguments of it, such as `alpha`.
        weights: `imagenet`, `bundled`, `none` or a path.
        image_size: Pixels on each side, to which images are resized.
        head: The layers on top.
    """

    backbone: str = "MobileNetV2"
    arguments: dict[str, float | int | bool | str] = {}
    weights: str = "imagenet"
    image_size: int = Field(224, ge=32, le=2048)
    head: Head = Head()


class Train(_Section):
    """How the head is trained.

    Attributes:
        mode: `frozen`: embeddings are computed once, in Transform, and a head is trained on them.
        epochs: At most so many.
        batch_size: Over all replicas.
        learning_rate: Adam's.
        class_weights: Weigh classes by the inverse of their frequency.
        patience: Epochs without a better validation AUC before training stops; the best weights
            are restored.
        distribution: `mirrored` over all GPUs (or the CPU), or `one_device`.
        seed: Of initial weights, shuffling and dropout.
    """

    mode: Literal["frozen"] = "frozen"
    epochs: int = Field(40, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    class_weights: bool = True
    patience: int = Field(6, ge=1)
    distribution: Literal["mirrored", "one_device"] = "mirrored"
    seed: int = 0


class Evaluate(_Section):
    """What TFMA reports.

    Attributes:
        slices: Feature names to slice by; a list within crosses features. Features that the data
            lacks are left out.
        intervals: Jackknife confidence intervals.
    """

    slices: list[str | list[str]] = ["study/site", "patient/sex", "study/view"]
    intervals: bool = True

    @field_validator("slices")
    @classmethod
    def _slices(cls, value: list[str | list[str]]) -> list[str | list[str]]:
        for item in value:
            for name in [item] if isinstance(item, str) else item:
                if name not in FEATURES:
                    raise ValueError(f"no such feature: {name!r}; allowed: {', '.join(FEATURES)}")
        return value


class AucGate(_Section):
    """The bar on the held-out patients.

    Attributes:
        threshold: Least AUC of the whole test split.
        max_drop: How far the AUC may lie below the latest blessed model's on the same data.
    """

    threshold: Share = 0.9
    max_drop: Share = 0.02


class Gate(_Section):
    """What a model must reach to be pushed."""

    auc: AucGate = AucGate()


class Serving(_Section):
    """Where the pushed model lies: `<out>/serving/<model_name>/<version>/`.

    Attributes:
        model_name: Default: the config's name.
    """

    model_name: Name | None = None


class Beam(_Section):
    """Options for every Beam job.

    Attributes:
        options: As on Beam's command line: `--direct_num_workers=2`.
    """

    options: list[str] = []


class Config(_Section):
    """One experiment.

    Attributes:
        name: Of the pipeline, and of the model where `serving` names none.
        classes: The negative and the positive class, in the order of their labels.
    """

    name: Name
    classes: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]]
    ingest: Ingest = Ingest()
    split: Split = Split()
    validation: Validation = Validation()
    model: Model = Model()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    serving: Serving = Serving()
    beam: Beam = Beam()

    @field_validator("classes")
    @classmethod
    def _classes(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a class is named twice")
        if len(value) != 2:
            raise ValueError("two classes are needed, the second one the positive")
        return value

    @property
    def model_name(self) -> str:
        """The name under which the model is pushed."""
        return self.serving.model_name or self.name

    def to_yaml(self) -> str:
        """The configuration with all defaults, in YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


def load(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a configuration file.

    Args:
        path: The YAML file.
        overrides: `a.b=value` each, the value in YAML.

    Raises:
        UserError: The file cannot be read or a key or value is wrong. Names each.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must hold keys and values, such as `name: demo`")
    for override in overrides:
        _set(raw, override)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = [f"{path}: {_explain(item)}" for item in error.errors(include_url=False)]
        raise UserError("\n".join(lines)) from None


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write it as --set a.b=value")
    *parents, last = key.split(".")
    section = raw
    for parent in parents:
        nested = section.setdefault(parent, {})
        if nested is None:
            nested = section[parent] = {}
        if not isinstance(nested, dict):
            raise UserError(f"--set {override}: {parent!r} is a value, not a section")
        section = nested
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is not YAML: {error}") from None


def _explain(item: Any) -> str:
    """One pydantic error as `key = value: what is wrong; what is allowed`."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location) or "(the whole)"
    if item["type"] == "extra_forbidden":
        allowed = ", ".join(_fields(location[:-1]))
        return f"{key}: no such key; allowed here: {allowed}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key} = {item['input']!r}: {message}"


def _fields(location: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        by_alias = {f.alias or name: f for name, f in model.model_fields.items()}
        annotation = by_alias[part].annotation if part in by_alias else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return [f.alias or name for name, f in model.model_fields.items()]
