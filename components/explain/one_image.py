"""Explains one image: reads it, asks the model, draws the heat map and writes it."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, PngImagePlugin

from tfxray.components.common import artifacts, contract, filenames, filesystem, progress
from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.common.filesystem import StrPath
from tfxray.components.disk import durable
from tfxray.components.explain import heat_maps, overlay
from tfxray.components.guard import rejects
from tfxray.components.ingest import record_check
from tfxray.components.listing import file_list
from tfxray.components.pixels import loader
from tfxray.components.pixels.image import decode_grey
from tfxray.components.predict import likeness, pushed_model
from tfxray.components.text import escape
from tfxray.components.transform import preprocessing

# Images that SHAP compares with; more change little and take no longer.
BACKGROUND = 32
# The most files and records that are read to find them, which bounds the time.
_LOOKED_AT, _READ = 256, 10_000
_SEED = 0
# How far the explained score may lie from the served one: it is the same network's.
_SAME = 1e-3
# By this mark in a PNG we know our own, and overwrite nothing else: --out might be an X-ray.
_MARK = ("Software", "tfxray explain")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What was explained.

    Attributes:
        image: As given.
        model: The SavedModel's folder.
        method: One of `contract.EXPLAIN_METHODS`.
        class_name: The positive class, or the finding; the heat map tells what raises its score.
        score: Of that class, as served; None where it is withheld.
        threshold: Of that class or finding: its operating point. A score that reaches it is called
            positive; of several classes, the most probable one is the label.
        distance: See `likeness.Likeness`, as of the following three.
        unlike: Likewise.
        withheld: Likewise.
        note: Likewise.
        out: The picture.
    """

    image: str
    model: str
    method: str
    class_name: str
    score: float | None
    threshold: float
    distance: float | None
    unlike: bool | None
    withheld: bool
    note: str
    out: str


def explain_image(
    image: Path,
    model: StrPath,
    out: Path,
    method: str,
    background: Path | None = None,
    force: bool = False,
    finding: str | None = None,
) -> Explanation:
    """Draws a heat map over an image.

    An image unlike the training data gets a map that says so, and no score.

    Args:
        image: An image file, DICOM included.
        model: See `pushed_model.find_model`.
        out: The PNG to write; only one of ours is overwritten.
        method: One of `contract.EXPLAIN_METHODS`.
        background: A folder of images for SHAP to compare with; by default, where the model lies
            in the `--out` of a run, images of that run's training split.
        force: Give the score of an image unlike the training data, too.
        finding: Of several classes or findings, the one to explain; None takes the one whose score
            lies highest above its operating point, or the most probable class.

    Raises:
        UserError: The image, the model, the background or `out` cannot be used.
    """
    check_target(out)
    folder = pushed_model.find_model(model)
    encoded = _read(image)
    explainer = heat_maps.load_explainer(folder)
    outputs = _ask_model(folder, encoded)
    output, name, served_score, threshold = _choose(outputs, finding)
    pixels = preprocessing.decode_pixels(tf.constant(encoded), explainer.size)[..., 0].numpy()[
        np.newaxis
    ]
    score = float(explainer.score(pixels)[0, output])
    difference = abs(score - served_score)
    if not difference <= _SAME:  # NaN, too
        raise UserError(
            f"{folder}: its {filenames.EXPLAIN} scores this image {difference:.4f} off the served "
            "model's score: it is another model's, and would explain nothing; train it again"
        )
    background_images = None
    if method == heat_maps.SHAP:
        background_images = training_images(folder, background, explainer.size)
    heat = explainer.heat(pixels, method, background_images, output=output)[0]
    decision = likeness.decide(outputs, force)
    explanation = Explanation(
        str(image), folder, method, name,
        None if decision.withheld else served_score, threshold, **dataclasses.asdict(decision),
        out=str(out),
    )  # fmt: skip
    _, grey = decode_grey(encoded)
    caption = _caption(explanation, explainer.cells, bool(heat.any()))
    _write(overlay.draw_figure(grey, heat, caption), out)
    return explanation


def _choose(outputs: dict[str, Any], finding: str | None) -> tuple[int, str, float, float]:
    """Which output is explained: its place, its name, its score and its threshold."""
    names = [name.decode() for name in outputs[contract.CLASSES]]
    scores, positive = outputs[contract.SCORES], outputs[contract.POSITIVE]
    thresholds = np.ravel(outputs[contract.THRESHOLD])
    if not np.ndim(positive):  # two classes have one score
        names, scores = names[1:], scores[1:]
        place = 0
    else:
        above = scores - thresholds
        place = max(range(len(names)), key=lambda i: (positive[i], above[i]))
    if finding is not None:
        if finding not in names:
            raise UserError(
                f"the model scores no {finding!r}{did_you_mean(finding, names)}; allowed: "
                f"{', '.join(names)} (--finding)"
            )
        place = names.index(finding)
    return place, names[place], float(scores[place]), float(thresholds[place])


def check_target(out: Path) -> None:
    """Refuses to write where something else is.

    Raises:
        UserError: It is no PNG's name, or there is a folder or a file that is not ours.
    """
    if out.suffix.lower() != ".png":
        raise UserError(f"{out}: the heat map is a PNG; give a name that ends in .png (--out)")
    if not os.path.lexists(out):
        return
    own = False
    if out.is_file():  # a pipe would keep us waiting
        no_png = contextlib.suppress(OSError, SyntaxError, ValueError)
        with no_png, Image.open(out, formats=["PNG"]) as picture:
            own = picture.info.get(_MARK[0]) == _MARK[1]
    if not own:
        raise UserError(
            f"{out}: is there, and tfxray explain did not write it; give another name (--out)"
        )


