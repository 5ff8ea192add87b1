"""The plots, each with the sentence that stands for it where it cannot be seen."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tfxray.components.common import contract
from tfxray.components.evaluator.eval_config import AUC
from tfxray.components.evaluator.results import OVERALL, Figure
from tfxray.components.review import curves
from tfxray.components.review.evidence import Evidence
from tfxray.components.review.slice_figures import Row
from tfxray.components.text import escape
from tfxray.components.validation.statistics import SplitCounts

# Okabe and Ito's palette: told apart by the colour-blind too.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"
_PLOT = {"displayModeBar": False, "responsive": True}
_NAME = 34  # characters of a label, at most: on a phone there is no room for more


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot as Plotly's JSON, and in words.

    Attributes:
        figure: `data`, `layout` and `config`.
        text: What it shows.
        height: Pixels.
    """

    figure: dict[str, Any]
    text: str
    height: int


def escape_label(text: str, most: int = 1000) -> str:
    """A label that Plotly shows as it is: it reads a few HTML tags and entities."""
    text = escape.for_screen(text)
    short = text if len(text) <= most else text[: most - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def make_plot(figure: go.Figure, text: str, height: int) -> Plot:
    """A figure in the style of our pages.

    Args:
        figure: The figure.
        text: What it shows.
        height: Pixels.
    """
    figure.update_layout(
        template="simple_white", height=height, dragmode=False,
        margin={"l": 10, "r": 15, "t": 30, "b": 40},
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        # A finger that scrolls the page must not zoom a plot.
        xaxis_fixedrange=True, yaxis_fixedrange=True,
    )  # fmt: skip
    figure.update_xaxes(fixedrange=True, automargin=True)
    figure.update_yaxes(fixedrange=True, automargin=True)
    return Plot({**json.loads(figure.to_json()), "config": _PLOT}, text, height)


def _band(low: np.ndarray, high: np.ndarray) -> list[go.Scatter]:
    edge = {"x": curves.GRID, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        go.Scatter(y=low, showlegend=False, **edge),
        go.Scatter(y=high, fill="tonexty", fillcolor="rgba(0,114,178,0.2)",
                   name="95 % band, by patient", **edge),
    ]  # fmt: skip


def plot_roc_and_pr(evidence: Evidence) -> tuple[Plot, Plot] | None:
    """ROC and precision-recall curves with the operating point marked."""
    table = evidence.heldout_scores
    if table is None:
        return None
    label, score = table[contract.LABEL].to_numpy() == 1, table[contract.SCORE].to_numpy(float)
    both_curves = curves.compute_roc_and_pr(label, score, table[contract.PATIENT].to_numpy())
    if both_curves is None:
        return None
    calls = score >= evidence.threshold
    sensitivity, false = calls[label].mean(), calls[~label].mean()
    precision = label[calls].mean() if calls.any() else None
    at = f"At the operating point, {evidence.threshold:.3g}"
    roc = _curve(both_curves[0], (false, sensitivity), "1 − specificity", "sensitivity")
    roc.add_trace(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="chance", hoverinfo="skip",
                   line={"color": GREY, "dash": "dot", "width": 1})
    )  # fmt: skip
    pr = _curve(both_curves[1], (sensitivity, precision), "sensitivity (recall)", "PPV (precision)")
    share = label.mean()
    pr.add_trace(
        go.Scatter(x=[0, 1], y=[share, share], mode="lines", name="share of positives",
                   hoverinfo="skip", line={"color": GREY, "dash": "dot", "width": 1})
    )  # fmt: skip
    precision_text = (
        f"{precision:.3f}" if precision is not None else "undefined: nothing is called positive"
    )
    return (
        make_plot(roc, f"ROC curve. {at}, sensitivity is {sensitivity:.3f} and specificity "
              f"{1 - false:.3f}.", 380),
        make_plot(pr, f"Precision-recall curve. {at}, sensitivity is {sensitivity:.3f} and PPV "
              f"{precision_text}; {share:.3f} of the images are positive.", 380),
    )  # fmt: skip


