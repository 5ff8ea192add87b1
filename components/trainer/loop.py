"""Fits a model; a training that was killed resumes as if it had run through."""

import dataclasses
import json
import logging
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from tfxray.components.common import artifacts, progress
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.trainer.distributed import in_step

# Early stopping's and the plateau's memory, by the names of their attributes.
_REMEMBERED = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")
# What each callback watches, and whether more of it is better.
MONITORS = {"auc": "max", "accuracy": "max", "cross_entropy": "min"}

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Phase:
    """One fit: with these layers learning, at this rate.

    Attributes:
        name: For the log.
        rounds: Looks at the validation split.
        steps: Batches of a round.
        learning_rate: The first.
        final: Whether early stopping and plateau apply.
    """

    name: str
    rounds: int
    steps: int
    learning_rate: float
    final: bool


def make_optimizer(settings: Mapping[str, Any], phase: Phase) -> keras.optimizers.Optimizer:
    """Builds a phase's optimizer.

    Args:
        settings: The config's `train`.
        phase: The phase.
    """
    rate: Any = phase.learning_rate
    if settings["schedule"] == "cosine" and phase.final:
        rate = keras.optimizers.schedules.CosineDecay(rate, phase.rounds * phase.steps)
    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    return optimizers[settings["optimizer"]](rate, weight_decay=settings["weight_decay"] or None)


def make_callbacks(settings: Mapping[str, Any]) -> list[keras.callbacks.Callback]:
    """Early stopping and plateau, as far as the config asks for them.

    Args:
        settings: The config's `train`.
    """
    callbacks: list[keras.callbacks.Callback] = []
    if settings["patience"]:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                f"val_{settings['monitor']}",
                mode=MONITORS[settings["monitor"]],
                patience=settings["patience"],
                restore_best_weights=True,
            )
        )
    if plateau := settings["plateau"]:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                f"val_{plateau['monitor']}",
                mode=MONITORS[plateau["monitor"]],
                factor=plateau["factor"],
                patience=plateau["patience"],
                min_lr=plateau["least"],
            )
        )
    return callbacks


