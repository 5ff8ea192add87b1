"""Evaluator: TFMA's figures, the held-out scores, and the gate, in one blessing.

TFX's own Evaluator blesses by TFMA's thresholds. This one has more inputs, and takes the
blessing back where a rule of the gate fails.
"""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants, executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils

from tfxray.components.common import artifacts, contract, filenames, isolation
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import (
    baseline,
    extractors,
    gate,
    heldout_scores,
    pictures,
)
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.evaluator.rules import Rule, ServingCheck
from tfxray.components.predict import pushed_model, serving_check
from tfxray.components.pusher import versions
from tfxray.components.shortcuts import shortcut_report, strata
from tfxray.components.watch import reference

MODEL_RUN, STATISTICS, SETTINGS, SERVING = "model_run", "statistics", "settings", "serving"
BASELINE_EVALUATION, EXTERNAL = "baseline_evaluation", "external"
# What was pushed, where the verdict depends on it: a part of the cache key, which the engine sets.
PUSHED = "pushed"
SPLIT = "test"

log = logging.getLogger(__name__)


class Executor(executor.Executor):  # type: ignore[misc]
    """See `Evaluator`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor`."""
        settings = json.loads(exec_properties[SETTINGS])
        task = Task.of(settings)
        folder = artifact_utils.get_single_uri(output_dict["evaluation"])
        examples = input_dict["examples"]
        model_folder = _serving_folder(input_dict["model"][0])
        files = versions.hash_files(model_folder)  # before the model is scored
        # Beside the result, where Beam's workers can write, wherever they run.
        scratch = os.path.join(folder, ".scores")
        servable = settings["gate"]["servable"]
        with _serving_check(input_dict) if servable else contextlib.nullcontext() as finish_check:
            with heldout_scores.collect_scores(os.path.join(scratch, "part"), task):
                # The baseline scores the same images below: TFMA would fail with it.
                candidate_inputs = {key: input_dict[key] for key in ("examples", "model")}
                super().Do(candidate_inputs, output_dict, exec_properties)
            check = finish_check() if finish_check else None
        heldout_scores.gather_parts(_files(scratch), folder, task)
        fileio.rmtree(scratch)
        frame = heldout_scores.read_scores(folder)
        assert frame is not None  # just written
        records, blessed = _records(examples, SPLIT), input_dict.get("baseline_model")
        evaluations = input_dict.get(BASELINE_EVALUATION)
        blessed_folder = _serving_folder(blessed[0]) if blessed else None
        compared = baseline.require_baseline(
            baseline.score_baseline(
                blessed_folder,
                evaluations[0].uri if evaluations else None,
                frame,
                records,
                os.path.join(folder, ".baseline"),
                self._make_beam_pipeline,
            ),
            files,
            exec_properties[SERVING],
            settings["gate"]["accept_without_baseline"],
            blessed_folder,
            blessed[0].mlmd_artifact.create_time_since_epoch / 1000 if blessed else 0,
        )
        found = strata.compare_model(
            examples[0].uri, frame, *heldout_scores.matrices(frame, task), task,
            settings["min_patients"], SPLIT,
        )  # fmt: skip
        shortcut_report.write_found(found, folder)
        model_run = artifact_utils.get_single_uri(input_dict[MODEL_RUN])
        thresholds = artifacts.read_thresholds({"Trainer.model_run": model_run}, task)
        pictures.draw_pictures(
            frame, task, thresholds, records, model_folder, folder, self._make_beam_pipeline
        )
        served = pushed_model.read_served(exec_properties[SERVING])
        outside = input_dict.get(EXTERNAL)
        external = heldout_scores.read_external(outside[0].uri) if outside else {}
        rules = gate.apply_rules(frame, settings, compared, served, check, external)
        gate.write_verdicts(rules, compared.in_order_of(task), folder)
        _write_reference(input_dict, output_dict["blessing"][0].uri, frame, settings)
        record = versions.Record(files, _figures(rules, frame))
        versions.write_record(
            os.path.join(output_dict["blessing"][0].uri, filenames.EVALUATED), record
        )
        _withdraw_blessing(output_dict["blessing"][0], rules)


def _write_reference(
    input_dict: dict[str, list[types.Artifact]],
    blessing: str,
    frame: pd.DataFrame,
    settings: dict[str, Any],
) -> None:
    """Writes what goes with the model for monitoring, beside the blessing."""
    task = Task.of(settings)
    training, patients = reference.read_training(
        artifact_utils.get_single_uri(input_dict[STATISTICS])
    )
    heldout = {}
    for name in task.judged:
        view = heldout_scores.view(frame, task, name)
        heldout[name] = reference.summarise_scores(
            reference.Scores(
                view[contract.LABEL].to_numpy(int),
                view[contract.SCORE].to_numpy(float),
                view[contract.PATIENT].to_numpy(),
                view[contract.UNLIKE].to_numpy(int) == 1,
            )
        )
    reference.write_reference(
        os.path.join(blessing, filenames.EVALUATED_MONITORING),
        reference.Reference(
            task=task,
            statistics=training,
            patients=patients,
            heldout_images=len(frame),
            heldout_patients=frame[contract.PATIENT].nunique(),
            heldout_unlike=int((frame[contract.UNLIKE] == 1).sum()),
            heldout=heldout,
            threshold=settings["gate"]["auc"]["threshold"],
            drift={name: most for name, most in settings["drift"].items() if most is not None},
        ),
    )


