"""The held-out images that a reviewer wants to see: which they are, and their pictures.

Evaluator draws the pictures, beside the scores: a page is then written from what is there, by any
process, at once.
"""

import base64
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.evaluator import heldout_scores
from tfxray.components.explain import heat_maps, overlay
from tfxray.components.guard import rejects
from tfxray.components.pixels.image import decode_grey
from tfxray.components.transform import preprocessing

FILE = "pictures.json"
MISSED, ALARMS, DOUBTFUL, AGAINST = "missed", "alarms", "doubtful", "against"
_LISTED = 12  # of each kind
_SIDE = 256  # of a thumbnail, pixels
_QUALITY = 80
_BATCH = 32  # images at a time

log = logging.getLogger(__name__)


def pick_images(table: pd.DataFrame, threshold: float) -> dict[str, tuple[int, pd.DataFrame]]:
    """Finds the images that are worth a look.

    Args:
        table: See `heldout_scores.read_scores`.
        threshold: A score that reaches it is called positive.

    Returns:
        By kind, how many there are and rows of the first of them: `missed` positives, lowest
        score first; false `alarms`, highest score first; the most `doubtful`, nearest to the
        threshold first; those whose score speaks `against` their label, furthest from it first,
        and beyond 0.5.
    """
    score, true = table[contract.SCORE], table[contract.LABEL] == 1
    missed = table[true & (score < threshold)].sort_values(contract.SCORE)
    alarms = table[~true & (score >= threshold)].sort_values(contract.SCORE, ascending=False)
    doubtful = table.loc[(score - threshold).abs().sort_values().index].head(_LISTED)
    off = (score - true).abs().sort_values(ascending=False)
    against = table.loc[off[off > 0.5].index]
    kinds = {MISSED: missed, ALARMS: alarms, DOUBTFUL: doubtful, AGAINST: against}
    return {kind: (len(rows), rows.head(_LISTED)) for kind, rows in kinds.items()}


def draw_pictures(
    table: pd.DataFrame, threshold: float, records: Sequence[str], model: str, folder: StrPath
) -> None:
    """Draws the X-rays and heat maps of all kinds of `pick_images`, or writes why one fails.

    Args:
        table: See `heldout_scores.read_scores`.
        threshold: See `pick_images`.
        records: The test split's files.
        model: Folder of the served model.
        folder: Evaluator's `evaluation`.
    """
    rows = pd.concat([first for _, first in pick_images(table, threshold).values()])
    encoded = _read_images(records, set(rows[contract.FILENAME]), set(rows[heldout_scores.DIGEST]))
    images = {digest: _thumbnail(data) for digest, data in encoded.items()}
    thumbnails = {digest: image for digest, image in images.items() if image}
    heat, reason = _heat(model, encoded, thumbnails)
    xrays = {digest: _uri(image) for digest, image in thumbnails.items()}
    content = {"xrays": xrays, "heat": heat, "no_heat": reason}
    io_utils.write_string_file(os.path.join(folder, FILE), json.dumps(content))


def read_pictures(folder: StrPath) -> tuple[dict[str, str], dict[str, str], str]:
    """Reads the pictures.

    Args:
        folder: Evaluator's `evaluation`.

    Returns:
        X-rays and heat maps, as data URIs by digest; why there are no heat maps, or nothing.
    """
    path = os.path.join(folder, FILE)
    if not fileio.exists(path):
        return {}, {}, "The pictures are missing."
    content = json.loads(io_utils.read_string_file(path))
    return content["xrays"], content["heat"], content["no_heat"]


def _read_images(records: Sequence[str], files: set[str], digests: set[str]) -> dict[str, bytes]:
    """The images by digest. A digest is computed only where the file's name is one of `files`."""
    spec = {
        contract.FILENAME: tf.io.FixedLenFeature([], tf.string, ""),
        contract.IMAGE: tf.io.FixedLenFeature([], tf.string, ""),
    }
    names = {name.encode() for name in files} | {b""}
    images: dict[str, bytes] = {}
    try:
        batches = artifacts.record_dataset(records).batch(_BATCH)
        for batch in batches.map(lambda b: tf.io.parse_example(b, spec)):
            for i, name in enumerate(batch[contract.FILENAME].numpy()):
                if name in names:
                    encoded = batch[contract.IMAGE][i].numpy()
                    digest = heldout_scores.digest_image(encoded)
                    if digest in digests:
                        images[digest] = encoded
    except tf.errors.OpError as error:
        log.warning("the test split's images cannot be read: %s", error)
    return images


def _thumbnail(encoded: bytes) -> Image.Image | None:
    try:
        _, pixels = decode_grey(encoded)
    except rejects.Rejected:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    return image


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat(
    model: str, encoded: Mapping[str, bytes], thumbnails: Mapping[str, Image.Image]
) -> tuple[dict[str, str], str]:
    """Heat maps by digest, each of its thumbnail's size; and why there are none."""
    if not thumbnails:
        return {}, "The images are missing."
    maps_by_digest = {}
    digests = list(thumbnails)
    try:
        explainer = heat_maps.load_explainer(model)
        for start in range(0, len(digests), _BATCH):
            batch = digests[start : start + _BATCH]
            contents = [tf.constant(encoded[digest]) for digest in batch]
            pixels = np.stack(
                [preprocessing.decode_pixels(c, explainer.size)[..., 0] for c in contents]
            )
            maps = explainer.heat(
                pixels, heat_maps.INTEGRATED_GRADIENTS, steps=heat_maps.QUICK_STEPS
            )
            for digest, heat in zip(batch, maps, strict=True):
                xray = np.asarray(thumbnails[digest])
                maps_by_digest[digest] = _uri(overlay.lay_heat(xray, heat))
    except UserError as error:
        return {}, f"The model gives no heat maps: {error}"
    except Exception as error:
        # A verdict is not lost for a picture.
        log.exception("no heat maps")
        return {}, f"The model gives no heat maps: {type(error).__name__}"
    return maps_by_digest, ""
