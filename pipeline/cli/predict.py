"""The commands that ask a pushed model: `tfxray predict` and `tfxray explain`."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfxray.components.common import contract, filenames, filesystem
from tfxray.components.common.errors import explain_refusals
from tfxray.components.guard import rejects
from tfxray.pipeline.cli.options import ANYWHERE, PATH, config_options
from tfxray.pipeline.terminal.lines import echo, echo_json
from tfxray.pipeline.terminal.process import silence_stderr, without_keras

if TYPE_CHECKING:
    from tfxray.components.predict.batch_job import Report
    from tfxray.components.predict.pushed_model import Prediction


_SCORES = "{}_scores"  # where a folder's scores go, unless the user says


@click.command("predict")
@click.argument("images", nargs=-1, metavar="IMAGE... | FOLDER")
@click.option("--input", "source", type=ANYWHERE, help="The same as FOLDER.")
@click.option(
    "--output", "out", type=ANYWHERE,
    help="With a folder: where predictions.csv goes; default: FOLDER_scores, in this folder.",
)  # fmt: skip
@click.option(
    "--model", type=ANYWHERE, required=True, help="A pushed version, its parent, or a run's --out."
)
@click.option("--force", is_flag=True, help="Score images unlike the training data, too.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object per line; with a folder: the report as the last line.",
)  # fmt: skip
@config_options(required=False)
def predict_command(
    images: tuple[str, ...],
    source: str | None,
    out: str | None,
    model: str,
    force: bool,
    as_json: bool,
    config: Any,
) -> None:
    """Score images, or a folder: the class, the score, and the threshold that tells the class.

    Of a folder of images or TFRecords, all at any depth go into predictions.csv. If it is killed,
    the same command goes on. Of --config, the limits of a file (ingest.max_pixels and those
    beside it), ingest.features and the section beam count.
    """
    source = _choose_folder(images, source)
    if config and not source:
        raise click.UsageError("--config goes with a folder")
    if out and not source:
        raise click.UsageError(
            "--output goes with a folder: name one, or leave --output out, and the scores of "
            "single images are printed"
        )
    if source:
        report = _score_folder(source, out or _default_output(source), model, force, config)
        if as_json:
            echo_json(dataclasses.asdict(report))
        else:
            echo(report.predictions)
        return
    results = _score_images(images, model, force)
    if not as_json:
        _tell_model(results[0].model)
    for result in results:
        if as_json:
            echo_json(dataclasses.asdict(result))
        elif result.error:
            echo(f"{result.path}: {result.error}", err=True)
        elif result.withheld:
            echo(f"{result.path}: {result.note}; --force shows it")
        else:
            doubt = f"  ({result.note})" if result.note else ""
            echo(f"{result.path}: {result.label or 'none'}  {_tell_scores(result)}{doubt}")
    sys.exit(2 if any(result.error for result in results) else 0)


def _choose_folder(images: Sequence[str], source: str | None) -> str | None:
    """The folder that is to be scored; None where single images are.

    Raises:
        UsageError: Both are given, or neither, or several folders.
    """
    if bool(images) == bool(source):
        raise click.UsageError("give images, or one folder of images or TFRecords")
    if source:
        return source
    folders = [path for path in images if _is_folder(path, len(images) == 1)]
    if folders and len(images) > 1:
        raise click.UsageError(
            f"{folders[0]}: is a folder; give it by itself, and others in commands of their own"
        )
    return folders[0] if folders else None


def _is_folder(path: str, alone: bool) -> bool:
    """Whether a folder is meant; of several URLs, none is asked of its store before it is read."""
    if filesystem.is_local(path):
        return os.path.isdir(path)
    return alone and not filesystem.is_file(path) and filesystem.is_folder(path)


def _tell_model(version: str) -> None:
    """Says which version answers, since `--model` may name a folder of several."""
    echo(f"model: {version}", err=True)


def _default_output(source: str) -> str:
    """Where the scores of a folder go: beside the user, and never among the images.

    Raises:
        UsageError: That would be a folder below the images.
    """
    folder = os.path.realpath(source) if filesystem.is_local(source) else source.rstrip("/")
    out = _SCORES.format(os.path.basename(folder) or "xrays")
    if os.path.realpath(out).startswith(os.path.join(folder, "")):
        raise click.UsageError(
            f"the scores would go to {out} among the images; say where they may go (--output)"
        )
    return out


def _tell_scores(result: "Prediction") -> str:
    """The scores of an image, each beside the threshold that it must reach."""
    if result.positive is not None:
        return (
            f"score {result.scores[result.positive]:.4f} for {result.positive}, threshold "
            f"{result.threshold:.4f}"
        )
    return "  ".join(
        f"{name} {score:.4f} (threshold {result.thresholds[name]:.4f})"
        for name, score in result.scores.items()
    )


@click.command()
@click.argument("image", type=PATH)
@click.option(
    "--model", type=ANYWHERE, required=True, help="A pushed version, its parent, or a run's --out."
)
@click.option("--out", type=PATH, required=True, help="The PNG to write.")
@click.option(
    "--method",
    type=click.Choice(contract.EXPLAIN_METHODS),
    default=contract.EXPLAIN_METHODS[1],
    show_default=True,
)
@click.option(
    "--background", type=PATH, help="X-rays for shap to compare with; default: the run's own."
)
@click.option(
    "--finding",
    help="Of several classes or findings: which one; default: the highest above its threshold.",
)
@click.option("--force", is_flag=True, help="Give the score of an image unlike the training data.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain(
    image: Path,
    model: str,
    out: Path,
    method: str,
    background: Path | None,
    finding: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Draw where an image raises the score of a class or finding: a heat map over the X-ray."""
    if background and method != "shap":
        raise click.UsageError("--background goes with --method shap")
    with silence_stderr():
        from tfxray.components.explain import one_image

    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    # A codec tells of damage by lines of its own.
    with progress_on(Screen()), output_to(Path(os.devnull)):
        explanation = one_image.explain_image(image, model, out, method, background, force, finding)
    if as_json:
        content = dataclasses.asdict(explanation)
        echo_json({"class" if k == "class_name" else k: v for k, v in content.items()})
        return
    _tell_model(explanation.model)
    if explanation.withheld:
        echo(f"{explanation.class_name}: {explanation.note}; --force shows it: {explanation.out}")
    else:
        doubt = f" ({explanation.note})" if explanation.note else ""
        echo(
            f"{explanation.class_name}: score {explanation.score:.4f}, threshold "
            f"{explanation.threshold:.4f}{doubt}: {explanation.out}"
        )


