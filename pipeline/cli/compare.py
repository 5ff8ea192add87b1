"""`tfxray review --compare`: two runs' figures side by side."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.evaluator import comparison
from tfxray.components.evaluator.comparison import Comparison, ScoredRun
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.text import escape
from tfxray.pipeline.runs import latest_run, run_summary


def find_folder(run: str, out: Path | None) -> Path:
    """Finds a run's folder.

    Args:
        run: Its id, or its folder.
        out: The `--out` that has runs of these ids.

    Raises:
        UserError: There is no such run.
    """
    choices = [Path(run)] + ([out / "runs" / run] if out else [])
    for path in choices:
        if (path / run_summary.SUMMARY).is_file():
            return path.resolve()
    run_ids = sorted(
        path.parent.name for path in (out or Path()).glob(f"runs/*/{run_summary.SUMMARY}")
    )
    hint = "; give its folder, or its id and --out"
    if out and run_ids:
        hint = f"{did_you_mean(run, run_ids)}; there are: {', '.join(run_ids[-5:])}"
    raise UserError(f"--compare {run}: no such run{hint}")


def compare_folders(first: Path, second: Path) -> Comparison:
    """Compares two runs by their folders.

    Raises:
        UserError: See `comparison.compare_runs`.
    """
    return comparison.compare_runs(_read_scored_run(first), _read_scored_run(second))


def _read_scored_run(run: Path) -> ScoredRun:
    from tfxray.components.common import artifacts

    out = run.parent.parent
    config, uris = latest_run.read_artifacts(out, run)
    if "Evaluator.evaluation" not in uris:
        summary = json.loads((run / run_summary.SUMMARY).read_text(encoding="utf-8"))
        raise UserError(f"run {run.name}: {summary['status']}, no model was judged")
    # A run of a version without operating points has no scores either; `read_run` refuses it.
    thresholds = artifacts.read_thresholds(uris, config.task)
    return comparison.read_run(run.name, uris["Evaluator.evaluation"], config.task, thresholds)


def format_comparison(result: Comparison) -> list[str]:
    """A comparison as lines of a table, for 100 columns."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", *result.runs, "second less first"):
        table.add_column(Text(heading), justify="left" if not heading else "right")
    for line in result.lines:
        values = (line.first, line.second)
        table.add_row(
            Text(escape.for_screen(line.figure)),
            *(_text(value, "") for value in values),
            _text(line.difference, "+"),
        )
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    left_out = " and ".join(str(count) for count in result.left_out)
    lines = [
        *capture.get().rstrip().splitlines(),
        f"On the {result.images} held-out images of {result.patients} patients that both judged, "
        f"paired, with 95 % intervals by patient; {left_out} images of the one and the other left "
        "out.",
    ]
    if result.relabelled:
        lines.append(f"{result.relabelled} images were left out since their label differs.")
    return lines


def _text(value: Estimate, sign: str) -> str:
    return f"{value.value:{sign}.4f} [{value.low:{sign}.4f}, {value.high:{sign}.4f}]"
