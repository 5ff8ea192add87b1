"""Trainer's user function: trains on what Transform left, and exports the model to serve."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from sklearn import metrics
from tfx.components.trainer.fn_args_utils import FnArgs

from tfxray.components import batches, fitting, models, names, serving
from tfxray.components.distortions import Distortions
from tfxray.components.errors import UserError
from tfxray.components.fitting import Phase

HISTORY = "history.json"
METRICS = "metrics.json"

log = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs) -> None:
    """Trains and writes the model to serve, its history and its figures per split.

    Args:
        fn_args: TFX's; `custom_config` holds `classes`, `train` (see the config), `head` and
            `backbone` (the fields of a `models.HeadSpec` and a `models.BackboneSpec`) and `state`,
            the folder in which a training that is killed finds itself again, or None.

    Raises:
        UserError: A class without a training example, or the loss is no number.
    """
    settings = fn_args.custom_config
    train, body = settings["train"], models.BackboneSpec(**settings["backbone"])
    keras.utils.set_random_seed(train["seed"])
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    spec = transformed.transformed_feature_spec()
    training = batches.Examples(fn_args.train_files, spec, body.image_size)
    validation = batches.Examples(fn_args.eval_files, spec, body.image_size)
    _require_classes(training.targets, settings["classes"])
    order = batches.Order(
        batch=train["batch_size"],
        seed=train["seed"],
        weights=batches.class_weights(training.targets, 2, train["class_weights"]),
        distortions=Distortions(**train["distortions"]),
    )
    planned = phases(train, training.steps(order.batch))
    strategy = _strategy(train["distribution"])
    log.info("training on %d replicas", strategy.num_replicas_in_sync)

    def build() -> keras.Model:
        top = models.HeadSpec(**settings["head"])
        if training.kind == names.PIXELS:
            return models.classifier(body, top)
        return models.head(top, training.width)

    def prepare(index: int) -> None:
        phase = planned[index]
        with strategy.scope():
            if training.kind == names.PIXELS:
                models.unfreeze(model, train["unfreeze"] if phase.final else "none",
                                trains_batch_norm(train, body))  # fmt: skip
            model.compile(
                fitting.optimizer(train, phase),
                keras.losses.BinaryCrossentropy(
                    label_smoothing=train["label_smoothing"], reduction="sum"
                ),
                metrics=[
                    keras.metrics.BinaryAccuracy(name="accuracy"),
                    keras.metrics.AUC(1000, name="auc"),
                    keras.metrics.BinaryCrossentropy(name="cross_entropy"),
                ],
                jit_compile=train["xla"],
                steps_per_execution=1 if training.kind == names.PIXELS else _at_once(phase.steps),
            )

    with strategy.scope(), _precision(train["precision"]):
        model = build()
    logs = Path(fn_args.model_run_dir)
    logs.mkdir(parents=True, exist_ok=True)
    history = fitting.fit(
        model,
        planned,
        prepare,
        lambda step: training.passes(order, step),
        validation.plain(order.batch),
        train,
        _state_folder(fn_args),
        logs,
    )
    if train["precision"] != "float32":
        trained, model = model, build()  # what is served computes in 32 bits
        model.set_weights(trained.get_weights())
    figures = {
        "train": _figures(model, training, order.batch),
        "eval": _figures(model, validation, order.batch),
    }
    serving.export(
        model, transformed, body.image_size, settings["classes"], fn_args.serving_model_dir
    )
    (logs / HISTORY).write_text(json.dumps(history))
    (logs / METRICS).write_text(json.dumps(figures, indent=1))
    fitting.Kept(_state_folder(fn_args)).remove()


def phases(train: Mapping[str, Any], steps: int) -> list[Phase]:
    """What is trained, one after the other.

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


def _at_once(steps: int) -> int:
    """Steps that Keras hands over together: a step of a head takes less time than Python's part.

    A divisor: Keras would take the last few steps of a round together with the next round's first.
    """
    return max(count for count in range(1, 17) if steps % count == 0)


def trains_batch_norm(train: Mapping[str, Any], body: models.BackboneSpec) -> bool:
    """Whether batch normalisation learns: by default, where it has nothing to keep.

    Args:
        train: The config's `train`.
        body: The backbone.
    """
    if train["batch_norm"] == "auto":
        return body.weights == "none"
    return bool(train["batch_norm"] == "trained")


def _state_folder(fn_args: FnArgs) -> Path | None:
    """A folder of this training: by its settings, its code and its examples."""
    settings = fn_args.custom_config
    if not settings["state"]:
        return None
    identity = json.dumps([settings, fn_args.train_files, fn_args.eval_files], sort_keys=True)
    return Path(settings["state"]) / hashlib.sha256(identity.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _strategy(distribution: str) -> tf.distribute.Strategy:
    if distribution == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(None if gpus else cpus)
    return tf.distribute.OneDeviceStrategy(
        "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    )


def _require_classes(targets: np.ndarray, classes: Sequence[str]) -> None:
    counts = np.bincount(targets, minlength=len(classes))
    if counts.min() == 0:
        empty = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise UserError(f"the training split holds no example of {empty}: too few patients")


def _figures(model: keras.Model, examples: batches.Examples, batch: int) -> dict[str, float]:
    """AUC and the like of a whole split, undistorted; counts at a score of 0.5."""
    scores = model.predict(examples.plain(batch), verbose=0)[:, 0].astype(np.float64)
    said, true = scores >= 0.5, examples.targets == 1
    (tn, fp), (fn, tp) = metrics.confusion_matrix(true, said, labels=[False, True]).tolist()
    both = 0 < true.sum() < len(true)
    return {
        **({"auc": float(metrics.roc_auc_score(true, scores))} if both else {}),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "accuracy": (tp + tn) / len(true),
        "cross_entropy": float(metrics.log_loss(true, scores, labels=[False, True])),
        "true_positives": tp, "false_positives": fp, "true_negatives": tn, "false_negatives": fn,
    }  # fmt: skip