class TrainingState:
    """The state of a training in files: a new one after every round.

    Each has a name of its own, since an object store can neither rename nor replace at once: one
    that was not written to its end is passed over for the one before, which stays until then.
    """

    def __init__(self, folder: StrPath | None):
        """Reads the latest state.

        Args:
            folder: Of this training and no other; None stores nothing.
        """
        self._folder = os.fspath(folder) if folder else None
        self._number = 0
        self.phase, self.round, self.finished = 0, 0, False
        self.history: dict[str, list[float]] = {}
        self._memories: list[dict[str, Any]] = []
        self._arrays: dict[str, np.ndarray] = {}
        for name in reversed(self._names()):
            try:
                self._read(name)
                break
            except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError) as error:
                log.warning("%s is not whole: %s", name, error)

    def _names(self) -> list[str]:
        """The files, oldest first."""
        names = artifacts.list_folder(self._folder) if self._folder else []
        return [name for name in names if name.startswith("state-")]

    def _read(self, name: str) -> None:
        self._number = int(name.removeprefix("state-").removesuffix(".npz"))
        path = os.path.join(self._folder or "", name)
        with artifacts.local_copy(path) as local, np.load(local) as archive:  # refuses pickles
            arrays = {key: archive[key] for key in archive.files}
        meta = json.loads(str(arrays.pop("meta")))
        self.phase, self.round, self.finished = meta["phase"], meta["round"], meta["done"]
        self.history, self._memories, self._arrays = meta["history"], meta["memories"], arrays

    def write(
        self,
        model: keras.Model,
        phase: int,
        finished: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Writes the state: weights, optimizer, history, and what callbacks remember."""
        self.phase, self.finished = phase, finished
        if self._folder is None or not in_step.is_writer(model.distribute_strategy):
            return
        self._memories = [_read_memory(callback) for callback in callbacks]
        meta = {
            "phase": phase, "round": self.round, "done": finished, "history": self.history,
            "memories": self._memories,
        }  # fmt: skip
        arrays = {"meta": np.array(json.dumps(meta))}
        arrays |= _number_keys("weight", [np.asarray(v) for v in model.weights])
        if not finished:
            arrays |= _number_keys("optimizer", [np.asarray(v) for v in model.optimizer.variables])
            for number, callback in enumerate(callbacks):
                arrays |= _number_keys(
                    f"best{number}", getattr(callback, "best_weights", None) or []
                )
        self._number += 1
        path = os.path.join(self._folder, f"state-{self._number:06d}.npz")
        with artifacts.local_target(path) as local:
            np.savez(local, **arrays)
        # The one before stays, too: that a file was closed need not mean that a disk has it.
        for name in self._names()[:-2]:
            fileio.remove(os.path.join(self._folder, name))

    def restore_weights(self, model: keras.Model) -> None:
        """Restores the weights of a model."""
        model.set_weights(self._select("weight"))

    def restore(self, model: keras.Model) -> None:
        """Restores the weights and the optimizer of a compiled model."""
        self.restore_weights(model)
        optimizer = model.optimizer
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)
        for variable, value in zip(optimizer.variables, self._select("optimizer"), strict=True):
            variable.assign(value)

    def remind(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Restores the memory of callbacks."""
        for number, (callback, memory) in enumerate(zip(callbacks, self._memories, strict=False)):
            vars(callback).update(memory)
            if best := self._select(f"best{number}"):
                callback.best_weights = best

    def stopped_early(self, callbacks: Sequence[keras.callbacks.Callback]) -> bool:
        """Whether the training was killed when patience had just run out."""
        return any(
            memory.get("stopped_epoch") and callback.patience <= memory["wait"]
            for callback, memory in zip(callbacks, self._memories, strict=False)
        )

    def _select(self, key: str) -> list[np.ndarray]:
        names = [name for name in self._arrays if name.rpartition("_")[0] == key]
        return [self._arrays[f"{key}_{number}"] for number in range(len(names))]


def _number_keys(key: str, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{key}_{number}": value for number, value in enumerate(values)}


def _read_memory(callback: keras.callbacks.Callback) -> dict[str, Any]:
    values = {key: getattr(callback, key) for key in _REMEMBERED if hasattr(callback, key)}
    return {key: float(v) if key == "best" else int(v) for key, v in values.items()}


class _Keeper(keras.callbacks.Callback):
    """Keeps the state after every round, logs it, and seeds dropout by the round's number."""

    def __init__(
        self,
        state: TrainingState,
        index: int,
        phase: Phase,
        callbacks: list[keras.callbacks.Callback],
        seed: int,
    ):
        super().__init__()
        self._state, self._index, self._phase = state, index, phase
        self._callbacks, self._seed = callbacks, seed
        self._again = state.round > 0 and state.phase == index

    def on_train_begin(self, logs: Any = None) -> None:
        # After the same method of the callbacks, which forget everything there.
        if self._again:
            self._state.remind(self._callbacks)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for variable in self.model.variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign([self._seed, 100_000 * self._index + epoch])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        figures = {key: float(value) for key, value in (logs or {}).items()}
        if not np.isfinite(figures["loss"]):
            return  # the last good state stays
        for key, value in figures.items():
            self._state.history.setdefault(key, []).append(value)
        self._state.round = epoch + 1
        self._state.write(self.model, self._index, False, self._callbacks)
        text = "  ".join(
            f"{k} {v:.4f}" for k, v in figures.items() if k not in ("loss", "val_loss")
        )
        progress.log.info("%s %d/%d: %s", self._phase.name, epoch + 1, self._phase.rounds, text)


def fit_phases(
    model: keras.Model,
    phases: Sequence[Phase],
    prepare: Callable[[int], None],
    training: Callable[[int], tf.data.Dataset],
    validation: tf.data.Dataset,
    settings: Mapping[str, Any],
    folder: StrPath | None,
    logs: StrPath,
) -> dict[str, list[float]]:
    """Fits a model, phase after phase, from where an earlier call was stopped.

    Args:
        model: Keeps the weights that it ends with: the best, where there is early stopping.
        phases: In their order.
        prepare: Unfreezes and compiles for a phase, by its number.
        training: Batches without end, from a step of all phases on.
        validation: Looked at after every round.
        settings: The config's `train`.
        folder: Where the state is stored; None stores none.
        logs: TensorBoard's folder.

    Returns:
        The history: a list per figure, one value per round of all phases.

    Raises:
        UserError: The loss is no number.
    """
    state = TrainingState(folder)
    in_step.require_same(model.distribute_strategy, 1000 * state.phase + state.round)
    if state.finished:
        state.restore_weights(model)
        return state.history
    if state.history:
        progress.log.info("going on after round %d of %s", state.round, phases[state.phase].name)
    first_phase, again, step = state.phase, bool(state.history), 0
    for index, phase in enumerate(phases):
        first = state.round if index == first_phase else 0
        if index >= first_phase:
            prepare(index)
            if first:
                state.restore(model)
            elif again and index == first_phase:
                state.restore_weights(model)  # the phase before had just ended
            callbacks = make_callbacks(settings) if phase.final else []
            _fit_phase(model, state, index, phase, callbacks, training(step + first * phase.steps),
                       validation, settings["seed"], first, logs)  # fmt: skip
            state.round = 0
            state.write(model, index + 1, index + 1 == len(phases), [])
        step += phase.rounds * phase.steps
    return state.history


def _fit_phase(
    model: keras.Model,
    state: TrainingState,
    index: int,
    phase: Phase,
    callbacks: list[keras.callbacks.Callback],
    training: tf.data.Dataset,
    validation: tf.data.Dataset,
    seed: int,
    first: int,
    logs: StrPath,
) -> None:
    learning = sum(math.prod(v.shape) for v in model.trainable_weights)
    log.info("%s: %d of %d weights learn", phase.name, learning, model.count_params())
    if first and state.stopped_early(callbacks):
        state.remind(callbacks)
        model.set_weights(next(c.best_weights for c in callbacks if hasattr(c, "best_weights")))
        return
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync > 1:
        _build(model)
    history = model.fit(
        training,
        validation_data=validation,
        steps_per_epoch=phase.steps,
        epochs=phase.rounds,
        initial_epoch=first,
        callbacks=[
            *callbacks,
            keras.callbacks.TerminateOnNaN(),
            _Keeper(state, index, phase, callbacks, seed),
            *(
                [keras.callbacks.TensorBoard(os.fspath(logs))]
                if in_step.is_writer(strategy)
                else []
            ),
        ],
        verbose=2,
    ).history
    if history and not np.isfinite(history["loss"]).all():
        raise UserError(
            f"the training loss became {history['loss'][-1]}: lower train.learning_rate "
            f"(now {phase.learning_rate:g})"
        )


def _build(model: keras.Model) -> None:
    """Builds a compiled model's metrics from one example.

    Keras would build them from the mean of the replicas' first batches, and fails where a batch
    does not divide evenly among them (Keras 3.12, `_maybe_symbolic_build`).
    """
    vars(model).pop("_maybe_symbolic_build", None)
    model.test_on_batch(
        np.zeros((1, *model.input_shape[1:]), np.float32),
        np.zeros((1, *model.output_shape[1:]), np.float32),
    )
    model.reset_metrics()
    vars(model)["_maybe_symbolic_build"] = lambda **_: None
