"""The configuration's sections and keys, with their defaults; `config_file` reads them."""

from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, field_validator, model_validator

from tfxray.components.common.contract import (
    FEATURES,
)
from tfxray.pipeline.config.base import Section, Share
from tfxray.pipeline.config.data import Ingest, Split, Validation
from tfxray.pipeline.config.kubeflow import Kubeflow
from tfxray.pipeline.config.train import Train
from tfxray.pipeline.config.tune import Tune

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


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
        options: As on Beam's command line, one item each; `docs/beam.md` has some per runner.
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