def _read(image: Path) -> bytes:
    try:
        encoded = loader.read_file(loader.read_bytes(str(image)))[0].encoded
        record_check.require_decodable(encoded)  # else it would look like a fault of the model
        return encoded
    except OSError as error:
        raise UserError(f"{image}: {error.strerror or error}") from None
    except Exception as error:
        raise UserError(f"{image}: {rejects.as_reject(error)}") from None


def _ask_model(folder: str, encoded: bytes) -> dict[str, Any]:
    """The served model's outputs for one image."""
    try:
        with artifacts.local_folder(folder) as local:
            saved_model = tf.saved_model.load(local)
        outputs = saved_model.signatures[contract.SIGNATURE_BYTES](
            image_bytes=tf.constant([encoded])
        )
        return {name: values.numpy()[0] for name, values in outputs.items()}
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: is no model of tfxray's: {error}") from None


def training_images(folder: str, background: Path | None, size: int) -> np.ndarray:
    """Finds images for SHAP to compare with: some of them, and always the same.

    Args:
        folder: The SavedModel's. The model itself holds no training images, since it is passed on.
        background: A folder of images. None takes images of the run whose `--out` holds the model.
        size: Pixels on each side.

    Returns:
        Grey, float32 in 0..255, of shape [n, size, size], n up to `BACKGROUND`.

    Raises:
        UserError: There are none.
    """
    rng = np.random.default_rng(_SEED)
    if background is not None:
        encoded_images = _of_folder(background, rng)
        if not encoded_images:
            raise UserError(f"{background}: holds no image that can be read (--background)")
    else:
        encoded_images = _of_run(folder, rng)
        if not encoded_images:
            raise UserError(
                "SHAP compares an image with others, and the model lies in no run's --out that "
                "keeps its training images: give a folder of X-rays as --background; 32 will do"
            )
    return np.stack(
        [
            preprocessing.decode_pixels(tf.constant(encoded), size)[..., 0].numpy()
            for encoded in encoded_images
        ]
    )


def _of_folder(background: Path, rng: np.random.Generator) -> list[bytes]:
    listing = file_list.list_images(str(background))
    paths = listing.files
    left_out = listing.count_left_out()
    if left_out or listing.unread:
        folders = f", {len(listing.unread)} folders not entered" if listing.unread else ""
        found = len(paths) + sum(left_out.values())
        told = f"{found} found: {len(paths)} images, {rejects.count_left_out(left_out)}{folders}"
        progress.log.info("%s: %s", background, told)
    source = loader.Folder(str(background))
    encoded_images: list[bytes] = []
    for place in rng.permutation(len(paths))[:_LOOKED_AT]:
        result = source.load(paths[place])
        encoded_images += [] if isinstance(result, rejects.Rejected) else [result[0].encoded]
        if len(encoded_images) == BACKGROUND:
            break
    return encoded_images


def _of_run(folder: str, rng: np.random.Generator) -> list[bytes]:
    """Of `<out>`, where the model is `<out>/serving/<name>/<version>`."""
    serving = os.path.dirname(os.path.dirname(filesystem.absolute_path(folder).rstrip("/")))
    if os.path.basename(serving) != "serving":
        return []
    examples = os.path.join(os.path.dirname(serving), "artifacts", "ExampleGen", "examples")
    newest = max(filter(str.isdigit, artifacts.list_folder(examples)), key=int, default="")
    split = os.path.join(examples, newest, "Split-train")
    shards = [os.path.join(split, name) for name in artifacts.list_folder(split)]
    if not shards:
        return []
    # Records may come class by class, so each of them has the same chance to be drawn.
    records: list[bytes] = []
    for place, record in enumerate(
        artifacts.record_dataset(shards).take(_READ).as_numpy_iterator()
    ):
        if place < BACKGROUND:
            records.append(record)
        elif (slot := rng.integers(place + 1)) < BACKGROUND:
            records[slot] = record
    spec = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
    return [tf.io.parse_single_example(record, spec)[contract.IMAGE].numpy() for record in records]


def _caption(explanation: Explanation, cells: tuple[int, int], any_heat: bool) -> str:
    grad_cam = explanation.method == heat_maps.GRAD_CAM
    fine = f", in {cells[0]} x {cells[1]} cells" if grad_cam else ""
    name = escape.for_screen(explanation.class_name)
    legend = (
        "Colour: where the image raises this score; most: the strongest place of this image, "
        "however strong that is; line: half of it."
        if any_heat
        else "No colour: nothing in this image raises this score."
    )
    score, threshold = explanation.score, explanation.threshold
    shown = [] if score is None else [f"score {score:.4f}, threshold {threshold:.4f}"]
    result = ", ".join(filter(None, [*shown, explanation.note]))
    return (
        f"{name}: {result}   ({explanation.method}{fine})\n{legend}\n"
        "What the model goes by, which need not be what is ill. No finding, no measure."
        + (" Of such an image, the map tells nothing of disease." if explanation.unlike else "")
    )


def _write(page: Image.Image, out: Path) -> None:
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*_MARK)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with durable.fresh_file(out) as fresh:
            page.save(fresh, "PNG", pnginfo=mark)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
