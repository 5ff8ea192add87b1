"""Trainer's user function: trains on what Transform left, and exports the model to serve."""

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

from tfxray.components.common import artifacts, filenames
from tfxray.components.metrics.split_metrics import measure_split
from tfxray.components.networks import backbone
from tfxray.components.trainer import (
    export,
    export_explainable,
    loop,
    site_transfer,
)
from tfxray.components.trainer.distributed import processes, strategy, tf_config
from tfxray.components.trainer.training import WORK, Training, find_examples

if TYPE_CHECKING:
    # Importing TFX takes many seconds, and the hosts that train with the chief need none of it.
    from tfx.components.trainer.fn_args_utils import FnArgs

_SCORED = 64  # validation images whose scores by the trained model are kept, to check the export

log = logging.getLogger(__name__)


def run_fn(fn_args: "FnArgs") -> None:
    """Trains and writes the model to serve, its history and its figures per split.

    Args:
        fn_args: TFX's; `custom_config` holds what a `Training` needs, `classes`, `serving` (the
            config's), `transfer`, the fewest patients of each class by which a site is compared
            with others, or None, and `state`, the folder in which a training that is killed finds
            itself again, or None.

    Raises:
        UserError: A class without a training example, or the loss is no number.
    """
    settings, state = fn_args.custom_config, _state_folder(fn_args)
    if state and settings["train"]["distribution"] == "multi_worker":
        _fit_with_others(fn_args, state)
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    splits = find_examples(settings, transformed, fn_args.train_files, fn_args.eval_files)
    where = strategy.make_strategy(settings["train"]["distribution"])
    log.info("training on %d replicas", where.num_replicas_in_sync)
    training = Training(settings, splits, where)
    model = training.build()
    logs = fn_args.model_run_dir
    fileio.makedirs(logs)
    model, history = training.fit(model, state, logs)
    done = training.conclude(model, settings["serving"])
    decided, limit = done.decided, done.known.limit
    size = settings["backbone"]["image_size"]
    export.export_model(
        done.scorer, transformed, size, settings["classes"], decided, done.known,
        fn_args.serving_model_dir,
    )  # fmt: skip
    body = backbone.BackboneSpec(**settings["backbone"])
    export_explainable.write_explainable(
        model, body, decided.temperature, fn_args.serving_model_dir
    )
    of_splits = {
        "train": measure_split(done.training, splits.training.targets, decided.threshold),
        "eval": measure_split(done.validation, splits.validation.targets, decided.threshold),
    }
    unlike = {"limit": limit, "share": settings["serving"]["unlike_share"]}
    told: dict[str, object] = {
        filenames.HISTORY: history,
        filenames.METRICS: of_splits,
        filenames.NETWORK: dataclasses.asdict(training.describe(model)),
        filenames.OPERATING_POINT: {**dataclasses.asdict(decided), "unlike": unlike},
    }
    if settings["transfer"]:
        seed = settings["train"]["seed"]
        found = site_transfer.measure_transfer(
            splits.training, splits.validation, settings["transfer"], seed
        )
        told[filenames.SITE_TRANSFER] = dataclasses.asdict(found)
    for name, content in told.items():
        io_utils.write_string_file(os.path.join(logs, name), json.dumps(content, indent=1))
    keys, scores = splits.validation.keys[:_SCORED], done.validation[:_SCORED]
    with artifacts.local_target(os.path.join(logs, filenames.EXPORT_CHECK)) as scored:
        np.savez(scored, keys=keys, scores=scores)
    if state and fileio.exists(state):
        fileio.rmtree(state)  # nothing is left to go on with


def _fit_with_others(fn_args: "FnArgs", state: str) -> None:
    """Trains on several hosts; `state` then holds a training that is done."""
    together = tf_config.as_chief()
    if not together.several or loop.Kept(state).done:
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
