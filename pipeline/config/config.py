"""The configuration's sections and keys, with their defaults; `loader` reads them."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, field_validator, model_validator

from tfxray.components.common.contract import Task
from tfxray.components.common.errors import did_you_mean
from tfxray.components.layouts import registry
from tfxray.components.manifest.columns import COLUMNS
from tfxray.components.manifest.findings import word_key
from tfxray.components.runners import presets
from tfxray.pipeline.config.base import Section, Share, describe_choices
from tfxray.pipeline.config.data import Action, Card, Evaluate, Split, Validation
from tfxray.pipeline.config.ingest import Ingest
from tfxray.pipeline.config.kubeflow import Kubeflow
from tfxray.pipeline.config.train import Train
from tfxray.pipeline.config.tune import Tune

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
# A finding becomes a feature of the records, a column of tables and an output of TFMA.
FindingName = Annotated[str, StringConstraints(pattern=r"^[\w][\w .()&+'-]*$", max_length=100)]


class Head(Section):
    """The layers between the embedding and the score."""

    hidden: list[Annotated[int, Field(ge=1)]] = []
    """The widths of the dense layers before the output, such as `[256, 64]`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """The share of the values that is dropped before each dense layer."""
    batch_norm: bool = True
    """Normalise the embedding first."""


class Model(Section):
    """The network."""

    backbone: str = "MobileNetV2"
    """The name of a network of `keras.applications`, or `cnn_150`."""
    arguments: dict[str, float | int | bool | str] = {}
    """Further arguments of the backbone, such as `{alpha: 0.35}`."""
    weights: str = "imagenet"
    """`imagenet` (Keras downloads them), `bundled` (for MobileNetV2 with alpha 0.35, trained on
    drawn X-rays), `none` (random ones), or the path of a file that ends in `.h5`.
    """
    image_size: int = Field(224, ge=32, le=2048)
    """The width and the height in pixels to which all images are resized."""
    pooling: Literal["avg", "max", "flatten"] = "avg"
    """What becomes of the backbone's last feature map: its mean (`avg`), its maximum (`max`) or all
    of it (`flatten`).
    """
    head: Head = Head()


class AucGate(Section):
    """The rules for the AUC of the whole split `test`."""

    threshold: Share = 0.9
    """The least AUC; of more than two classes, and of findings, the least mean of their AUCs."""
    each: Share | dict[str, Share] | None = None
    """The least AUC of every class or finding, or of those that are named, such as
    `{Effusion: 0.85}`. It is for more than two classes and for findings.
    """
    bound: Literal["value", "lower"] = "value"
    """What must reach the threshold: the AUC itself (`value`) or the lower end of its 95 % interval
    (`lower`).
    """
    max_drop: Share = 0.02
    """How far the AUC may lie below that of the latest blessed model on the same images."""
    drop_bound: Literal["significant", "value", "upper", "lower"] = "significant"
    """What must lie beyond `max_drop` to refuse the model: the difference itself (`value`), the
    upper or the lower end of its 95 % interval, or the difference with an interval that lies below
    0 as a whole (`significant`), so that chance is no reason. `lower` is the strictest, `upper` the
    mildest. One class or finding of several is always judged by `significant`, with an interval
    that allows for so many comparisons.
    """


class LabelShift(Section):
    """The rules for the labels of the split `test`, by what the latest blessed run knew."""

    max_drop: Share | None = 0.05
    """How far the AUC of the latest blessed model may lie below its AUC in its own run. The upper
    end of the 95 % interval of the change decides. `null` switches the rule off.
    """
    max_relabelled: Share | None = 0.05
    """The greatest share of the images, known from the test split of the latest blessed run, that
    may have another label now. `null` switches the rule off.
    """


class ExternalGate(Section):
    """The rules for each external test set of `evaluate.external`.

    `gate.auc.bound` and `gate.auc.drop_bound` say here, too, what must reach or keep a limit. A set
    with fewer patients than `gate.min_positives` and `gate.min_negatives` cannot be judged, and
    does not keep the rules.
    """

    auc: Share | None = 0.8
    """The least AUC on the set; of more than two classes, and of findings, the least mean of their
    AUCs. `null` switches the rule off.
    """
    max_drop_from_test: Share | None = 0.1
    """How far the AUC on the set may lie below the AUC on the split `test`. `null` switches the
    rule off.
    """
    calibration_error: Share | None = None
    """The greatest expected calibration error on the set, beyond what as many images show by
    chance. It is high where another share of the patients is ill, even if the model tells them
    apart. So by default it is shown, and not judged.
    """
    action: Action = "fail"
    """What becomes of a model that does not keep these rules: it is not pushed (`fail`), or the
    page says so and it is pushed (`warn`).
    """