def _curve(curve: curves.Curve, point: tuple[float, float | None], x: str, y: str) -> go.Figure:
    figure = go.Figure(_band(curve.low, curve.high))
    figure.add_trace(
        go.Scatter(x=curve.x, y=curve.y, mode="lines", name="held-out images",
                   line={"color": BLUE, "width": 2},
                   hovertemplate=f"{x} %{{x:.3f}}<br>{y} %{{y:.3f}}<extra></extra>")
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=[point[0]], y=[point[1]], mode="markers", name="operating point",
                   marker={"color": ORANGE, "size": 11, "symbol": "diamond"},
                   hovertemplate=f"{x} %{{x:.3f}}<br>{y} %{{y:.3f}}")
    )  # fmt: skip
    figure.update_xaxes(title=x, range=[-0.02, 1.02])
    figure.update_yaxes(title=y, range=[-0.02, 1.02])
    return figure


def plot_forest(rows: Sequence[Row], limit: float | None) -> Plot | None:
    """AUC of every slice that has one, with its interval.

    Args:
        rows: The slices.
        limit: The gate's, on the whole test split; None where it has none.
    """
    points = [(row, figure) for row in reversed(rows) if (figure := row.figures.get(AUC))]
    if not points:
        return None
    ends = [_ends(figure) for _, figure in points]
    # Labels may repeat once they are cut; positions do not.
    places = list(range(len(points)))
    figure = go.Figure(
        go.Scatter(
            x=[f.value for _, f in points],
            y=places,
            mode="markers",
            marker={
                "size": [12 if row.name == OVERALL else 9 for row, _ in points],
                "symbol": ["diamond" if row.name == OVERALL else "circle" for row, _ in points],
                "color": BLUE,
            },
            error_x={"type": "data", "array": [high - f.value for (_, f), (_, high) in
                                               zip(points, ends, strict=True)],
                     "arrayminus": [f.value - low for (_, f), (low, _) in
                                    zip(points, ends, strict=True)], "color": BLUE},
            text=[escape_label(f"{row.name}") + f"<br>{_describe_size(row)}" for row, _ in points],
            hovertemplate="%{text}<br>AUC %{x:.4f}<extra></extra>",
            showlegend=False,
        )
    )  # fmt: skip
    if limit is not None:
        figure.add_vline(
            x=limit, line={"color": ORANGE, "dash": "dash", "width": 2}, opacity=1,
            annotation_text=f"demanded of all: {limit:g}", annotation_position="top",
        )  # fmt: skip
    least = min([1.0 if limit is None else limit, *(low for low, _ in ends)])
    figure.update_xaxes(title="AUC with 95 % interval", range=[max(0, least - 0.02), 1.01])
    labels = [escape_label(row.name, _NAME) for row, _ in points]
    figure.update_yaxes(tickvals=places, ticktext=labels, range=[-0.6, len(points) - 0.4])
    worst = min(points, key=lambda pair: pair[1].value)
    text = f"AUC of {len(points)} slices with intervals; the least is {worst[1].value:.3f}, of "
    return make_plot(figure, f"{text}{worst[0].name}. The table below holds all of them.",
                 110 + 30 * len(points))  # fmt: skip


def _ends(figure: Figure) -> tuple[float, float]:
    low = figure.value if figure.low is None else min(figure.low, figure.value)
    return low, figure.value if figure.high is None else max(figure.high, figure.value)


def _describe_size(row: Row) -> str:
    patients = f" of {row.patients} patients" if row.patients else ""
    return f"{row.images} images{patients}, {row.positives} positive"


def plot_reliability(evidence: Evidence) -> tuple[Plot, Plot] | None:
    """How often images of like scores are positive; and how many there are of each score."""
    table = evidence.heldout_scores
    if table is None:
        return None
    score = table[contract.SCORE].to_numpy(float)
    bins = curves.bin_scores(
        table[contract.LABEL].to_numpy(), score, table[contract.PATIENT].to_numpy()
    )
    above = [b.positives.high - b.positives.value for b in bins]
    below = [b.positives.value - b.positives.low for b in bins]
    figure = go.Figure(
        [
            go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect calibration",
                       hoverinfo="skip", line={"color": GREY, "dash": "dot"}),
            go.Scatter(
                x=[b.score for b in bins], y=[b.positives.value for b in bins],
                mode="lines+markers", name="held-out images", marker={"color": BLUE, "size": 8},
                error_y={"type": "data", "array": above, "arrayminus": below, "color": BLUE},
                text=[f"{b.images} images" for b in bins],
                hovertemplate="score %{x:.3f}<br>positive %{y:.3f}<br>%{text}<extra></extra>"),
        ]
    )  # fmt: skip
    figure.update_xaxes(title="mean score", range=[-0.02, 1.02])
    figure.update_yaxes(title="share of positives", range=[-0.02, 1.02])
    off = max(bins, key=lambda b: abs(b.score - b.positives.value))
    text = (f"Reliability diagram of {len(bins)} bins. The furthest off: of images scored "
            f"{off.score:.2f} on average, {off.positives.value:.0%} are positive.")  # fmt: skip
    return make_plot(figure, text, 360), _histogram(evidence, table)


