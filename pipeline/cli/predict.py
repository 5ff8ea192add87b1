"""`tfxray predict`: images scored one by one, or a folder's with progress on the screen."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfxray.components.common import filenames
from tfxray.components.common.errors import explain_refusals
from tfxray.pipeline.terminal.process import silence_stderr, without_keras
from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

if TYPE_CHECKING:
    from tfxray.components.predict.batch_job import Report
    from tfxray.components.predict.pushed_model import Prediction


def score_images(images: Sequence[str], model: str, force: bool) -> "list[Prediction]":
    """Scores images, in the order given.

    Args:
        images: Image files.
        model: See `pushed_model.find_model`.
        force: Give scores of images unlike the training data, too.

    Raises:
        UserError: The model cannot be loaded.
    """
    with silence_stderr(), without_keras():
        from tfxray.components.predict import pushed_model
    with progress_on(Screen()):
        return pushed_model.predict_images(images, model, force)


def score_folder(source: str, out: str, model: str, force: bool, config: Any) -> "Report":
    """Scores a folder of images or TFRecords, and tells what became of them.

    Args:
        source: The folder.
        out: Where predictions, rejects and report go.
        model: See `pushed_model.find_model`.
        force: Give scores of images unlike the training data, too.
        config: For `ingest.max_pixels`, `ingest.features` and `beam.options`; or None.

    Raises:
        UserError: See `batch_job.Job`.
    """
    screen = Screen()
    with progress_on(screen), output_to(Path(os.devnull)):
        with without_keras():
            from tfxray.components.predict import batch_job
        limits = (config.ingest.max_pixels, config.ingest.features) if config else ()
        job = batch_job.Job(source, out, model, force, *limits)
        with explain_refusals(out, "--output"):
            report = job.earlier_report or job.run(config.beam.options if config else ())
    if job.earlier_report:
        screen.say(f"nothing to do: {out} holds the scores of these images by this model")
    if report.withheld:
        screen.say(
            f"{report.withheld} of {report.images} not like the training data, score withheld; "
            "--force shows it"
        )
    if report.rejected:
        rejects = os.path.join(out, filenames.REJECTS)
        screen.say(f"{report.rejected} of {report.images} rejected: {rejects}")
    return report
