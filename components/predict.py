"""Scores images with a pushed model. Needs TensorFlow, and of TFX its file systems alone."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tfx.dsl.io import fileio

from tfxray.components import artifacts, files, folders, images, names
from tfxray.components.errors import UserError
from tfxray.components.folders import StrPath

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: As given.
        label: The class, by the model's operating point; None where no score is given.
        scores: By class name, highest first; empty where the image could not be read, or is
            withheld.
        threshold: The positive class's score from which on it is the label.
        distance: To the training images; 1 is usual.
        unlike: Whether that is further than almost all of validation: the scores then mean
            nothing, and are withheld unless forced.
        error: Why the image could not be read.
    """

    path: str
    label: str | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    threshold: float | None = None
    distance: float | None = None
    unlike: bool = False
    error: str | None = None


def find_model(folder: StrPath) -> str:
    """Finds a SavedModel: the folder itself, its newest version, or the newest pushed below it.

    Args:
        folder: On any of TFX's file systems.

    Raises:
        UserError: There is none.
    """
    folder = os.fspath(folder)
    if _is_model(folder):
        return folder
    serving = os.path.join(folder, "serving")
    for parents in ([folder], [os.path.join(serving, name) for name in artifacts.inside(serving)]):
        versions = {
            int(name): os.path.join(parent, name)
            for parent in parents
            for name in artifacts.inside(parent)
            if name.isdigit() and _is_model(os.path.join(parent, name))
        }
        if versions:
            return versions[max(versions)]
    raise UserError(
        f"{folder}: holds no model; give a pushed version, its parent, or the --out of a run that "
        "pushed one"
    )


def _is_model(folder: str) -> bool:
    return bool(fileio.exists(os.path.join(folder, "saved_model.pb")))


def predict(paths: Sequence[str], model: StrPath, force: bool = False) -> list[Prediction]:
    """Scores images, in the order given.

    Args:
        paths: Image files, DICOM included, on any of Beam's file systems.
        model: See `find_model`.
        force: Give scores of images unlike the training data, too.

    Raises:
        UserError: The model cannot be loaded.
    """
    folder = find_model(model)
    try:
        loaded = tf.saved_model.load(folder)
        score = loaded.signatures[names.SIGNATURE_BYTES]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: is no model of tfxray's: {error}") from None
    if names.UNLIKE not in score.structured_outputs:
        raise UserError(
            f"{folder}: was exported by an older tfxray, without an operating point; run the "
            "pipeline again"
        )
    results: list[Prediction] = []
    for start in range(0, len(paths), _BATCH):
        results += _batch(paths[start : start + _BATCH], score, force)
    return results


def _batch(
    paths: Sequence[str], score: tf.types.experimental.GenericFunction, force: bool
) -> list[Prediction]:
    read: dict[str, bytes] = {}
    done: dict[str, Prediction] = {}
    for path in paths:
        try:
            with folders.open_file(path) as file:
                read[path] = files.read(file.read())[0].encoded
        except OSError as error:
            done[path] = Prediction(path, error=error.strerror or str(error))
        except Exception as error:
            done[path] = Prediction(path, error=str(images.rejected(error)))
    if read:
        result = score(image_bytes=tf.constant(list(read.values())))
        columns = {name: values.numpy() for name, values in result.items()}
        for place, path in enumerate(read):
            of_image = {name: values[place] for name, values in columns.items()}
            done[path] = _prediction(path, of_image, force)
    return [done[path] for path in paths]


def _prediction(path: str, outputs: Mapping[str, Any], force: bool) -> Prediction:
    unlike, classes = bool(outputs[names.UNLIKE]), [c.decode() for c in outputs[names.CLASSES]]
    found = Prediction(
        path,
        threshold=float(outputs[names.THRESHOLD]),
        distance=float(outputs[names.DISTANCE]),
        unlike=unlike,
    )
    if unlike and not force:
        return found
    pairs = zip(classes, (float(value) for value in outputs[names.SCORES]), strict=True)
    return dataclasses.replace(
        found,
        label=classes[int(outputs[names.POSITIVE])],
        scores=dict(sorted(pairs, key=lambda pair: -pair[1])),
    )
