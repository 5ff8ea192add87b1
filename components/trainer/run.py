"""Trainer's user function: trains on Transform's examples, and exports the model to serve."""

import dataclasses
import hashlib
import json
import logging
import os
from typing import TYPE_CHECKING

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.metrics.split_metrics import measure_split
from tfxray.components.networks import backbone
from tfxray.components.shortcuts import probe
from tfxray.components.trainer import (
    export,
    export_explainable,
    loop,
    site_transfer,
)
from tfxray.components.trainer.distributed import processes, tf_config
from tfxray.components.trainer.distributed.strategy import make_strategy
from tfxray.components.trainer.examples import Examples
from tfxray.components.trainer.training import WORK, Training, find_examples

if TYPE_CHECKING:
    # Importing TFX takes many seconds, and the hosts that train with the chief need none of it.
    from tfx.components.trainer.fn_args_utils import FnArgs

_SCORED = 64  # validation images whose scores by the trained model are kept, to check the export

log = logging.getLogger(__name__)


def run_fn(fn_args: "FnArgs") -> None:
    """Trains and writes the model to serve, its history and its figures per split.

    Args:
        fn_args: TFX's. `custom_config` holds the settings of a `Training`; `classes` or `findings`;
            `serving`, the config's; `transfer`, the least number of patients of each class with
            which a site is compared with other sites, or None; and `state`, the folder that stores
            the state of the training, or None.

    Raises:
        UserError: A class without a training example, or the loss is no number.
    """
    settings, state = fn_args.custom_config, _state_folder(fn_args)
    if state and settings["train"]["distribution"] == "multi_worker":
        _fit_with_others(fn_args, state)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    splits = find_examples(settings, transform_output, fn_args.train_files, fn_args.eval_files)
    strategy = make_strategy(settings["train"]["distribution"])
    log.info("training on %d replicas", strategy.num_replicas_in_sync)
    training = Training(settings, splits, strategy)
    model = training.build()
    logs = fn_args.model_run_dir
    fileio.makedirs(logs)
    model, history = training.fit(model, state, logs)
    result = training.conclude(model, settings["serving"])
    operating_points, unlikeness = result.operating_points, result.unlikeness
    task = Task.of(settings)
    size = settings["backbone"]["image_size"]
    export.export_model(
        result.scorer, transform_output, size, task, operating_points, unlikeness,
        fn_args.serving_model_dir,
    )  # fmt: skip
    backbone_spec = backbone.BackboneSpec(**settings["backbone"])
    export_explainable.write_explainable(
        model, backbone_spec, operating_points.scaling, fn_args.serving_model_dir
    )
    split_figures = {
        split: measure_split(scores, examples.labels, operating_points.thresholds, task)
        for split, scores, examples in (
            ("train", result.training, splits.training),
            ("eval", result.validation, splits.validation),
        )
    }
    unlike = {"limit": unlikeness.limit, "share": settings["serving"]["unlike_share"]}
    files: dict[str, object] = {
        filenames.HISTORY: history,
        filenames.METRICS: split_figures,
        filenames.NETWORK: dataclasses.asdict(training.describe(model)),
        filenames.OPERATING_POINT: {**operating_points.describe(task), "unlike": unlike},
    }
    if settings["transfer"]:
        seed = settings["train"]["seed"]
        transfer = site_transfer.measure_transfer(
            splits.training, splits.validation, settings["transfer"], seed
        )
        files[filenames.SITE_TRANSFER] = dataclasses.asdict(transfer)
    files[filenames.PROBE] = dataclasses.asdict(_probe(splits.training, settings["train"]["seed"]))
    for name, content in files.items():
        io_utils.write_string_file(os.path.join(logs, name), json.dumps(content, indent=1))
    keys, scores = splits.validation.keys[:_SCORED], result.validation[:_SCORED]
    with artifacts.local_target(os.path.join(logs, filenames.EXPORT_CHECK)) as path:
        np.savez(path, keys=keys, scores=scores)
    if state and fileio.exists(state):
        fileio.rmtree(state)  # nothing is left to go on with


def _probe(examples: Examples, seed: int) -> probe.Probe:
    """How well the embeddings tell site and view; not those of a backbone that has learnt here."""
    if examples.kind != contract.EMBEDDING:
        return probe.Probe(
            skipped=["the backbone learnt from these images (train.mode: fine_tune)"]
        )
    columns = {t: c for t, c in probe.COLUMNS.items() if c in examples.columns}
    if not columns:
        return probe.Probe(
            skipped=["the schema's tensor_representation_group hands no site and view to Transform"]
        )
    places = probe.draw_images(len(examples), examples.width, seed)
    batches = examples.plain(_SCORED, places).as_numpy_iterator()
    embeddings = np.concatenate([inputs for inputs, _ in batches])
    traits = {
        trait: np.array(
            [text.decode("utf-8", "replace") for text in examples.columns[name][places]]
        )
        for trait, name in columns.items()
    }
    return probe.probe_embeddings(embeddings, traits, examples.columns[contract.OWNER][places])


def _fit_with_others(fn_args: "FnArgs", state: str) -> None:
    """Trains on several hosts; `state` then holds a finished training."""
    together = tf_config.as_chief()
    if not together.several or loop.TrainingState(state).finished:
        return
    plan = {
        "settings": fn_args.custom_config,
        "transform_output": fn_args.transform_output,
        "train_files": list(fn_args.train_files),
        "eval_files": list(fn_args.eval_files),
        "state": state,
        "logs": fn_args.model_run_dir,
    }
    processes.train_together(WORK, together, plan, 60 * fn_args.custom_config["train"]["wait"])


def _state_folder(fn_args: "FnArgs") -> str | None:
    """A folder of this training: by its settings, its code and its examples."""
    settings = fn_args.custom_config
    if not settings["state"]:
        return None
    identity = json.dumps([settings, fn_args.train_files, fn_args.eval_files], sort_keys=True)
    return os.path.join(settings["state"], hashlib.sha256(identity.encode()).hexdigest()[:16])