class Gate(Section):
    """The rules of the gate. A model is pushed only if it keeps all of them."""

    auc: AucGate = AucGate()
    label_shift: LabelShift = LabelShift()
    external: ExternalGate = ExternalGate()
    replaces_classes: list[ClassName] | None = None
    """The classes of the served model, in their order, if this config means to name or to order
    them otherwise. Else a model of other classes is refused: clients would read its scores wrongly.
    """
    slice_auc: Share | None = 0.7
    """The least AUC of every slice with `evaluate.min_patients` patients of each class. Of several
    classes or findings, it is the least mean AUC; one of them is refused only if the upper end of
    its interval lies below. `null` switches the rule off.
    """
    calibration_error: Share | None = 0.1
    """The greatest expected calibration error of the whole split `test`, beyond what as many images
    show by chance. `null` switches the rule off.
    """
    accept_without_baseline: int | None = Field(None, ge=0)
    """The number of the newest pushed version, if a model may take its place without a comparison.
    Otherwise the gate refuses a model where a version was pushed and no blessed model can score
    the same images, as after the loss of the metadata store, or where the latest blessed model is
    not the one that is served.
    """
    min_positives: int = Field(10, ge=1)
    """The fewest patients with a positive image in the split `test`. With fewer, the model is not
    blessed.
    """
    min_negatives: int = Field(10, ge=1)
    """The fewest patients with a negative image in the split `test`. With fewer, the model is not
    blessed.
    """
    unjudged: Literal["refuse", "name"] = "refuse"
    """What becomes of a model with a finding that fewer patients of the split `test` have, or lack,
    than `min_positives` and `min_negatives` say: it is refused (`refuse`), or the page names the
    finding as not judged (`name`).
    """
    servable: bool = True
    """Check the exported model: TensorFlow alone, in a process of its own, must give the scores of
    the trained model through both signatures.
    """


