"""`tfxray monitor`: what scored folders say of the model that is served."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfxray.components.common import filenames, filesystem
from tfxray.components.common.errors import explain_refusals
from tfxray.pipeline.cli.options import ANYWHERE
from tfxray.pipeline.terminal.lines import echo, echo_json
from tfxray.pipeline.terminal.process import silence_stderr

if TYPE_CHECKING:
    from tfxray.components.monitor.verdict import Month

# By `Month.status`.
_EXIT_CODES = {"all_right": 0, "below_gate": 3, "drifted": 4}


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
    measured by --labels. Exit code 0 all right, 3 the AUC is below the gate, 4 drifted.
    """
    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    folders = [filesystem.full_path(folder) for folder in (scored, *more)]
    path = page or os.path.join(folders[-1], filenames.MONITOR_PAGE)
    with progress_on(Screen()), output_to(Path(os.devnull)):
        with silence_stderr():
            from tfxray.components.monitor import page as pages
            from tfxray.components.monitor import watch
        result = watch.watch_model(model, folders, labels)
        with explain_refusals(path, "--page"):
            pages.write_page(
                path, result.months, result.reference, dict(result.scores), result.model
            )
    newest = result.months[-1]
    if as_json:
        echo_json(_describe(newest, result, path))
    else:
        _tell(newest, pages.TITLES[newest.status], pages.NEXT_STEPS[newest.status])
        echo(path)
    sys.exit(_EXIT_CODES[newest.status])


def _tell(month: "Month", title: str, next_step: str) -> None:
    reason = f": {month.reason}" if month.reason else ""
    echo(f"{title}{reason}", err=True)
    if month.unknown:
        told = ", ".join(month.unknown)
        echo(f"not compared, since these images do not tell it: {told}", err=True)
    for kind, auc in (
        ("estimated without labels", month.estimated),
        ("by labels", month.labelled.auc if month.labelled else None),
    ):
        if auc:
            echo(f"AUC {kind}: {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]", err=True)
    echo(next_step, err=True)


def _describe(newest: "Month", result: Any, path: str) -> dict[str, Any]:
    return {
        "status": newest.status,
        "reason": newest.reason or None,
        "model": result.model,
        "threshold": result.reference.threshold,
        "months": [dataclasses.asdict(month) for month in result.months],
        "page": path,
    }
