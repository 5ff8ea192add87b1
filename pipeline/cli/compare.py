"""`tfxray review --compare`: two runs' figures side by side."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfxray.components.common.errors import UserError
from tfxray.components.evaluator import comparison
from tfxray.components.evaluator.comparison import Comparison, ScoredRun
from tfxray.components.metrics.intervals import Estimate
from tfxray.pipeline.runs import latest_run, run_summary


def find_folder(run: str, out: Path | None) -> Path:
    """Finds a run's folder.

    Args:
        run: Its id, or its folder.
        out: The `--out` that ids are looked for in.

    Raises:
        UserError: There is no such run.
    """
    choices = [Path(run)] + ([out / "runs" / run] if out else [])
    for path in choices:
        if (path / run_summary.SUMMARY).is_file():
            return path.resolve()
    known = sorted(
        path.parent.name for path in (out or Path()).glob(f"runs/*/{run_summary.SUMMARY}")
    )
    hint = f"; there are: {', '.join(known[-5:])}" if out and known else ""
    raise UserError(
        f"--compare {run}: no such run{hint or '; give its folder, or its id and --out'}"
    )


def compare_folders(first: Path, second: Path) -> Comparison:
    """Compares two runs by their folders.

    Raises:
        UserError: See `comparison.compare_runs`.
    """
    return comparison.compare_runs(_judged(first), _judged(second))


def _judged(run: Path) -> ScoredRun:
    from tfxray.components.common import artifacts

    out = run.parent.parent
    _, uris = latest_run.read_artifacts(out, run)
    if "Evaluator.evaluation" not in uris:
        summary = json.loads((run / run_summary.SUMMARY).read_text(encoding="utf-8"))
        raise UserError(f"run {run.name}: {summary['status']}, no model was judged")
    # A run of before there was an operating point has no scores either, and is refused for that.
    threshold = artifacts.read_threshold(uris)
    return comparison.read_run(run.name, uris["Evaluator.evaluation"], threshold)


def format_comparison(found: Comparison) -> str:
    """A comparison as a table of text, for 100 columns."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("", *found.runs, "second less first"):
        shown.add_column(Text(heading), justify="left" if not heading else "right")
    for line in found.lines:
        values = (line.first, line.second)
        shown.add_row(
            line.figure, *(_text(value, "") for value in values), _text(line.difference, "+")
        )
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    left = " and ".join(str(count) for count in found.left_out)
    lines = [
        captured.get().rstrip(),
        f"On the {found.images} held-out images of {found.patients} patients that both judged, "
        f"paired, with 95 % intervals by patient; {left} images of the one and the other left out.",
    ]
    if found.relabelled:
        lines.append(f"{found.relabelled} images were left out since their label differs.")
    return "\n".join(lines)


def _text(value: Estimate, sign: str) -> str:
    return f"{value.value:{sign}.4f} [{value.low:{sign}.4f}, {value.high:{sign}.4f}]"
