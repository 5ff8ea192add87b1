"""The held-out images that a reviewer wants to see: which they are, and their pictures.

Evaluator draws the pictures, beside the scores: a page is then written from what is there, by any
process, at once.
"""

import base64
import io
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf
from PIL import Image
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.evaluator import heldout_scores
from tfxray.components.explain import heat_maps, overlay
from tfxray.components.guard import rejects
from tfxray.components.pixels.image import decode_grey
from tfxray.components.transform import preprocessing

FILE = "pictures.json"
MISSED, ALARMS, DOUBTFUL, AGAINST = "missed", "alarms", "doubtful", "against"
_LISTED, _LEAST = 12, 2  # of each kind; of several findings, fewer of each
_SIDE = 256  # of a thumbnail, over which a heat map is laid, pixels
# Of an X-ray, which a reader enlarges; smaller where there are many, so that the page stays small.
LARGE, _MANY, _SMALLER = 1000, 60, 512
_QUALITY = 80
_BATCH = 32  # images at a time

log = logging.getLogger(__name__)


def count_listed(task: Task) -> int:
    """How many images of each kind are shown, so that the page stays small."""
    return max(_LEAST, _LISTED // len(task.judged))


def pick_images(
    table: pd.DataFrame, threshold: float, listed: int = _LISTED
) -> dict[str, tuple[int, pd.DataFrame]]:
    """Finds the images that are worth a look.

    Args:
        table: See `heldout_scores.read_scores`, of two classes or a `view`.
        threshold: A score that reaches it is called positive.
        listed: So many of each kind; see `count_listed`.

    Returns:
        By kind, how many there are and rows of the first of them: `missed` positives, lowest
        score first; false `alarms`, highest score first; the most `doubtful`, nearest to the
        threshold first; those whose score speaks `against` their label, furthest from it first,
        and beyond 0.5.
    """
    score, true = table[contract.SCORE], table[contract.LABEL] == 1
    missed = table[true & (score < threshold)].sort_values(contract.SCORE, kind="stable")
    alarms = table[~true & (score >= threshold)].sort_values(
        contract.SCORE, ascending=False, kind="stable"
    )
    doubtful = table.loc[(score - threshold).abs().sort_values(kind="stable").index].head(listed)
    off = (score - true).abs().sort_values(ascending=False, kind="stable")
    against = table.loc[off[off > 0.5].index]
    kinds = {MISSED: missed, ALARMS: alarms, DOUBTFUL: doubtful, AGAINST: against}
    return {kind: (len(rows), rows.head(listed)) for kind, rows in kinds.items()}


def draw_pictures(
    table: pd.DataFrame,
    task: Task,
    thresholds: Mapping[str, float],
    records: Sequence[str],
    model: str,
    folder: StrPath,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:
    """Draws the X-rays and heat maps of all kinds of `pick_images`, or writes why one fails.

    Args:
        table: See `heldout_scores.read_scores`.
        task: What is asked.
        thresholds: See `pick_images`; of each of the task's `judged`.
        records: The test split's files.
        model: Folder of the served model.
        folder: Evaluator's `evaluation`.
        make_pipeline: Makes the Beam job that looks for the images.
    """
    chosen = {}
    for name in task.judged:
        own = heldout_scores.view(table, task, name)
        picked = pick_images(own, thresholds[name], count_listed(task))
        chosen[name] = pd.concat([first for _, first in picked.values()])
    rows = pd.concat(chosen.values())
    encoded = _read_images(records, rows, os.path.join(folder, ".pictures"), make_pipeline)
    side = LARGE if len(encoded) <= _MANY else _SMALLER
    images = {digest: shrink(data, side) for digest, data in encoded.items()}
    xrays = {digest: image for digest, image in images.items() if image}
    thumbnails = {digest: image.copy() for digest, image in xrays.items()}
    for image in thumbnails.values():
        image.thumbnail((_SIDE, _SIDE))
    maps, reason = _heat(
        model,
        encoded,
        thumbnails,
        [set(own[heldout_scores.DIGEST]) for own in chosen.values()],
    )
    content = {
        "xrays": {digest: make_uri(image) for digest, image in xrays.items()},
        "heat": maps[0] if task.binary else dict(zip(task.judged, maps, strict=True)),
        "no_heat": reason,
    }
    io_utils.write_string_file(os.path.join(folder, FILE), json.dumps(content))


def read_pictures(
    folder: StrPath, task: Task, name: str
) -> tuple[dict[str, str], dict[str, str], str]:
    """Reads the pictures.

    Args:
        folder: Evaluator's `evaluation`.
        task: What is asked.
        name: Of the task's `judged`, the one whose heat maps are meant.

    Returns:
        X-rays and heat maps, as data URIs by digest; why there are no heat maps, or nothing.
    """
    path = os.path.join(folder, FILE)
    if not fileio.exists(path):
        return {}, {}, "The pictures are missing."
    content = json.loads(io_utils.read_string_file(path))
    heat = content["heat"] if task.binary else content["heat"].get(name, {})
    return content["xrays"], heat, content["no_heat"]


def _read_images(
    records: Sequence[str],
    rows: pd.DataFrame,
    scratch: str,
    make_pipeline: Callable[[], beam.Pipeline],
) -> dict[str, bytes]:
    """The images of some rows by digest, in the order of the rows. Beam's workers look for them."""
    digests = [*dict.fromkeys(rows[heldout_scores.DIGEST])]
    schema = pa.schema([(heldout_scores.DIGEST, pa.string()), (contract.IMAGE, pa.binary())])
    find = _Find(set(rows[contract.FILENAME]), set(digests))
    try:
        with make_pipeline() as pipeline:
            _ = (
                pipeline
                | beam.Create(records)
                | beam.io.ReadAllFromTFRecord()
                | beam.ParDo(find)
                | beam.io.WriteToParquet(os.path.join(scratch, "part"), schema)
            )
        parts = [os.path.join(scratch, name) for name in artifacts.list_folder(scratch)]
        table = heldout_scores.read_parts(parts, schema)
    except Exception:
        # A verdict is not lost for a picture.
        log.exception("the test split's images cannot be read")
        return {}
    finally:
        if fileio.exists(scratch):
            fileio.rmtree(scratch)
    columns = (table[name].to_pylist() for name in schema.names)
    images = dict(zip(*columns, strict=True))
    if missing := len(set(digests) - images.keys()):
        log.warning("%d of %d images of the test split were not found again", missing, len(digests))
    return {digest: images[digest] for digest in digests if digest in images}


class _Find(beam.DoFn):  # type: ignore[misc]
    """Records to the images that are wanted, with their digests."""

    def __init__(self, files: Collection[str], digests: Collection[str]):
        self._names = {name.encode() for name in files} | {b""}
        self._digests = digests

    def process(self, record: bytes) -> Iterator[dict[str, str | bytes]]:
        features = tf.train.Example.FromString(record).features.feature
        # A digest is computed only where the file's name is a wanted one.
        if read_bytes(features, contract.FILENAME) in self._names:
            encoded = read_bytes(features, contract.IMAGE)
            digest = heldout_scores.digest_image(encoded)
            if digest in self._digests:
                yield {heldout_scores.DIGEST: digest, contract.IMAGE: encoded}


def read_bytes(features: Mapping[str, tf.train.Feature], name: str) -> bytes:
    """A record's first value of a feature; empty where there is none."""
    return next(iter(features[name].bytes_list.value), b"") if name in features else b""


def shrink(encoded: bytes, side: int) -> Image.Image | None:
    """An image for the page, at most so many pixels wide and high; None if it cannot be read."""
    try:
        _, pixels = decode_grey(encoded)
    except rejects.Rejected:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return image


def make_uri(image: Image.Image) -> str:
    """An image as a data URI, for the page."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat(
    model: str,
    encoded: Mapping[str, bytes],
    thumbnails: Mapping[str, Image.Image],
    wanted: Sequence[set[str]],
) -> tuple[list[dict[str, str]], str]:
    """Heat maps of each output, by the digests that are wanted of it; and why there are none."""
    none: list[dict[str, str]] = [{} for _ in wanted]
    if not thumbnails:
        return none, "The images are missing."
    try:
        explainer = heat_maps.load_explainer(model)
        maps = []
        for output, digests in enumerate(wanted):
            own = [digest for digest in thumbnails if digest in digests]
            maps.append(_lay_heat(explainer, encoded, thumbnails, own, output))
    except UserError as error:
        return none, f"The model gives no heat maps: {error}"
    except Exception as error:
        # A verdict is not lost for a picture.
        log.exception("no heat maps")
        return none, f"The model gives no heat maps: {type(error).__name__}"
    return maps, ""


def _lay_heat(
    explainer: heat_maps.Explainer,
    encoded: Mapping[str, bytes],
    thumbnails: Mapping[str, Image.Image],
    digests: Sequence[str],
    output: int,
) -> dict[str, str]:
    """One output's heat maps over X-rays, each of its thumbnail's size."""
    maps_by_digest = {}
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        contents = [tf.constant(encoded[digest]) for digest in batch]
        pixels = np.stack(
            [preprocessing.decode_pixels(c, explainer.size)[..., 0] for c in contents]
        )
        maps = explainer.heat(
            pixels, heat_maps.INTEGRATED_GRADIENTS, steps=heat_maps.QUICK_STEPS, output=output
        )
        for digest, heat in zip(batch, maps, strict=True):
            xray = np.asarray(thumbnails[digest])
            maps_by_digest[digest] = make_uri(overlay.lay_heat(xray, heat))
    return maps_by_digest
