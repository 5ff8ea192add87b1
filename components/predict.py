"""Scores images with a pushed model. Needs TensorFlow and nothing else of TFX."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from tfxray.components import files, images, names
from tfxray.components.errors import UserError

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One image's scores.

    Attributes:
        path: As given.
        scores: By class name, highest first; empty where the image could not be read.
        error: Why not.
    """

    path: str
    scores: dict[str, float]
    error: str | None = None


def find_model(folder: Path) -> Path:
    """Finds a SavedModel: the folder itself, its newest version, or the newest pushed below it.

    Raises:
        UserError: There is none.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    for pattern in ("*", "serving/*/*"):
        versions = [
            path
            for path in folder.glob(pattern)
            if path.name.isdigit() and (path / "saved_model.pb").is_file()
        ]
        if versions:
            return max(versions, key=lambda path: int(path.name))
    raise UserError(
        f"{folder}: holds no model; give a pushed version, its parent, or the --out of a run that "
        "pushed one"
    )


def predict(paths: Sequence[str], model: Path) -> list[Prediction]:
    """Scores images, in the order given.

    Args:
        paths: Image files, DICOM included.
        model: See `find_model`.

    Raises:
        UserError: The model cannot be loaded.
    """
    folder = find_model(model)
    try:
        loaded = tf.saved_model.load(str(folder))
        score = loaded.signatures[names.SIGNATURE_BYTES]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: is no model of tfxray's: {error}") from None
    results: list[Prediction] = []
    for start in range(0, len(paths), _BATCH):
        results += _batch(paths[start : start + _BATCH], score)
    return results


def _batch(paths: Sequence[str], score: tf.types.experimental.GenericFunction) -> list[Prediction]:
    read: dict[int, bytes] = {}
    errors: dict[int, str] = {}
    for i, path in enumerate(paths):
        try:
            read[i] = files.read(Path(path).read_bytes())[0].encoded
        except OSError as error:
            errors[i] = error.strerror or str(error)
        except images.Rejected as error:
            errors[i] = str(error)
    scored: dict[int, dict[str, float]] = {}
    if read:
        result = score(image_bytes=tf.constant(list(read.values())))
        classes = [name.decode() for name in result[names.CLASSES].numpy()[0]]
        for i, row in zip(read, result[names.SCORES].numpy(), strict=True):
            pairs = zip(classes, (float(value) for value in row), strict=True)
            scored[i] = dict(sorted(pairs, key=lambda pair: -pair[1]))
    return [Prediction(p, scored.get(i, {}), errors.get(i)) for i, p in enumerate(paths)]
