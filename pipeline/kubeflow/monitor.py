"""What the task before the pipeline does: the served model scores the newest images, and is judged.

As `tfxray predict --input` and `tfxray monitor` do it. What it comes to decides whether the
pipeline runs.
"""

import datetime
import html
import os
from collections.abc import Callable
from typing import Any

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.components.guard import rejects
from tfxray.components.pusher import versions
from tfxray.pipeline import beam_workers
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.places import serving_folder

NO_MODEL, NO_IMAGES = "no_model", "no_new_images"
# Of a served model's months, the page shows the newest.
_MOST_MONTHS = 24
# What the commands call these folders, and the config.
_KEYS = {
    "(--input)": "(kubeflow.monitor.images)",
    "(--output)": "(kubeflow.monitor.scored)",
    "(--scored)": "(kubeflow.monitor.scored)",
    "(--model)": "(the model that is served)",
}


def scored_folder(config: Config, root: str) -> str:
    """Where the scores of a run that begins now go, which no other run's do.

    Args:
        config: The experiment.
        root: The folder of all runs.

    Raises:
        UserError: The config has no monitor.
    """
    if not config.kubeflow.monitor:
        raise UserError("kubeflow.monitor: is missing; it names the images that are to be scored")
    parent = config.kubeflow.monitor.scored or os.path.join(root, "scored", config.model_name)
    now = datetime.datetime.now(datetime.timezone.utc)
    return os.path.join(parent, f"{now:%Y-%m-%dT%H-%M-%S}")


def watch_images(
    config: Config, root: str, out: str, page: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Scores the images that were not scored before, and judges the model by them.

    Where there are none, it is judged by the newest ones that it has scored.

    Args:
        config: The experiment; its `kubeflow.monitor` names the images.
        root: The folder of all runs.
        out: Where the scores go; see `scored_folder`. If an earlier try left some, it goes on.
        page: Where the page goes.
        say: Takes a line.

    Returns:
        What `tfxray monitor --json` prints, and `train`: whether the pipeline is to run. Without a
        model or an image, `status` is `no_model` or `no_new_images`, and there are no months.

    Raises:
        UserError: No images, a damaged model, or a folder of scores that cannot be used.
    """
    try:
        return _watch(config, root, out, page, say)
    except UserError as error:
        text = str(error)
        for option, key in _KEYS.items():
            text = text.replace(option, key)
        raise UserError(text) from None


def _watch(
    config: Config, root: str, out: str, page: str, say: Callable[[str], None]
) -> dict[str, Any]:
    from tfxray.components.monitor import page as pages
    from tfxray.components.monitor import report, watch
    from tfxray.components.predict import pushed_model, scored_before
    from tfxray.components.watch import scored

    serving = serving_folder(root, config)
    if versions.newest_version(serving) is None:
        reason = f"{serving}: holds no model yet"
        return _without(page, NO_MODEL, reason, "The pipeline trains one.", say)
    model = pushed_model.find_model(serving)
    before = [f for f in scored_before.list_finished(os.path.dirname(out)) if f != out]
    if _score(config, model, out, before, say):
        before.append(out)
    fingerprint, folders = pushed_model.read_fingerprint(model), []
    for folder in before:
        what = scored.read_scored(folder)
        if folder == out or (what.images and what.model == fingerprint):
            folders.append(folder)
    if not folders:
        reason = f"no image is new since {model} was pushed"
        return _without(page, NO_IMAGES, reason, "Nothing is to be done.", say)
    result = watch.watch_model(model, folders[-_MOST_MONTHS:])
    pages.write_page(page, result.months, result.reference, dict(result.scores), result.model)
    newest = result.months[-1]
    for line in report.tell_month(newest):
        say(line)
    return {"train": asks_for_training(newest.status), **report.describe_watch(result, page)}


def asks_for_training(status: str) -> bool:
    """Whether the pipeline is to run, by the `status` of the newest month.

    Images that are too few to judge ask for more images, and for no new model.
    """
    return status in ("drifted", "below_gate")


def _score(
    config: Config, model: str, out: str, before: list[str], say: Callable[[str], None]
) -> bool:
    """Scores what is new; whether anything was."""
    from tfxray.components.predict import batch_job, scored_before

    assert config.kubeflow.monitor  # `scored_folder` has seen to it
    images = config.kubeflow.monitor.images
    but = scored_before.read_names(before, images)
    limits, features = config.ingest.limits, config.ingest.features
    job = batch_job.Job(images, out, model, False, limits, features, but)
    if not job.images:
        say(f"{images}: holds no image that was not scored before")
        return False
    with (
        explain_refusals(out, "kubeflow.monitor.scored"),
        beam_workers.name_lost_hosts(config.beam),
    ):
        if not job.earlier_report:
            read = {"kubeflow.monitor.images": images, "serving.folder": model}
            written = {"kubeflow.monitor.scored": beam_workers.folder_around(out)}
            beam_workers.find_workers(config.beam, read, written)
        done = job.earlier_report or job.run(config.beam.arguments())
    used = f"{done.scored} scored, {done.withheld} withheld"
    say(rejects.count_files(done.found, used, done.rejected, done.left_out))
    return True


def _without(
    page: str, status: str, reason: str, next_step: str, say: Callable[[str], None]
) -> dict[str, Any]:
    say(reason)
    told = {"status": status, "reason": reason, "next_step": next_step, "page": page}
    content = f"<!DOCTYPE html><title>Monitor</title><p>{html.escape(f'{reason}. {next_step}')}</p>"
    if filesystem.is_local(page):
        os.makedirs(os.path.dirname(page), exist_ok=True)
    filesystem.write_file(page, content.encode("utf-8", "backslashreplace"))
    return {"train": status == NO_MODEL, **told}
