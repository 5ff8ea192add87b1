"""Searches for better settings: keras-tuner proposes them, and Trainer's own code tries them."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner import errors, oracles

from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.metrics.split_metrics import measure_split
from tfxray.components.trainer import loop, training
from tfxray.components.trainer.distributed import strategy
from tfxray.components.tuner.spaces import Space

# The config as it stands, where the ranges do not hold it; and the search.
_UNTUNED, _SEARCH = "untuned", "search"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to search; see the config's `tune`."""

    trials: int
    method: str
    monitor: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        number: 0 is the config as it stands.
        settings: By key.
        figure: On the validation split; None if the training failed.
        reason: Why it failed.
    """

    number: int
    settings: dict[str, Any]
    figure: float | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every trial has in common.

    Attributes:
        resolve: Gives Trainer's settings for settings by key; raises UserError for settings
            that do not go together.
        splits: The examples.
        task: What is asked of them.
        tell: Called with every trial when it ends.
    """

    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    splits: training.Splits
    task: Task
    tell: Callable[[Trial], None]


def search_settings(spaces: Sequence[Space], plan: Plan, bench: Bench, folder: Path) -> list[Trial]:
    """Searches, or resumes a search that was stopped.

    Args:
        spaces: The keys to set, with their values.
        plan: How to search.
        bench: The examples and the settings of the trials.
        folder: Of this search and no other: keras-tuner's projects.

    Returns:
        All trials by number, those of earlier calls too; the first is the config as it stands.

    Raises:
        UserError: The validation split cannot rank trials, the folder is damaged, or the first
            settings of the search do not go together.
    """
    _require_ranking(bench.splits, plan.monitor)
    if all(space.holds_own for space in spaces):
        return _run(spaces, spaces, plan, bench, folder / _SEARCH, 0)
    alone = dataclasses.replace(plan, trials=1)
    rest = dataclasses.replace(plan, trials=plan.trials - 1)
    return [
        *_run([], spaces, alone, bench, folder / _UNTUNED, 0),
        *_run(spaces, spaces, rest, bench, folder / _SEARCH, 1),
    ]


def rank_trials(trials: Sequence[Trial], monitor: str) -> list[Trial]:
    """The trials that did not fail, from the best on; of equals, the earlier is the better.

    Args:
        trials: See `search_settings`.
        monitor: The figure that ranks them.
    """
    sign = -1 if loop.MONITORS[monitor] == "max" else 1
    completed_trials = [trial for trial in trials if trial.figure is not None]
    return sorted(completed_trials, key=lambda trial: (sign * (trial.figure or 0), trial.number))


def _require_ranking(splits: training.Splits, monitor: str) -> None:
    labels = splits.validation.labels
    if not len(labels):
        raise UserError("the validation split holds no example: nothing can rank a trial")
    if monitor == "auc" and not ((labels == 1).any(0) & (labels == 0).any(0)).any():
        raise UserError(
            "the validation split holds one class alone, which has no AUC: set tune.monitor to "
            "accuracy or cross_entropy"
        )


