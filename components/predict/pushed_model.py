"""Scores images with a pushed model. Needs TensorFlow, and of TFX its file systems alone."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract, filenames, filesystem, progress
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.guard import rejects
from tfxray.components.pixels import image, loader
from tfxray.components.predict import likeness
from tfxray.components.pusher import versions

SEPARATOR = "|"  # between the findings of an image
_BATCH = 32
_NO_OTHER = "no other is good; push a model again (tfxray run)"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: As given.
        label: The class, by the model's operating point; of findings, those at or above their
            operating points, with `|` between them. None where no score is given.
        scores: By the name of class or finding; empty where the image could not be read, or is
            withheld. Highest first; but of several classes or findings, those that were called come
            before the others.
        positive: Of two classes, the one whose score is compared with the threshold. None of
            several classes or findings.
        threshold: A score of the positive class that reaches it makes that class the label. None of
            several classes or findings.
        thresholds: Of several classes or findings, the operating point of each.
        distance: See `likeness.Likeness`.
        unlike: Likewise: the scores then mean nothing, and are withheld unless forced.
        withheld: Whether they are.
        note: What a person must be told beside the scores, or in their place.
        error: Why the image could not be read.
        model: The version's folder, where single images are scored; see `predict_images`.
    """

    path: str
    label: str | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    positive: str | None = None
    threshold: float | None = None
    thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
    distance: float | None = None
    unlike: bool | None = None
    withheld: bool = False
    note: str = ""
    error: str | None = None
    model: str = ""


@dataclasses.dataclass(frozen=True)
class Served:
    """The newest version in a serving folder, whose classes the clients know.

    Attributes:
        version: Its folder; empty where there is no version.
        classes: In the order of their labels, or its findings; empty where they cannot be read.
        exclusive: Whether they are classes.
    """

    version: str = ""
    classes: Sequence[str] = ()
    exclusive: bool = True


def find_model(folder: StrPath) -> str:
    """Finds a SavedModel: the folder itself, its newest version, or the newest pushed below it.

    Its files are compared with the checksums that Pusher left in it. A model without any is one of
    tfxray 0.1.0, or of another tool; a line of the log says so.

    Args:
        folder: On any of TFX's file systems.

    Raises:
        UserError: There is none, there are several models, or it is damaged. Nor is an older
            version taken in the place of a damaged one: which model scores is not to be guessed. Or
            its path is no literal one.
    """
    folder = os.fspath(folder)
    filesystem.require_literal(folder, "--model")
    if versions.is_version(folder):
        if damage := versions.find_damage(folder):
            raise UserError(f"{folder}: this version is damaged: {damage}; give another (--model)")
        return _sound(folder)
    serving = os.path.join(folder, "serving")
    for parents in (
        [folder],
        [os.path.join(serving, name) for name in artifacts.list_folder(serving)],
    ):
        numbered = {parent: versions.list_versions(parent) for parent in sorted(parents)}
        bases = [
            b for b, paths in numbered.items() if any(map(versions.is_version, paths.values()))
        ]
        if len(bases) > 1:
            names = ", ".join(map(os.path.basename, bases))
            raise UserError(
                f"{folder}: holds several models: {names}; name the folder of one, such as "
                f"{bases[0]} (--model)"
            )
        if bases:
            newest = versions.find_newest(bases[0])
            for version, damage in newest.damaged.items():
                good = f"the last good version is {newest.sound}" if newest.sound else _NO_OTHER
                raise UserError(f"{version}: the newest version is damaged: {damage}; {good}")
            assert newest.sound  # else there would be a damaged one
            return _sound(newest.sound)
    raise UserError(
        f"{folder}: holds no model; give a pushed version, its parent, or the --out of a run that "
        "pushed one"
    )


@functools.cache  # told once
def _sound(version: str) -> str:
    if not versions.has_record(version):
        progress.log.warning("%s: has no checksums, so that damage cannot be seen", version)
    return version


def read_served(serving: StrPath) -> Served:
    """Reads which classes the newest version has, of those that tell.

    Args:
        serving: The parent of the versions.
    """
    paths = [*reversed(versions.list_versions(os.fspath(serving)).values())]
    for version in paths:
        with contextlib.suppress(OSError, ValueError, UserError, tf.errors.OpError):
            task = read_task(version)
            return Served(version, list(task.names), task.exclusive)
    return Served(paths[0] if paths else "")


def read_task(version: str) -> Task:
    """What a version, or any exported model, is asked.

    Args:
        version: Its folder.

    Raises:
        UserError: It cannot be loaded.
    """
    path = os.path.join(version, filenames.CLASSES)
    if fileio.exists(path):
        names = json.loads(io_utils.read_string_file(path))
        exclusive = isinstance(names, list)
        return Task(tuple(map(str, names if exclusive else names["findings"])), exclusive)
    # An older tfxray wrote no such file, and knew two classes alone. The model names them.
    blank = tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)).numpy()
    (row,) = Model(version).outputs([blank])[contract.CLASSES]
    return Task(tuple(name.decode() for name in row))