class Threshold(Section):
    """How the operating point is chosen on the split `eval`.

    An image whose score reaches the threshold is positive.
    """

    rule: Literal["youden", "sensitivity", "cost", "fixed"] = "youden"
    """`youden` takes the greatest sum of sensitivity and specificity. `sensitivity` takes the
    highest threshold that reaches the sensitivity below. `cost` takes the least total cost of
    misses and false alarms. `fixed` takes the value below.
    """
    sensitivity: Annotated[float, Field(gt=0, le=1)] = 0.95
    """The least sensitivity, for the rule `sensitivity`."""
    cost_of_miss: Annotated[float, Field(gt=0)] = 5.0
    """What a miss costs, counted in false alarms, for the rule `cost`."""
    value: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The threshold, for the rule `fixed`."""


class Serving(Section):
    """The exported model. It lies in `<out>/serving/<model_name>/<version>/`."""

    model_name: Name | None = None
    """The name of the model. The default is `name`."""
    folder: str | None = None
    """The folder of the versions, in the place of `<out>/serving/<model_name>/`. It may lie on
    `s3://` or `gs://`, where a server looks for models.
    """
    threshold: Threshold = Threshold()
    calibrate: bool | Literal["temperature", "platt"] = True
    """How scores become probabilities, by what is fitted on the split `eval`. `temperature` divides
    the logits by a number. `platt` adds a number besides, if the split shows that scores are all
    too low or too high, such as after class weights or strong distortions. `true` stands for
    `temperature` with two classes, and for `platt` with more and with findings; `false` leaves the
    scores as they are.
    """
    unlike_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """An image is flagged as unlike the training data if it lies further from them than all but
    this share of the split `eval`.
    """


class Beam(Section):
    """The machines that process the data: where all Beam jobs run."""

    engine: Annotated[str | None, describe_choices(presets.ENGINES)] = None
    """Where the jobs run: in processes of this machine (`direct`), on a cluster of `flink` or
    `spark`, on Google's `dataflow`, or through a job server of any kind (`portable`). `null` leaves
    it to `beam.options`; without any, this process does all the work.
    """
    master: str | None = None
    """The cluster: the REST interface of Flink's job manager, such as `jobmanager:8081`; Spark's
    master, such as `spark://spark-master:7077`; or the job server of `portable`, such as
    `jobserver:8099`.
    """
    workers: str | None = None
    """Where each machine of a cluster finds its Python workers: the address of a worker pool, as
    that machine sees it, or the image that it starts, such as
    `docker://registry.example.org/tfxray-beam:1`. `null` means `localhost:50000`: a worker pool on
    each of these machines. `dataflow` needs an image.
    """
    parallelism: int | None = Field(None, ge=1)
    """How many work at once: processes of `direct`, slots of `flink`, machines of `dataflow`.
    `null` means one process, all slots of the cluster, as many machines as Dataflow likes.
    """
    options: list[str] = []
    """Further options, one item for each, as on Beam's command line, such as
    `--temp_location=gs://bucket/tmp`. An option that contradicts the keys above is refused.
    """

    @model_validator(mode="after")
    def _fits(self) -> "Beam":
        self._preset.check(self.options)
        return self

    @property
    def _preset(self) -> presets.Preset:
        return presets.Preset(self.engine, self.master, self.workers, self.parallelism)

    @property
    def elsewhere(self) -> bool:
        """Whether the jobs run on other machines than this one."""
        return self._preset.elsewhere(self.options)

    def arguments(self) -> list[str]:
        """All that Beam is told, as on its command line; see `Preset.arguments`."""
        return self._preset.arguments(self.options)


class Config(Section):
    """One experiment."""

    name: Name
    """The name of the pipeline. It is also the name of the model, unless `serving.model_name` gives
    another.
    """
    classes: list[ClassName] = []
    """The classes in the order of their labels, the negative one first. An image has exactly one of
    them. Two classes have one score, that of the second one; more have a score each.
    """
    findings: list[FindingName] = []
    """In the place of `classes`: the findings that an image may have, none, one or several of them.
    """
    ingest: Ingest = Ingest()
    split: Split = Split()
    validation: Validation = Validation()
    model: Model = Model()
    train: Train = Train()
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    serving: Serving = Serving()
    card: Card = Card()
    beam: Beam = Beam()
    kubeflow: Kubeflow = Kubeflow()

    @model_validator(mode="before")
    @classmethod
    def _labels_of_the_dataset(cls, raw: Any) -> Any:
        """A public data set brings its classes or findings, if the config names none."""
        ingest = raw.get("ingest") if isinstance(raw, dict) else None
        name = ingest.get("dataset") if isinstance(ingest, dict) else None
        if name not in registry.NAMES or raw.get("classes") or raw.get("findings"):
            return raw
        known = registry.by_name(name)
        return {**raw, "classes": list(known.classes), "findings": list(known.findings)}

    @field_validator("classes")
    @classmethod
    def _several(cls, value: list[str]) -> list[str]:
        if len(value) == 1:
            raise ValueError("at least two classes are needed, the negative one first")
        return value

    @field_validator("classes", "findings")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: named twice")
        if like := sorted({name for name in value if name.casefold() in COLUMNS}):
            raise ValueError(f"{', '.join(like)}: is what a column of the metadata is called")
        return value

    @model_validator(mode="after")
    def _one_task(self) -> "Config":
        if bool(self.classes) == bool(self.findings):
            raise ValueError(
                "give either `classes`, of which an image has exactly one, or `findings`, of which "
                "it has none, one or several"
            )
        sample = self.ingest.sample
        if sample and sample.findings != bool(self.findings):
            raise ValueError(
                "ingest.sample.findings: write true with `findings`, and false with `classes`"
            )
        alike: dict[str, str] = {}
        for name in self.findings:
            other = alike.setdefault(word_key(name), name)
            if other != name:
                raise ValueError(
                    f"findings: {other!r} and {name!r} differ in capitals, blanks and signs alone, "
                    "so that no table or text tells them apart. Rename one"
                )
        self.ingest.check_names(self.findings)
        for name, external in self.evaluate.external.items():
            external.check_names(f"evaluate.external.{name}", self.findings)
        known = self.ingest.dataset in registry.NAMES and registry.by_name(self.ingest.dataset)
        if self.split.official and known and not known.official:
            raise ValueError(
                f"split.official: {known.title} has no official split. Take the key out, and the "
                "patients are drawn"
            )
        if self.gate.auc.each is not None and self.task.binary:
            raise ValueError(
                "gate.auc.each: two classes have one AUC, and gate.auc.threshold is its limit"
            )
        if isinstance(self.gate.auc.each, dict):
            names = self.findings or self.classes
            if unknown := sorted(set(self.gate.auc.each) - set(names)):
                raise ValueError(
                    f"gate.auc.each: {unknown} are none of them{did_you_mean(unknown, names)}; "
                    f"allowed: {', '.join(names)}"
                )
        return self

    @model_validator(mode="after")
    def _workers(self) -> "Config":
        if self.kubeflow.workers and self.train.distribution != "multi_worker":
            raise ValueError("kubeflow.workers need train.distribution multi_worker")
        return self

    @property
    def task(self) -> Task:
        """What is asked of an image."""
        return Task.of({"classes": self.classes, "findings": self.findings})

    @property
    def calibration(self) -> str:
        """How scores become probabilities: `temperature`, `platt` or `none`."""
        if self.serving.calibrate is True:
            return "temperature" if self.task.binary else "platt"
        return self.serving.calibrate or "none"

    @property
    def model_name(self) -> str:
        """The name under which the model is pushed."""
        return self.serving.model_name or self.name

    def to_yaml(self) -> str:
        """The configuration with all defaults, in YAML."""
        unused = "findings" if self.classes else "classes"
        content = self.model_dump(mode="json", by_alias=True, exclude={unused})
        return yaml.safe_dump(content, sort_keys=False)
