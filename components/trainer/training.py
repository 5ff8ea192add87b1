"""One training as the settings have it: Trainer's, or a trial of a search."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.networks import backbone, head, summary
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.trainer import loop
from tfxray.components.trainer.distributed import in_step
from tfxray.components.trainer.examples import Examples, Order, class_weights
from tfxray.components.trainer.loop import Phase
from tfxray.components.trainer.operating_point import OperatingPoint, fit_operating_point
from tfxray.components.trainer.unlikeness import Unlikeness, draw_examples, fit_unlikeness


@dataclasses.dataclass(frozen=True)
class Splits:
    """Transform's examples of the two splits that a training reads."""

    training: Examples
    validation: Examples


class Training:
    """One training as the settings have it: Trainer's, or a trial of a search."""

    def __init__(
        self, settings: Mapping[str, Any], splits: Splits, strategy: tf.distribute.Strategy
    ):
        """Plans the phases.

        Args:
            settings: `train` (see the config), `head` and `backbone` (the fields of a
                `head.HeadSpec` and a `backbone.BackboneSpec`).
            splits: The examples.
            strategy: Where it is computed; see `strategy.make_strategy`.
        """
        self._settings, self._splits, self._strategy = settings, splits, strategy
        self._train = train = settings["train"]
        self._backbone = backbone.BackboneSpec(**settings["backbone"])
        targets = splits.training.targets
        self._order = Order(
            batch=train["batch_size"],
            seed=train["seed"],
            weights=class_weights(targets, 2, train["class_weights"]),
            distortions=Distortions(**train["distortions"]),
        )
        self._phases = plan_phases(train, splits.training.steps(self._order.batch))

    @property
    def _of_pixels(self) -> bool:
        return self._splits.training.kind == contract.PIXELS

    def build(self) -> keras.Model:
        """Builds the model, with the weights that the seed gives it."""
        keras.utils.set_random_seed(self._train["seed"])
        with self._strategy.scope(), _precision(self._train["precision"]):
            model = self._network()
        if in_step.has_several_hosts(self._strategy):
            in_step.fit_for_several(model)
        return model

    def fit(
        self, model: keras.Model, state: StrPath | None, logs: StrPath
    ) -> tuple[keras.Model, dict[str, list[float]]]:
        """Fits a model.

        Args:
            model: See `build`.
            state: Where the state of the training is stored; None stores none.
            logs: TensorBoard's folder.

        Returns:
            The model to serve, which computes in 32 bits, and the history; see `loop.fit_phases`.

        Raises:
            UserError: The loss is no number.
        """
        splits, order = self._splits, self._order
        history = loop.fit_phases(
            model,
            self._phases,
            lambda index: self._prepare(model, self._phases[index]),
            lambda step: in_step.spread_batches(
                self._strategy, lambda share: splits.training.passes(order, step, share)
            ),
            in_step.spread_batches(
                self._strategy, lambda share: splits.validation.plain(order.batch, share=share)
            ),
            self._train,
            state,
            logs,
        )
        if self._train["precision"] != "float32":
            trained_model, model = model, self._network()
            model.set_weights(trained_model.get_weights())
        return model, history

    def conclude(self, model: keras.Model, serving_settings: Mapping[str, Any]) -> "TrainedModel":
        """Scores both splits, undistorted, and fits the operating point and the unlikeness.

        Args:
            model: As `fit` gave it.
            serving_settings: The config's `serving`.
        """
        settings, splits, batch = self._settings, self._splits, self._order.batch
        channels = None
        if not self._of_pixels and settings["backbone"]["pooling"] == "flatten":
            channels = backbone.count_channels(self._backbone)
        scorer = head.with_embedding(model, channels)
        seed = self._train["seed"]
        chosen = draw_examples(len(splits.training), seed)
        drawn_scores, training_embeddings = scorer.predict(
            splits.training.plain(batch, chosen), verbose=0
        )
        validation_scores, validation_embeddings = scorer.predict(
            splits.validation.plain(batch), verbose=0
        )
        unlikeness = fit_unlikeness(
            training_embeddings, validation_embeddings, serving_settings["unlike_share"]
        )
        operating_point = fit_operating_point(
            validation_scores[:, 0], splits.validation.targets, serving_settings
        )
        whole = len(chosen) == len(splits.training)
        scores = drawn_scores[:, 0] if whole else self.scores(model, splits.training)
        return TrainedModel(
            scorer,
            operating_point,
            unlikeness,
            operating_point.calibrate(scores),
            operating_point.calibrate(validation_scores[:, 0]),
        )

    def describe(self, model: keras.Model) -> summary.Network:
        """Describes backbone and head, and says which layers the main phase trains."""
        if not self._of_pixels:
            backbone_model, head_model = backbone.shared_backbone(self._backbone), model
        else:
            self._unfreeze(model, self._phases[-1])
            backbone_model, head_model = model.get_layer("backbone"), model.get_layer("head")
        return summary.describe_network(backbone_model, head_model, self._backbone.name)

    def scores(self, model: keras.Model, examples: Examples) -> np.ndarray:
        """A whole split's scores, undistorted and uncalibrated, [n]."""
        scores = model.predict(examples.plain(self._order.batch), verbose=0)
        return np.asarray(scores[:, 0], np.float64)

    def _network(self) -> keras.Model:
        head_spec = head.HeadSpec(**self._settings["head"])
        if self._of_pixels:
            return head.build_classifier(self._backbone, head_spec)
        return head.build_head(head_spec, self._splits.training.width)

    def _at_once(self, steps: int) -> int:
        """Steps that Keras hands over together: one of a head takes less time than Python's part.

        A divisor: Keras would take the last few steps of a round together with the next round's
        first. Several hosts cannot: Keras's loop over steps does not run on more than one.
        """
        if self._of_pixels or in_step.has_several_hosts(self._strategy):
            return 1
        return max(count for count in range(1, 17) if steps % count == 0)

    def _unfreeze(self, model: keras.Model, phase: Phase) -> None:
        layers = self._train["unfreeze"] if phase.final else "none"
        head.unfreeze(model, layers, trains_batch_norm(self._train, self._backbone))

    def _prepare(self, model: keras.Model, phase: Phase) -> None:
        train = self._train
        with self._strategy.scope():
            if self._of_pixels:
                self._unfreeze(model, phase)
            model.compile(
                loop.make_optimizer(train, phase),
                keras.losses.BinaryCrossentropy(
                    label_smoothing=train["label_smoothing"], reduction="sum"
                ),
                metrics=[
                    keras.metrics.BinaryAccuracy(name="accuracy"),
                    keras.metrics.AUC(1000, name="auc"),
                    keras.metrics.BinaryCrossentropy(name="cross_entropy"),
                ],
                jit_compile=train["xla"],
                steps_per_execution=self._at_once(phase.steps),
            )


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model, with its operating point and its unlikeness.

    Attributes:
        scorer: See `head.with_embedding`.
        operating_point: Temperature and threshold.
        unlikeness: The distance to the training images.
        training: The training split's scores, calibrated, [n].
        validation: The validation split's.
    """

    scorer: keras.Model
    operating_point: OperatingPoint
    unlikeness: Unlikeness
    training: np.ndarray
    validation: np.ndarray


# How the processes of a training on several hosts find `fit_with_others`.
WORK = f"{__name__}:fit_with_others"


def fit_with_others(plan: in_step.Plan, strategy: tf.distribute.Strategy) -> None:
    """Trains on this host, in step with the other hosts, and stores the state of the training.

    Args:
        plan: Settings and places, as Trainer on the chief has them.
        strategy: Over all hosts.

    Raises:
        UserError: As of `run_fn`; or a batch holds too few examples for all replicas.
    """
    settings, replicas = plan["settings"], strategy.num_replicas_in_sync
    if (batch := settings["train"]["batch_size"]) < replicas:
        raise UserError(
            f"train.batch_size = {batch}: smaller than the number of replicas on all hosts, "
            f"{replicas}; each needs an image per step"
        )
    transform_output = tft.TFTransformOutput(plan["transform_output"])
    splits = find_examples(settings, transform_output, plan["train_files"], plan["eval_files"])
    training = Training(settings, splits, strategy)
    training.fit(training.build(), plan["state"], plan["logs"])


def find_examples(
    settings: Mapping[str, Any],
    transform_output: tft.TFTransformOutput,
    train_files: Sequence[str],
    eval_files: Sequence[str],
) -> Splits:
    """Finds the examples.

    Args:
        settings: As of a `Training`, and `classes`.
        transform_output: Transform's graph.
        train_files: Patterns of TFRecords.
        eval_files: The same, of the validation split.

    Raises:
        UserError: A class without a training example.
    """
    spec, size = transform_output.transformed_feature_spec(), settings["backbone"]["image_size"]
    training = Examples(train_files, spec, size)
    _require_classes(training.targets, settings["classes"])
    return Splits(training, Examples(eval_files, spec, size))


def plan_phases(train: Mapping[str, Any], steps: int) -> list[Phase]:
    """The phases of a training, one after the other.

    Args:
        train: The config's `train`.
        steps: Batches of a pass over the training split.
    """
    every = train["report_every"] or steps
    total = train["steps"] or train["epochs"] * steps
    main = Phase("training", max(1, round(total / every)), every, train["learning_rate"], True)
    if not train["warm_up"]:
        return [main]
    warm = train["warm_up"]
    return [Phase("warm-up", warm["epochs"], steps, warm["learning_rate"], False), main]


def trains_batch_norm(train: Mapping[str, Any], spec: backbone.BackboneSpec) -> bool:
    """Whether batch normalisation learns: by default, where it has nothing to keep.

    Args:
        train: The config's `train`.
        spec: The backbone.
    """
    if train["batch_norm"] == "auto":
        return spec.weights == "none"
    return bool(train["batch_norm"] == "trained")


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _require_classes(targets: np.ndarray, classes: Sequence[str]) -> None:
    counts = np.bincount(targets, minlength=len(classes))
    if counts.min() == 0:
        empty = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise UserError(f"the training split holds no example of {empty}: too few patients")
