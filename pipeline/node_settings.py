"""What each node is told of the config."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tfx.dsl.io import fileio

from tfxray.components.common import artifacts, code_digest, filesystem
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.records import Records

# The user functions, by the paths at which TFX finds them.
PREPROCESSING = "tfxray.components.transform.preprocessing.preprocessing_fn"
TRAINING = "tfxray.components.trainer.run.run_fn"
WEIGHTS = ("imagenet", "bundled", "none")  # all others are paths


def transform_settings(config: Config) -> dict[str, object]:
    """What Transform's user function is told.

    Args:
        config: The experiment.
    """
    return {
        **findings_settings(config),
        "mode": config.train.mode,
        "backbone": backbone_settings(config),
        "copies": config.train.copies,
        "distortions": config.train.distortions.model_dump() if config.train.copies else {},
        "seed": config.train.seed if config.train.copies else 0,
        **weights_settings(config),
    }


def trainer_settings(config: Config, state: str | None) -> dict[str, object]:
    """What Trainer's user function is told.

    Args:
        config: The experiment.
        state: Where a training that is killed finds itself again; None keeps nothing.
    """
    return {
        **task_settings(config),
        "train": config.train.model_dump(),
        "head": head_settings(config),
        "backbone": backbone_settings(config),
        "serving": {
            **config.serving.model_dump(exclude={"model_name", "folder"}),
            "calibrate": config.calibration,
        },
        # A backbone that learns has seen every site. None there, so that a slice's least size is no
        # reason to train for hours again.
        "transfer": config.evaluate.min_patients
        if config.train.mode == "frozen" and config.task.binary
        else None,
        "state": state,
        # The state of a training that is killed goes by these settings, and needs the code too.
        "code": code_digest.digest(TRAINING),
        **weights_settings(config),
    }


def data_gate_settings(config: Config, records: Records) -> str:
    """What DataGate is told, in JSON.

    Args:
        config: The experiment.
        records: Its data, with the report of their ingest.
    """
    settings = config.validation.model_dump(exclude={"schema_file"})
    drawn = len(records.globs) == 1
    settings |= {**task_settings(config), "drawn": drawn, "ingest": records.report}
    settings["external"] = {
        name: {**external.settings, "ingest": external.records.report}
        for name, external in records.external.items()
    }
    return json.dumps(settings, sort_keys=True)


def external_settings(config: Config, records: Records, measured: Sequence[str]) -> str:
    """What ExternalTest is told, in JSON.

    Args:
        config: The experiment.
        records: Its data, with the external test sets.
        measured: The features of which StatisticsGen measures how they are distributed.
    """
    settings = {
        **task_settings(config),
        "drift": config.validation.drift,
        "measured": list(measured),
        "external": {name: external.settings for name, external in records.external.items()},
    }
    return json.dumps(settings, sort_keys=True)


def evaluator_settings(config: Config) -> str:
    """What Evaluator is told besides TFMA's configuration, in JSON.

    Args:
        config: The experiment.
    """
    settings = {
        **task_settings(config),
        "gate": config.gate.model_dump(),
        "slices": config.evaluate.slices,
        "min_patients": config.evaluate.min_patients,
        "drift": config.validation.drift,  # goes with the model, for monitoring
    }
    return json.dumps(settings, sort_keys=True)


def task_settings(config: Config) -> dict[str, Any]:
    """What is asked: the config's `classes` or `findings`; see `task.Task`.

    Args:
        config: The experiment.
    """
    return {"findings": config.findings} if config.findings else {"classes": config.classes}


def findings_settings(config: Config) -> dict[str, Any]:
    """What Transform makes of findings: the policy of each for what is uncertain; else nothing.

    Args:
        config: The experiment.
    """
    uncertain = config.ingest.uncertain
    if not config.findings:
        return {}
    by_name = uncertain if isinstance(uncertain, dict) else {}
    usual = "ignore" if isinstance(uncertain, dict) else uncertain
    # Pairs: TFX sorts the keys of mappings, and the order is that of the model's outputs.
    return {"findings": [(name, by_name.get(name, usual)) for name in config.findings]}


def head_settings(config: Config) -> dict[str, Any]:
    """The fields of a `head.HeadSpec`.

    Args:
        config: The experiment.
    """
    own = config.model.head.model_dump()
    return {**own, "outputs": len(config.task.judged), "softmax": config.task.softmax}


def backbone_settings(config: Config) -> dict[str, Any]:
    """The backbone: the fields of a `backbone.BackboneSpec`.

    Args:
        config: The experiment.
    """
    weights = config.model.weights
    return {
        "name": config.model.backbone,
        "image_size": config.model.image_size,
        # Nodes run in another folder than the user's (`isolation.apart`).
        "weights": weights if weights in WEIGHTS else filesystem.full_path(weights),
        "arguments": config.model.arguments,
        "pooling": config.model.pooling,
    }


def weights_settings(config: Config) -> dict[str, object]:
    """A digest of a file of weights, which TFX's cache would know by its path alone.

    Args:
        config: The experiment.
    """
    path = config.model.weights
    if not fileio.exists(path) or fileio.isdir(path):
        return {}
    with artifacts.local_copy(path) as local, open(local, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"weights_digest": digest.hexdigest()[:16]}
