"""`tfxray monitor`: what scored folders say of the model that is served."""

import os
import sys
from pathlib import Path

import click

from tfxray.components.common import filenames, filesystem
from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.pipeline.cli.options import ANYWHERE
from tfxray.pipeline.terminal.lines import echo, echo_json
from tfxray.pipeline.terminal.process import silence_stderr

# By `Month.status`.
_EXIT_CODES = {"all_right": 0, "below_gate": 3, "drifted": 4, "too_few": 5}


@click.command("monitor")
@click.option(
    "--model", type=ANYWHERE, required=True, help="A pushed version, its parent, or a run's --out."
)
@click.option(
    "--scored", type=ANYWHERE, required=True,
    help="What tfxray predict --input wrote (its --output); several, such as those of past months, "
    "may follow. The last one is judged.",
)  # fmt: skip
@click.argument("more", nargs=-1, type=ANYWHERE, metavar="[DIR]...")
@click.option(
    "--labels", type=ANYWHERE,
    help="A table with the labels of the last folder's images: name, label and, if known, patient.",
)  # fmt: skip
@click.option(
    "--page", type=ANYWHERE, help=f"The page; default: {filenames.MONITOR_PAGE} in the last folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def monitor_command(
    model: str,
    scored: str,
    more: tuple[str, ...],
    labels: str | None,
    page: str | None,
    as_json: bool,
) -> None:
    """Compare scored folders with the training data of the model's own run.

    Drift, the scores, the share unlike the training data, and the AUC: estimated without labels, or
    measured by --labels. Exit code 0 all right, 3 the AUC is below the gate, 4 drifted, 5 too few
    images to judge.
    """
    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    folders = [filesystem.full_path(folder) for folder in (scored, *more)]
    path = page or os.path.join(folders[-1], filenames.MONITOR_PAGE)
    if filesystem.is_local(path) and os.path.isdir(path):  # before any work
        raise UserError(f"{path}: is a folder; name a file (--page)")
    with progress_on(Screen()), output_to(Path(os.devnull)):
        with silence_stderr():
            from tfxray.components.monitor import page as pages
            from tfxray.components.monitor import report, watch
        result = watch.watch_model(model, folders, labels)
        with explain_refusals(path, "--page"):
            pages.write_page(
                path, result.months, result.reference, dict(result.scores), result.model
            )
    newest = result.months[-1]
    if as_json:
        echo_json(report.describe_watch(result, path))
    else:
        for line in report.tell_month(newest):
            echo(line, err=True)
        echo(path)
    sys.exit(_EXIT_CODES[newest.status])
