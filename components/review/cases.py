"""The held-out images that the model gets wrong, doubts, or whose label it disagrees with."""

import base64
import dataclasses
import io
import logging
import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from tfxray.components import artifacts, attribution, images, names, overlay, scores, transform
from tfxray.components.errors import UserError
from tfxray.components.review.evidence import Evidence

_LISTED = 24  # per list
_SIDE = 256  # of a thumbnail, pixels
_QUALITY = 80
_BATCH = 32  # images at a time
METHOD = attribution.INTEGRATED_GRADIENTS

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Case:
    """One held-out image.

    Attributes:
        file: Its name, as the data contract has it.
        label: Its class.
        said: The class that the model gives it at the operating point.
        score: Of the positive class.
        unlike: Whether it looks unlike the training images; None where that is not known.
        xray: The image, a data URI; None where it could not be found.
        heat: Where the model looked, laid over it.
    """

    file: str
    label: str
    said: str
    score: float
    unlike: bool | None
    xray: str | None
    heat: str | None

    @property
    def right(self) -> bool:
        """Whether the model agrees with the label."""
        return self.said == self.label


@dataclasses.dataclass(frozen=True)
class Cases:
    """Images of one kind.

    Attributes:
        title: What they have in common.
        note: What order they are in.
        total: How many there are.
        shown: The first of them.
    """

    title: str
    note: str
    total: int
    shown: list[Case]


def cases(evidence: Evidence) -> tuple[list[Cases], str]:
    """Finds them, with their pictures.

    Args:
        evidence: Of the run.

    Returns:
        The lists; and why there are no heat maps, empty where there are.
    """
    if evidence.scores is None:
        return [], "The page was given no scores of single images."
    lists = _lists(evidence, evidence.scores)
    wanted = pd.concat([part for _, _, _, part in lists])
    encoded = _encoded(evidence, set(wanted[names.FILENAME]), set(wanted[scores.DIGEST]))
    drawn = {digest: _thumbnail(data) for digest, data in encoded.items()}
    thumbnails = {digest: image for digest, image in drawn.items() if image}
    heat, reason = _heat(evidence, encoded, thumbnails)
    xrays = {digest: _uri(image) for digest, image in thumbnails.items()}
    found = []
    for title, note, total, part in lists:
        shown = [_case(evidence, row, xrays, heat) for row in part.to_dict("records")]
        found.append(Cases(title, note, total, shown))
    return found, reason


def _lists(evidence: Evidence, table: pd.DataFrame) -> list[tuple[str, str, int, pd.DataFrame]]:
    at, (negative, positive) = evidence.threshold, evidence.classes
    score, true = table[names.SCORE], table[names.LABEL] == 1
    missed = table[true & (score < at)].sort_values(names.SCORE)
    alarms = table[~true & (score >= at)].sort_values(names.SCORE, ascending=False)
    half = _LISTED // 2
    doubt = table.assign(_=(score - at).abs()).sort_values("_")
    against = table.assign(_=(score - true).abs()).sort_values("_", ascending=False)
    against = against[against["_"] > 0.5]
    return [
        (f"Missed: {positive} taken for {negative}", "Lowest score first.", len(missed),
         missed.head(half)),
        (f"False alarms: {negative} taken for {positive}", "Highest score first.", len(alarms),
         alarms.head(half)),
        ("Most doubtful", "Nearest to the operating point first, right or wrong.",
         min(half, len(doubt)), doubt.head(half)),
        ("Labels the model disagrees with most",
         "Score furthest from the label first, and beyond 0.5. Where the model is otherwise good, "
         "look at the label before the model.", len(against), against.head(half)),
    ]  # fmt: skip


def _case(
    evidence: Evidence,
    row: Mapping[str, object],
    xrays: Mapping[str, str],
    heat: Mapping[str, str],
) -> Case:
    digest, score = str(row[scores.DIGEST]), float(str(row[names.SCORE]))
    label, said = row[names.LABEL] == 1, score >= evidence.threshold
    return Case(
        file=str(row[names.FILENAME]),
        label=evidence.classes[label],
        said=evidence.classes[said],
        score=score,
        unlike=row[names.UNLIKE] == 1 if names.UNLIKE in row else None,
        xray=xrays.get(digest),
        heat=heat.get(digest),
    )


def _encoded(evidence: Evidence, files: set[str], digests: set[str]) -> dict[str, bytes]:
    """The images by digest. The name tells which ones are worth the computing of one."""
    examples = evidence.uris.get("ExampleGen.examples")
    folder = os.path.join(examples or "", "Split-test")
    paths = [os.path.join(folder, n) for n in artifacts.inside(folder)] if examples else []
    records = tf.data.TFRecordDataset(paths, "GZIP")
    spec = {
        names.FILENAME: tf.io.FixedLenFeature([], tf.string, ""),
        names.IMAGE: tf.io.FixedLenFeature([], tf.string, ""),
    }
    likely = {name.encode() for name in files} | {b""}
    found: dict[str, bytes] = {}
    try:
        for batch in records.batch(_BATCH).map(lambda b: tf.io.parse_example(b, spec)):
            for i, name in enumerate(batch[names.FILENAME].numpy()):
                if name in likely:
                    encoded = batch[names.IMAGE][i].numpy()
                    digest = scores.digest(encoded)
                    if digest in digests:
                        found[digest] = encoded
    except tf.errors.OpError as error:
        log.warning("the test split's images cannot be read: %s", error)
    return found


def _thumbnail(encoded: bytes) -> Image.Image | None:
    try:
        _, pixels = images.decode_grey(encoded)
    except images.Rejected:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    return image


def _uri(image: Image.Image) -> str:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()


def _heat(
    evidence: Evidence, encoded: Mapping[str, bytes], thumbnails: Mapping[str, Image.Image]
) -> tuple[dict[str, str], str]:
    """Heat maps by name, each of its thumbnail's size; and why there are none."""
    folder = evidence.uris.get("Trainer.model")
    if not folder or not thumbnails:
        return {}, "The images or the model are missing."
    try:
        explainer = attribution.load(os.path.join(folder, "Format-Serving"))
    except UserError as error:
        return {}, f"The model gives no heat maps: {error}"
    found = {}
    listed = list(thumbnails)
    for start in range(0, len(listed), _BATCH):
        part = listed[start : start + _BATCH]
        pixels = np.stack(
            [transform.decode(tf.constant(encoded[n]), explainer.size)[..., 0] for n in part]
        )
        maps = explainer.heat(pixels, METHOD, steps=attribution.QUICK_STEPS)
        for name, heat in zip(part, maps, strict=True):
            found[name] = _uri(overlay.overlay(np.asarray(thumbnails[name]), heat))
    return found, ""