class Model:
    """A pushed model, loaded.

    Attributes:
        folder: Where it lies.
    """

    def __init__(self, model: StrPath):
        """Loads it.

        Args:
            model: See `find_model`.

        Raises:
            UserError: It cannot be loaded.
        """
        self.folder = find_model(model)
        try:
            with artifacts.local_folder(self.folder) as local:
                # Kept: what it holds goes when it goes.
                self._saved_model = tf.saved_model.load(local)
            self._score = self._saved_model.signatures[contract.SIGNATURE_BYTES]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise UserError(f"{self.folder}: is no model of tfxray's: {error}") from None
        if not {contract.THRESHOLD, contract.POSITIVE} <= set(self._score.structured_outputs):
            raise UserError(
                f"{self.folder}: was exported by an older tfxray, without an operating point; run "
                "the pipeline again"
            )

    def outputs(self, encoded: Sequence[bytes]) -> dict[str, np.ndarray]:
        """What it gives out for images, one row each; see `export.export_model`."""
        result = self._score(image_bytes=tf.constant(list(encoded)))
        return {name: values.numpy() for name, values in result.items()}

    def predict(
        self, images: Sequence[tuple[str, bytes]], force: bool
    ) -> list[Prediction | rejects.Rejected]:
        """Scores images.

        Args:
            images: Paths, and JPEG or PNG as `image.decodable` gives it.
            force: See `predict_images`.

        Returns:
            Of each, what the model says; or why TensorFlow cannot decode it.
        """
        try:
            columns = self.outputs([encoded for _, encoded in images])
        except tf.errors.InvalidArgumentError:  # an image is damaged within: which?
            if len(images) > 1:
                return [
                    prediction for single in images for prediction in self.predict([single], force)
                ]
            return [_damage(images[0][1])]
        return [
            make_prediction(path, {name: column[place] for name, column in columns.items()}, force)
            for place, (path, _) in enumerate(images)
        ]


def read_fingerprint(version: str) -> str:
    """A digest that tells one model from another, wherever a copy of it lies.

    Args:
        version: Its folder.

    Raises:
        UserError: It is no model.
    """
    try:
        with artifacts.local_folder(version) as local:
            fingerprint = str(tf.saved_model.experimental.read_fingerprint(local))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{version}: is no model of tfxray's: {error}") from None
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:32]


def predict_images(paths: Sequence[str], model: StrPath, force: bool = False) -> list[Prediction]:
    """Scores images, in the order given.

    Args:
        paths: Image files, DICOM included, on any of Beam's file systems.
        model: See `find_model`.
        force: Give scores of images unlike the training data, too.

    Raises:
        UserError: The model cannot be loaded.
    """
    scorer = Model(model)
    results: list[Prediction] = []
    for start in range(0, len(paths), _BATCH):
        results += _batch(paths[start : start + _BATCH], scorer, force)
    return [dataclasses.replace(result, model=scorer.folder) for result in results]


def _batch(paths: Sequence[str], model: Model, force: bool) -> list[Prediction]:
    encoded_images: dict[str, bytes] = {}
    predictions: dict[str, Prediction] = {}
    for path in paths:
        try:
            encoded_images[path] = loader.read_file(loader.read_bytes(path))[0].encoded
        except OSError as error:
            predictions[path] = Prediction(path, error=error.strerror or str(error))
        except Exception as error:
            predictions[path] = Prediction(path, error=str(rejects.as_reject(error)))
    if encoded_images:
        for path, result in zip(
            encoded_images, model.predict(list(encoded_images.items()), force), strict=True
        ):
            if isinstance(result, rejects.Rejected):
                result = Prediction(path, error=str(result))
            predictions[path] = result
    return [predictions[path] for path in paths]


def make_prediction(path: str, outputs: Mapping[str, Any], force: bool) -> Prediction:
    """What a model says of one image, for people.

    Args:
        path: The image's.
        outputs: The model's of this image; see `Model.outputs`.
        force: See `likeness.decide`.
    """
    decision = likeness.decide(outputs, force)
    names = [name.decode() for name in outputs[contract.CLASSES]]
    thresholds, positive = outputs[contract.THRESHOLD], outputs[contract.POSITIVE]
    prediction = Prediction(path, **dataclasses.asdict(decision))
    if not np.ndim(positive):
        positive = (1 - positive, positive)  # of two classes, one is
        threshold = float(thresholds)
        prediction = dataclasses.replace(prediction, positive=names[-1], threshold=threshold)
    else:
        by_name = dict(zip(names, map(float, thresholds), strict=True))
        prediction = dataclasses.replace(prediction, thresholds=by_name)
    if decision.withheld:
        return prediction
    called = {name for name, is_called in zip(names, positive, strict=True) if is_called}
    pairs = zip(names, (float(value) for value in outputs[contract.SCORES]), strict=True)
    first = called if prediction.thresholds else set(names)
    scores = dict(sorted(pairs, key=lambda pair: (pair[0] not in first, -pair[1])))
    label = SEPARATOR.join(name for name in scores if name in called)
    return dataclasses.replace(prediction, label=label, scores=scores)


def _damage(encoded: bytes) -> rejects.Rejected:
    """Why TensorFlow could not decode an image, in ingest's words where ingest would see it."""
    try:
        image.decode_grey(encoded)
    except rejects.Rejected as reject:
        return reject
    return rejects.Rejected("undecodable", "TensorFlow cannot decode the image")