def _run(
    search_spaces: Sequence[Space],
    spaces: Sequence[Space],
    plan: Plan,
    bench: Bench,
    folder: Path,
    first: int,
) -> list[Trial]:
    """Searches `search_spaces`; the settings of a trial name all of `spaces`."""
    oracle: type[oracles.RandomSearchOracle] = _Random
    options: dict[str, Any] = {}
    if plan.method == "bayesian" and search_spaces:
        oracle = _Bayesian
        # keras-tuner's own number, thrice the keys, would leave a short search to chance.
        options["num_initial_points"] = max(3, min(3 * len(search_spaces), plan.trials // 3))
    try:
        tuner = _Tuner(
            oracle=oracle(
                objective=keras_tuner.Objective(plan.monitor, loop.MONITORS[plan.monitor]),
                max_trials=plan.trials,
                seed=plan.seed,
                # Settings that lead nowhere are a result, however many of them come in a row.
                max_consecutive_failed_trials=plan.trials + 1,
                **options,
            ),
            hypermodel=_Heads(search_spaces, bench, plan.monitor),
            directory=str(folder.parent),
            project_name=folder.name,
            overwrite=False,
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: keras-tuner cannot read its own files ({type(error).__name__}); remove "
            "the folder to search anew"
        ) from error

    def report(trial: Any) -> Trial:
        values = trial.hyperparameters.values
        own = {space.key: space.own for space in spaces}
        settings = own | {space.key: space.value(values[space.key]) for space in search_spaces}
        reason = None
        if trial.status != "COMPLETED":
            last = (trial.message or trial.status).strip().splitlines()[-1]
            reason = last.partition("FailedTrialError: ")[2] or last
        figure = trial.score if trial.status == "COMPLETED" else None
        return Trial(first + int(trial.trial_id), settings, figure, reason)

    tuner.report = lambda trial: bench.tell(report(trial))
    tuner.search()
    trials = sorted(tuner.oracle.trials.values(), key=lambda trial: int(trial.trial_id))
    return [report(trial) for trial in trials[: plan.trials]]


class _Heads(keras_tuner.HyperModel):
    """Trainer's model, with the settings that keras-tuner proposes."""

    def __init__(self, spaces: Sequence[Space], bench: Bench, monitor: str):
        super().__init__()
        self._spaces, self._bench, self._monitor = spaces, bench, monitor
        train = bench.resolve({})["train"]
        self._strategy = strategy.make_strategy(train["distribution"])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self._training(hp).build()

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, logs: Path
    ) -> dict[str, float]:
        """Trains, and returns the figure that Trainer would write for the validation split."""
        head_training = self._training(hp)
        trained_model, _ = head_training.fit(model, None, logs)
        validation = self._bench.splits.validation
        scores, labels = head_training.scores(trained_model, validation), validation.labels
        figures = measure_split(scores, labels, [0.5] * labels.shape[1], self._bench.task)
        return {self._monitor: figures[self._monitor]}

    def _training(self, hp: keras_tuner.HyperParameters) -> training.Training:
        settings = {space.key: space.value(_propose(hp, space)) for space in self._spaces}
        return training.Training(self._bench.resolve(settings), self._bench.splits, self._strategy)


def _propose(hp: keras_tuner.HyperParameters, space: Space) -> Any:
    """Declares a space, and reads keras-tuner's proposal for it."""
    if space.choices:
        return hp.Choice(space.key, list(space.choices), default=space.start)
    number = hp.Int if space.whole else hp.Float
    return number(
        space.key,
        space.least,
        space.most,
        step=space.step,
        sampling="log" if space.log else "linear",
        default=space.start,
    )


class _FromStart:
    """An oracle that tries the defaults first: the config's values, where the ranges hold them."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.trials:  # type: ignore[attr-defined]
            return super().populate_space(trial_id)  # type: ignore[misc]
        space = self.get_space().space  # type: ignore[attr-defined]
        return {"status": "RUNNING", "values": {hp.name: hp.default for hp in space}}


class _Random(_FromStart, oracles.RandomSearchOracle):
    pass


class _Bayesian(_FromStart, oracles.BayesianOptimizationOracle):
    pass


class _Tuner(keras_tuner.Tuner):
    """Runs trials without keeping their models: the best is trained again by `tfxray run`."""

    report: Callable[[Any], None]

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        keras.utils.clear_session()
        logs = Path(self.get_trial_dir(trial.trial_id)) / "logs"
        try:
            model = self.hypermodel.build(trial.hyperparameters)
            return self.hypermodel.fit(trial.hyperparameters, model, logs)
        except UserError as error:
            raise errors.FailedTrialError(str(error)) from None
        except Exception as error:
            # The settings are not at fault: the trial is not counted, but repeated next time.
            raise errors.FatalRuntimeError(f"{type(error).__name__}: {error}") from error

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self.report(self.oracle.get_trial(trial.trial_id))