def _withdraw_blessing(blessing: types.Artifact, rules: list[Rule]) -> None:
    """Takes the blessing back where a rule failed; never gives one."""
    failures = [rule.text for rule in rules if rule.passed is False]
    if not failures:
        return
    log.info("not blessed: %s", "; ".join(failures))
    blessed_path = os.path.join(blessing.uri, constants.BLESSED_FILE_NAME)
    if fileio.exists(blessed_path):
        fileio.remove(blessed_path)
    io_utils.write_string_file(os.path.join(blessing.uri, constants.NOT_BLESSED_FILE_NAME), "")
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE
    )


def _records(examples: list[types.Artifact], split: str) -> list[str]:
    return [path for uri in artifact_utils.get_split_uris(examples, split) for path in _files(uri)]


def _files(folder: str) -> list[str]:
    return [os.path.join(folder, name) for name in artifacts.list_folder(folder)]


def _serving_folder(model: types.Artifact) -> str:
    return path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))


@contextlib.contextmanager
def _serving_check(
    input_dict: dict[str, list[types.Artifact]],
) -> Iterator[Callable[[], ServingCheck]]:
    """Checks the export in a process of its own, while TFMA works. What it gives waits for it."""
    scores_path = os.path.join(
        artifact_utils.get_single_uri(input_dict[MODEL_RUN]), filenames.EXPORT_CHECK
    )
    records = _records(input_dict["examples"], "eval")
    with isolation.start_python(
        serving_check.__file__,
        [_serving_folder(input_dict["model"][0]), scores_path, *records],
        {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as process:
        try:
            yield functools.partial(_finish_serving_check, process)
        finally:
            process.kill()


def _finish_serving_check(process: subprocess.Popen[str]) -> ServingCheck:
    out, err = process.communicate()
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return ServingCheck(0, float("nan"), f"the check was ended by the system ({name})")
    if process.returncode:
        log.error("the export cannot be served:\n%s", err)
        return ServingCheck(0, float("nan"), (err.strip().splitlines() or ["it crashed"])[-1][:300])
    return ServingCheck(**json.loads(out.strip().splitlines()[-1]))


def _figures(rules: list[Rule], frame: pd.DataFrame) -> versions.Figures:
    """The held-out figures that go with a pushed model."""
    auc = next((rule for rule in rules if rule.rule == AUC), None)
    return versions.Figures(
        auc=auc.figure if auc else None,
        auc_interval=(auc.low, auc.high)
        if auc and auc.low is not None and auc.high is not None
        else None,
        images=len(frame),
        patients=frame[contract.PATIENT].nunique(),
    )


_STANDARD = standard_component_specs.EvaluatorSpec


class _Spec(component_spec.ComponentSpec):  # type: ignore[misc]
    PARAMETERS = _STANDARD.PARAMETERS | {
        SETTINGS: component_spec.ExecutionParameter(type=str),
        SERVING: component_spec.ExecutionParameter(type=str),
        PUSHED: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = _STANDARD.INPUTS | {
        MODEL_RUN: component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        STATISTICS: component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        BASELINE_EVALUATION: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation, optional=True
        ),
        EXTERNAL: component_spec.ChannelParameter(
            type=heldout_scores.ExternalScores, optional=True
        ),
    }
    OUTPUTS = _STANDARD.OUTPUTS
    TYPE_ANNOTATION = _STANDARD.TYPE_ANNOTATION


class Evaluator(base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """Evaluates a model on the test split, and applies the gate.

    Its outputs are those of TFX's Evaluator. The evaluation holds, besides TFMA's files, the
    held-out scores image by image (`heldout_scores.py`), the pictures (`pictures.py`) and the
    rules with their verdicts (`gate.py`).
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        statistics: types.BaseChannel,
        baseline_model: types.BaseChannel,
        baseline_evaluation: types.BaseChannel | None,
        external: types.BaseChannel | None,
        eval_config: config_pb2.EvalConfig,
        settings: str,
        serving: str,
    ):
        """Wires it.

        Args:
            examples: With the splits `eval` and `test`.
            model: The candidate.
            model_run: What Trainer left beside it.
            statistics: StatisticsGen's, which go with the model for monitoring.
            baseline_model: The latest blessed model; may be none.
            baseline_evaluation: What Evaluator wrote of it in its own run; may be none. None where
                the engine cannot find it.
            external: The scores of external test sets; None where the config names none.
            eval_config: TFMA's configuration.
            settings: `gate.apply_rules`'s, in JSON.
            serving: The folder of the pushed versions.
        """
        super().__init__(
            _Spec(
                examples=examples,
                model=model,
                model_run=model_run,
                statistics=statistics,
                baseline_model=baseline_model,
                baseline_evaluation=baseline_evaluation,
                external=external,
                eval_config=eval_config,
                settings=settings,
                serving=serving,
                pushed="",
                example_splits=json_utils.dumps([SPLIT]),
                fairness_indicator_thresholds=json_utils.dumps(None),
                module_path=extractors.__name__,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