def _histogram(evidence: Evidence, table: pd.DataFrame) -> Plot:
    figure = go.Figure()
    looks = (("rgba(0,114,178,0.85)", ""), ("rgba(213,94,0,0.85)", "/"))
    for value, (colour, shape) in enumerate(looks):
        part = table[table[contract.LABEL] == value][contract.SCORE]
        counts, edges = np.histogram(part, bins=20, range=(0, 1))
        figure.add_trace(
            go.Bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, width=0.05,
                   name=escape_label(evidence.classes[value], _NAME),
                   marker={"color": colour, "pattern": {"shape": shape}},
                   hovertemplate="score about %{x:.2f}: %{y}<extra></extra>")
        )  # fmt: skip
    figure.add_vline(x=evidence.threshold, line={"color": "#1b1f24", "dash": "dash"})
    figure.update_layout(barmode="stack", bargap=0)
    figure.update_xaxes(title="score", range=[-0.02, 1.02])
    figure.update_yaxes(title="images")
    low, high = table[contract.SCORE].quantile([0.1, 0.9])
    text = f"Histogram of scores by class; 8 of 10 lie between {low:.3f} and {high:.3f}."
    return make_plot(figure, text, 360)


def plot_balance(counts: Mapping[str, SplitCounts], classes: tuple[str, str]) -> Plot:
    """How many images of each class the splits hold."""
    splits = [split for split in contract.SPLITS if split in counts]
    figure = go.Figure()
    for name, colour, shape, sizes in (
        (classes[0], BLUE, "", [counts[s].labels[classes[1]][1] for s in splits]),
        (classes[1], ORANGE, "/", [counts[s].labels[classes[1]][0] for s in splits]),
    ):
        figure.add_trace(
            go.Bar(y=splits, x=sizes, orientation="h", name=escape_label(name, _NAME), text=sizes,
                   marker={"color": colour, "pattern": {"shape": shape}},
                   hovertemplate="%{y}: %{x}<extra></extra>")
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="images")
    figure.update_yaxes(autorange="reversed")
    shares = "; ".join(
        f"{s}: {counts[s].labels[classes[1]][0]} of {counts[s].images}" for s in splits
    )
    return make_plot(
        figure, f"Images that are {classes[1]}, by split. {shares}.", 120 + 45 * len(splits)
    )


def plot_training(history: Mapping[str, list[float]], key: str, name: str) -> Plot | None:
    """A figure over the epochs, of training and validation.

    Args:
        history: The training's.
        key: The figure's.
        name: In words.
    """
    values, held_out = history.get(key, []), history.get(f"val_{key}", [])
    if not values:
        return None
    figure = go.Figure()
    for ys, label, colour, dash in (
        (values, "training", BLUE, "dot"),
        (held_out, "validation", ORANGE, "solid"),
    ):
        figure.add_trace(
            go.Scatter(x=list(range(1, len(ys) + 1)), y=ys, name=label, mode="lines+markers",
                       marker={"size": 5}, line={"color": colour, "dash": dash},
                       hovertemplate=f"{label}, round %{{x}}: %{{y:.4f}}<extra></extra>")
        )  # fmt: skip
    figure.update_xaxes(title="round")
    figure.update_yaxes(title=name)
    last = f" and validation {held_out[-1]:.4f}" if held_out else ""
    text = f"{name} over {len(values)} rounds; at the end, training {values[-1]:.4f}{last}."
    return make_plot(figure, text, 300)
