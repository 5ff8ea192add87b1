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
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.networks import backbone, head, summary
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.trainer import loop, objective
from tfxray.components.trainer.distributed import in_step
from tfxray.components.trainer.examples import Examples, Order
from tfxray.components.trainer.loop import Phase
from tfxray.components.trainer.operating_point import OperatingPoints, fit_operating_points
from tfxray.components.trainer.scaling import undo_weights
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
        self._head = head.HeadSpec(**settings["head"])
        self._order = Order(
            batch=train["batch_size"],
            seed=train["seed"],
            weights=objective.weigh_labels(
                splits.training.labels,
                splits.training.label_counts,
                self._head.softmax,
                train["class_weights"],
            ),
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
        """Scores both splits, undistorted, and fits the operating points and the unlikeness.

        Args:
            model: As `fit` gave it.
            serving_settings: The config's `serving`.
        """
        settings, splits = self._settings, self._splits
        channels = None
        if not self._of_pixels and settings["backbone"]["pooling"] == "flatten":
            channels = backbone.count_channels(self._backbone)
        scorer = head.with_embedding(model, channels)
        training_scores, training_embeddings = self._score_and_embed(model, scorer, splits.training)
        validation_scores, validation_embeddings = self._score_and_embed(
            model, scorer, splits.validation
        )
        unlikeness = fit_unlikeness(
            training_embeddings, validation_embeddings, serving_settings["unlike_share"]
        )
        prior: np.ndarray | float = 0.0
        if self._train["class_weights"]:
            prior = undo_weights(splits.training.labels, self._head.softmax)
        operating_points = fit_operating_points(
            validation_scores, splits.validation.labels, serving_settings, self._head.softmax, prior
        )
        return TrainedModel(
            scorer,
            operating_points,
            unlikeness,
            operating_points.scaling.apply(training_scores),
            operating_points.scaling.apply(validation_scores),
        )

    def _score_and_embed(
        self, model: keras.Model, scorer: keras.Model, examples: Examples
    ) -> tuple[np.ndarray, np.ndarray]:
        """A whole split's scores, and embeddings of some of its examples; see `draw_examples`."""
        chosen = draw_examples(len(examples), self._train["seed"])
        batches = examples.plain(self._order.batch, chosen)
        scores, embeddings = scorer.predict(batches, verbose=0)
        if len(chosen) < len(examples):
            scores = self.scores(model, examples)
        return scores, embeddings

    def describe(self, model: keras.Model) -> summary.Network:
        """Describes backbone and head, and says which layers the main phase trains."""
        if not self._of_pixels:
            backbone_model, head_model = backbone.shared_backbone(self._backbone), model
        else:
            self._unfreeze(model, self._phases[-1])
            backbone_model, head_model = model.get_layer("backbone"), model.get_layer("head")
        return summary.describe_network(backbone_model, head_model, self._backbone.name)

    def scores(self, model: keras.Model, examples: Examples) -> np.ndarray:
        """A whole split's scores, undistorted and uncalibrated, [n, outputs]."""
        scores = model.predict(examples.plain(self._order.batch), verbose=0)
        return np.asarray(scores, np.float64)

    def _network(self) -> keras.Model:
        if self._of_pixels:
            return head.build_classifier(self._backbone, self._head)
        return head.build_head(self._head, self._splits.training.width)

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
                objective.make_loss(self._head.softmax, train["label_smoothing"]),
                metrics=objective.make_metrics(self._head.softmax, self._head.outputs),
                jit_compile=train["xla"],
                steps_per_execution=self._at_once(phase.steps),
            )


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model, with its operating points and its unlikeness.

    Attributes:
        scorer: See `head.with_embedding`.
        operating_points: Scaling and threshold of each output.
        unlikeness: The distance to the training images.
        training: The training split's scores, calibrated, [n, outputs].
        validation: The validation split's.
    """

    scorer: keras.Model
    operating_points: OperatingPoints
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
    splits = find_examples(
        settings,
        transform_output,
        plan["train_files"],
        plan["eval_files"],
        in_step.find_hosts(strategy),
    )
    training = Training(settings, splits, strategy)
    training.fit(training.build(), plan["state"], plan["logs"])


def find_examples(
    settings: Mapping[str, Any],
    transform_output: tft.TFTransformOutput,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    hosts: in_step.Hosts = in_step.ALONE,
) -> Splits:
    """Finds the examples.

    Args:
        settings: As of a `Training`, and `classes` or `findings`.
        transform_output: Transform's graph.
        train_files: Patterns of TFRecords.
        eval_files: The same, of the validation split.
        hosts: Those that train together.

    Raises:
        UserError: A class without a training example, or a finding without a positive or without a
            negative one.
    """
    spec, size = transform_output.transformed_feature_spec(), settings["backbone"]["image_size"]
    task = Task.of(settings)
    classes = len(task.names) if task.exclusive else 2
    training = Examples(train_files, spec, size, classes, hosts)
    _require_labels(training.label_counts, task)
    return Splits(training, Examples(eval_files, spec, size, classes, hosts))


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


def _require_labels(label_counts: np.ndarray, task: Task) -> None:
    negative, positive = label_counts > 0
    if task.exclusive:
        both = np.r_[negative, positive] if task.binary else positive
        if lacking := [name for name, there in zip(task.names, both, strict=True) if not there]:
            names = ", ".join(lacking)
            raise UserError(f"the training split holds no example of {names}: too few patients")
        return
    for what, there in (("present", positive), ("absent", negative)):
        if lacking := [name for name, seen in zip(task.names, there, strict=True) if not seen]:
            raise UserError(
                f"the training split holds no image in which {', '.join(lacking)} is known to be "
                f"{what}: too few patients. Add some, or take the finding out of `findings`"
            )
