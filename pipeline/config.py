"""The configuration's sections and keys, with their defaults; `config_file` reads them."""

import re
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, field_validator, model_validator

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
from tfxray.pipeline.kubeflow_config import Kubeflow
from tfxray.pipeline.section import Section, Share
from tfxray.pipeline.train_config import Train
from tfxray.pipeline.tune_config import Tune

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class Sample(Section):
    """A drawn set, used when neither `--data` nor `ingest.data` names one."""

    images: int = Field(1200, ge=20)
    size: int = Field(160, ge=64, le=1024)
    seed: int = 0


class Ingest(Section):
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


class Split(Section):
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


class DataGate(Section):
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


class Validation(Section):
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


class Head(Section):
    """The layers on top of the backbone.

    Attributes:
        hidden: Widths of dense layers before the output.
        dropout: Share dropped before each dense layer.
        batch_norm: Normalise the embedding first.
    """

    hidden: list[Annotated[int, Field(ge=1)]] = []
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    batch_norm: bool = True


class Model(Section):
    """The network.

    Attributes:
        backbone: A `keras.applications` network by name, or `cnn_150`.
        arguments: Further arguments of it, such as `alpha`.
        weights: `imagenet`, `bundled`, `none` or a path.
        image_size: Pixels on each side, to which images are resized.
        pooling: What becomes of the backbone's last feature map: its mean, its maximum, or all of
            it.
        head: The layers on top.
    """

    backbone: str = "MobileNetV2"
    arguments: dict[str, float | int | bool | str] = {}
    weights: str = "imagenet"
    image_size: int = Field(224, ge=32, le=2048)
    pooling: Literal["avg", "max", "flatten"] = "avg"
    head: Head = Head()


class Evaluate(Section):
    """What is reported of the test split.

    Attributes:
        slices: Feature names to slice by; a list within crosses features. Features that the data
            lacks are left out. Age goes by bands: 0-17, 18-39, 40-59, 60-79, 80 and more.
        intervals: TFMA's jackknife confidence intervals, by image. The page's and the gate's are
            by patient.
        min_patients: A slice with fewer has no figures; a site with fewer of a class is left out
            of the table of how sites carry to each other.
    """

    slices: list[str | list[str]] = ["study/site", "patient/sex", "study/view", "patient/age"]
    intervals: bool = False
    min_patients: int = Field(10, ge=1)

    @field_validator("slices")
    @classmethod
    def _slices(cls, value: list[str | list[str]]) -> list[str | list[str]]:
        for item in value:
            for name in [item] if isinstance(item, str) else item:
                if name not in FEATURES:
                    raise ValueError(f"no such feature: {name!r}; allowed: {', '.join(FEATURES)}")
        return value


class AucGate(Section):
    """The bar on the held-out patients.

    Attributes:
        threshold: Least AUC of the whole test split.
        bound: What must reach it: the AUC itself, or the lower end of its 95 % interval.
        max_drop: How far the AUC may lie below the latest blessed model's on the same images.
    """

    threshold: Share = 0.9
    bound: Literal["value", "lower"] = "value"
    max_drop: Share = 0.02


class Gate(Section):
    """What a model must reach to be pushed; null leaves a rule out.

    Attributes:
        auc: The bar on the whole test split.
        slice_auc: Least AUC of every slice with `evaluate.min_patients` patients of each class.
        calibration_error: Most expected calibration error of the whole test split, beyond what so
            many images show by chance.
        min_positives: Fewest held-out patients with the finding: with fewer, nothing is judged.
        min_negatives: Fewest without it.
        servable: TensorFlow alone, in a process of its own, must score images as the trained
            model does, through both signatures.
    """

    auc: AucGate = AucGate()
    slice_auc: Share | None = 0.7
    calibration_error: Share | None = 0.1
    min_positives: int = Field(10, ge=1)
    min_negatives: int = Field(10, ge=1)
    servable: bool = True


class Threshold(Section):
    """Which score makes an image positive; chosen on validation.

    Attributes:
        rule: `youden`: most sensitivity + specificity; `sensitivity`: the highest threshold that
            reaches it; `cost`: least cost of misses and false alarms; `fixed`: as given.
        sensitivity: To be reached.
        cost_of_miss: In false alarms.
        value: The fixed threshold.
    """

    rule: Literal["youden", "sensitivity", "cost", "fixed"] = "youden"
    sensitivity: Annotated[float, Field(gt=0, le=1)] = 0.95
    cost_of_miss: Annotated[float, Field(gt=0)] = 5.0
    value: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Serving(Section):
    """The exported model, which lies in `<out>/serving/<model_name>/<version>/`.

    Attributes:
        model_name: Default: the config's name.
        threshold: Which score makes an image positive.
        calibrate: Divide the logit by a temperature fitted on validation.
        unlike_share: An image further from the training data than all but this share of the
            validation images is flagged as unlike it.
    """

    model_name: Name | None = None
    threshold: Threshold = Threshold()
    calibrate: bool = True
    unlike_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.01


class Beam(Section):
    """Options for every Beam job.

    Attributes:
        options: As on Beam's command line, one item each: see `docs/how-to/beam.md`.
    """

    options: list[str] = []


class Config(Section):
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
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    serving: Serving = Serving()
    beam: Beam = Beam()
    kubeflow: Kubeflow = Kubeflow()

    @field_validator("classes")
    @classmethod
    def _classes(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a class is named twice")
        if len(value) != 2:
            raise ValueError("two classes are needed, the second one the positive")
        return value

    @model_validator(mode="after")
    def _workers(self) -> "Config":
        if self.kubeflow.workers and self.train.distribution != "multi_worker":
            raise ValueError("kubeflow.workers need train.distribution multi_worker")
        return self

    @property
    def model_name(self) -> str:
        """The name under which the model is pushed."""
        return self.serving.model_name or self.name

    def to_yaml(self) -> str:
        """The configuration with all defaults, in YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)