def _score_images(images: Sequence[str], model: str, force: bool) -> "list[Prediction]":
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
    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    with progress_on(Screen()), output_to(Path(os.devnull)):
        return pushed_model.predict_images(images, model, force)


def _score_folder(source: str, out: str, model: str, force: bool, config: Any) -> "Report":
    """Scores a folder of images or TFRecords, and tells what became of them.

    Args:
        source: The folder.
        out: Where predictions, rejects and report go.
        model: See `pushed_model.find_model`.
        force: Give scores of images unlike the training data, too.
        config: For `ingest` and `beam`; or None.

    Raises:
        UserError: See `batch_job.Job`.
    """
    from tfxray.pipeline import beam_workers
    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    screen = Screen()
    with progress_on(screen), output_to(Path(os.devnull)):
        with without_keras():
            from tfxray.components.predict import batch_job, likeness
        settings = (config.ingest.limits, config.ingest.features) if config else ()
        job = batch_job.Job(source, out, model, force, *settings)
        beam = beam_workers.name_lost_hosts(config.beam) if config else contextlib.nullcontext()
        with explain_refusals(out, "--output"), beam:
            if config and not job.earlier_report:
                read = {"--input": source, "--model": model}
                written = {"--output": beam_workers.folder_around(out)}
                beam_workers.find_workers(config.beam, read, written)
            report = job.earlier_report or job.run(config.beam.arguments() if config else ())
    if job.earlier_report:
        screen.say(f"nothing to do: {out} holds the scores of these images by this model")
    _tell_model(report.model)
    if report.withheld:
        screen.say(
            f"{report.withheld} of {report.images} {likeness.UNLIKE}, {likeness.WITHHELD}; "
            "--force shows it"
        )
    elif report.unlike:
        screen.say(f"{report.unlike} of {report.images} {likeness.UNLIKE}")
    elif report.unlike is None:
        screen.say(f"{likeness.UNCHECKED}: an older tfxray exported this model")
    if report.rejected:
        path = os.path.join(out, filenames.REJECTS)
        screen.say(f"{report.rejected} of {report.images} rejected: {path}")
    for line in _tell_labels(report):
        screen.say(line)
    used = f"{report.scored} scored, {report.withheld} withheld"
    screen.say(rejects.count_files(report.found, used, report.rejected, report.left_out))
    return report


def _tell_labels(report: "Report") -> list[str]:
    """How many images of a folder got each class or finding, and by which thresholds."""
    names = list(report.thresholds) or report.classes
    counts = ", ".join(f"{name} {report.labels.get(name, 0)}" for name in names)
    if report.threshold is not None:
        limit = f"{names[-1]} from a score of {report.threshold:.4f} on"
    else:
        limit = ", ".join(f"{name} {value:.4f}" for name, value in report.thresholds.items())
    return [counts, f"threshold: {limit}"]
