"""The page of a watch: the verdict, the trend, and what each measure came to."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from tfxray.components.common import filesystem
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import report, verdict
from tfxray.components.monitor.verdict import Month
from tfxray.components.review import page, plots
from tfxray.components.review.plots import BLUE, GREY, ORANGE, Plot
from tfxray.components.text import escape
from tfxray.components.watch.reference import Reference
from tfxray.components.watch.score_histogram import ScoreHistogram

_LINES = ("solid", "dash", "dot", "dashdot")
_MOST_LINES = 8  # measures in the plot: those that came nearest to their limits


def write_page(
    path: str,
    months: Sequence[Month],
    reference: Reference,
    scores: dict[str, ScoreHistogram],
    model: str,
) -> None:
    """Writes the page.

    Args:
        path: The file, on any of Beam's file systems.
        months: The scored folders, the newest last.
        reference: What goes with the model.
        scores: The newest folder's, by class or finding.
        model: The model's folder.
    """
    newest = months[-1]
    templates = page.make_templates(
        escape.for_screen, autoescape=True, more=[Path(__file__).parent / "templates"]
    )
    html = templates.get_template("monitor.html").render(
        plotly_js=get_plotlyjs(),
        title=report.TITLES[newest.status],
        missing=report.missing_estimate(newest),
        labels=newest.labelled and report.count_labels(newest.labelled),
        doubt=report.tell_contradiction(newest),
        next_step=report.NEXT_STEPS[newest.status],
        month=newest,
        months=months,
        reference=reference,
        model=model,
        trend=_plot_trend(months, reference),
        histograms=[
            (name, _plot_scores(name, scores[name], heldout.scores))
            for name, heldout in reference.heldout.items()
            if heldout.scores.total and scores[name].total
        ],
        heldout_auc=_heldout_auc(reference),
        expected_before={
            name: _share(heldout.positives.total, heldout.scores.total)
            for name, heldout in reference.heldout.items()
        },
        finite=math.isfinite,
    )
    content = html.encode()
    if filesystem.is_local(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    filesystem.write_file(path, content)


def _share(part: int, total: int) -> float | None:
    return part / total if total else None


def _heldout_auc(reference: Reference) -> float | None:
    values = [heldout.auc.value for heldout in reference.heldout.values() if heldout.auc]
    return float(np.mean(values)) if values else None


def _plot_trend(months: Sequence[Month], reference: Reference) -> Plot | None:
    """The AUC of each folder beside the gate's, and how much of its limit each measure takes."""
    names = [plots.escape_label(month.name, 24) for month in months]
    places = list(range(len(months)))
    estimated = [month.estimated for month in months]
    labelled = [month.labelled.auc if month.labelled else None for month in months]
    nearest = _nearest(months)
    # A plot of nothing is a white block: each of the two is there only with something in it.
    upper, lower = any(estimated) or any(labelled), bool(nearest)
    if not upper and not lower:
        return None
    figure = make_subplots(rows=upper + lower, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    if upper:
        _add_auc(figure, estimated, labelled, reference.threshold)
    if lower:
        _add_drift(figure, months, nearest, upper + lower)
    figure.update_xaxes(
        tickvals=places, ticktext=names, range=[-0.5, len(months) - 0.5], showticklabels=True,
        row=upper + lower, col=1,
    )  # fmt: skip
    wrong = [month.name for month in months if month.status != verdict.ALL_RIGHT]
    told = f"not all right: {', '.join(wrong)}" if wrong else "all of them are all right"
    shown = ["the AUC with 95 % intervals"] if upper else []
    shown += ["how much of its limit each measure takes"] if lower else []
    ways = ("Above, ", "; below, ") if len(shown) == 2 else ("It shows ",)
    text = (
        f"{len(months)} scored folder{'s' if len(months) > 1 else ''}, the newest last; {told}. "
        f"{''.join(way + what for way, what in zip(ways, shown, strict=True))}."
    )
    return plots.make_plot(figure, text, 90 + 265 * len(shown))


def _add_auc(
    figure: go.Figure,
    estimated: Sequence[Estimate | None],
    labelled: Sequence[Estimate | None],
    threshold: float,
) -> None:
    """The AUC of each folder beside the gate's, in the first row."""
    for values, label, colour, symbol, offset in (
        (estimated, "AUC, estimated without labels", BLUE, "circle", -0.04),
        (labelled, "AUC, by labels", ORANGE, "diamond", 0.04),
    ):
        if any(values):
            figure.add_trace(_with_intervals(values, label, colour, symbol, offset), row=1, col=1)
    figure.add_hline(
        y=threshold, row=1, col=1, opacity=1,
        line={"color": ORANGE, "dash": "dash", "width": 2},
        annotation_text=f"gate: {threshold:g}", annotation_position="bottom right",
    )  # fmt: skip
    lows = [each.low for each in (*estimated, *labelled) if each]
    figure.update_yaxes(
        title="AUC", range=[max(0, min([*lows, threshold]) - 0.03), 1.01], row=1, col=1
    )


def _add_drift(figure: go.Figure, months: Sequence[Month], names: Sequence[str], row: int) -> None:
    """How much of its limit each measure takes, in the last row."""
    places = list(range(len(months)))
    for number, name in enumerate(names):
        shares = [_of_limit(month, name) for month in months]
        figure.add_trace(
            go.Scatter(x=places, y=shares, name=plots.escape_label(name, 24), mode="lines+markers",
                       line={"dash": _LINES[number % 4], "color": (BLUE, ORANGE)[number // 4 % 2]},
                       hovertemplate="%{y:.0%} of its limit<extra></extra>"), row=row, col=1,
        )  # fmt: skip
    figure.add_hline(
        y=1, row=row, col=1, line={"color": GREY, "width": 2}, opacity=1,
        annotation_text="limit", annotation_position="top right",
    )  # fmt: skip
    figure.update_yaxes(title="drift, by its limit", rangemode="tozero", row=row, col=1)


def _with_intervals(
    values: Sequence[Estimate | None], name: str, colour: str, symbol: str, offset: float
) -> go.Scatter:
    # A folder without a value parts the line: nothing is known of it.
    return go.Scatter(
        x=[place + offset for place in range(len(values))],
        y=[each and each.value for each in values],
        error_y={"type": "data", "array": [each and each.high - each.value for each in values],
                 "arrayminus": [each and each.value - each.low for each in values],
                 "color": colour},
        name=name, mode="lines+markers", line={"color": colour}, connectgaps=False,
        marker={"size": 9, "symbol": symbol}, hovertemplate="AUC %{y:.4f}<extra></extra>",
    )  # fmt: skip


def _nearest(months: Sequence[Month]) -> list[str]:
    """The measures that came nearest to their limits, in any of the folders."""
    most: dict[str, float] = {}
    for month in months:
        for measure in (each for each in month.measures if each.judged):
            most[measure.name] = max(most.get(measure.name, 0.0), measure.value / measure.limit)
    return sorted(most, key=lambda name: -most[name])[:_MOST_LINES]


def _of_limit(month: Month, name: str) -> float | None:
    judged = (measure for measure in month.measures if measure.judged)
    return next((each.value / each.limit for each in judged if each.name == name), None)


def _plot_scores(name: str, now: ScoreHistogram, before: ScoreHistogram) -> Plot:
    edges = np.linspace(0, 1, 21)
    figure = go.Figure()
    looks = (("held-out images", GREY, "", before), ("these images", BLUE, "/", now))
    for label, colour, shape, histogram in looks:
        figure.add_trace(
            go.Bar(x=(edges[:-1] + edges[1:]) / 2, y=histogram.shares(edges), name=label,
                   marker={"color": colour, "pattern": {"shape": shape}},
                   hovertemplate="score about %{x:.2f}: %{y:.1%}<extra></extra>")
        )  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.1)
    figure.update_xaxes(title=f"score of {plots.escape_label(name, 34)}", range=[-0.02, 1.02])
    figure.update_yaxes(title="share of the images", tickformat=".0%")
    text = f"Scores of {name}, of {now.total} images here and of {before.total} held-out ones."
    return plots.make_plot(figure, text, 320)
