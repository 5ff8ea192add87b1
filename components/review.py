"""The review page: one self-contained HTML file that tells what a run came to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import yaml
from plotly.offline import get_plotlyjs

from tfxray.components import judgement, schemas
from tfxray.components.judgement import Slice
from tfxray.components.trainer import HISTORY

# The columns of the slices' table: TFMA's metric, and its heading.
COLUMNS = {
    "auc": "AUC",
    "prauc": "PR-AUC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision (PPV)",
}
# The columns of the table of splits: Trainer's figure, and its heading.
_COUNTS = {
    "true_positives": "TP",
    "false_positives": "FP",
    "true_negatives": "TN",
    "false_negatives": "FN",
}
SPLIT_COLUMNS = {
    "auc": "AUC", "precision": "Precision", "recall": "Recall", "accuracy": "Accuracy",
    "cross_entropy": "Cross entropy", **_COUNTS,
}  # fmt: skip
# Okabe and Ito's palette: told apart by the colour-blind too.
_BLUE, _ORANGE = "#0072b2", "#d55e00"
_PLOT = {"displayModeBar": False, "responsive": True}


def write(path: Path, summary: Mapping[str, Any], config: str, uris: Mapping[str, str]) -> None:
    """Writes the page.

    Args:
        path: Where to.
        summary: The fields of a run's summary.
        config: The resolved configuration, in YAML.
        uris: Folders of the run's artifacts, as `StatisticsGen.statistics`; parts whose artifact
            is missing are left out.
    """
    found = (
        judgement.judgement(uris["Evaluator.evaluation"])
        if "Evaluator.evaluation" in uris
        else None
    )
    slices = found.slices if found else []
    history = judgement.written(uris, HISTORY)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # names of files, sites and classes are text, never markup
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("review.html").render(
        summary=summary,
        config=config,
        judgement=found,
        columns=COLUMNS,
        counts=judgement.counts(uris["StatisticsGen.statistics"])
        if "StatisticsGen.statistics" in uris
        else {},
        checked="ExampleValidator.anomalies" in uris,
        inferred="SchemaGen.schema" in uris,
        differences=_differences(uris),
        forest=_plot(_forest(slices, summary["threshold"])) if slices else None,
        curves=_plot(_curves(history)) if history else None,
        epochs=len(history.get("loss", [])),
        kept=_kept(config) if history else None,
        split_columns=SPLIT_COLUMNS,
        counted=_COUNTS,
        plotly_js=get_plotlyjs(),
    )
    path.write_text(html, encoding="utf-8")


def _differences(uris: Mapping[str, str]) -> list[schemas.Difference]:
    """How what SchemaGen inferred differs from the curated schema, as the run had it."""
    if "SchemaGen.schema" not in uris or "CuratedSchema.schema" not in uris:
        return []
    curated, inferred = (
        schemas.read(Path(uris[f"{node}.schema"]) / "schema.pbtxt")
        for node in ("CuratedSchema", "SchemaGen")
    )
    return schemas.differences(curated, inferred)


def _kept(config: str) -> str:
    """Which weights training ended with, in words."""
    train = yaml.safe_load(config)["train"]
    if train["patience"] is None:
        return "the last round"
    return f"the round with the best validation {train['monitor'].replace('_', ' ')}"


def _plot(figure: go.Figure) -> str:
    figure.update_layout(
        template="simple_white", margin={"l": 10, "r": 20, "t": 30, "b": 40},
        font={"family": "system-ui, sans-serif", "size": 13},
    )  # fmt: skip
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config=_PLOT)
    return text


def _forest(slices: list[Slice], threshold: float) -> go.Figure:
    shown = [(s, f) for s in reversed(slices) if (f := s.figures.get("auc"))]
    # Plotly reads a few HTML tags in labels; a hostile name must stay text.
    labels = [s.name.replace("&", "&amp;").replace("<", "&lt;") for s, _ in shown]
    values = [f.value for _, f in shown]
    above = [(f.high if f.high is not None else f.value) - f.value for _, f in shown]
    below = [f.value - (f.low if f.low is not None else f.value) for _, f in shown]
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=labels,
            mode="markers",
            marker={"size": 9, "color": _BLUE},
            error_x={"type": "data", "array": above, "arrayminus": below, "color": _BLUE},
            text=[f"{s.images} images, {s.positives} positive" for s, _ in shown],
            hovertemplate="%{y}<br>AUC %{x:.4f}<br>%{text}<extra></extra>",
        )
    )
    figure.add_vline(
        x=threshold, line={"color": _ORANGE, "dash": "dash", "width": 2}, opacity=1,
        annotation_text=f"threshold {threshold:g}", annotation_position="top",
    )  # fmt: skip
    left = min([threshold, *(value - low for value, low in zip(values, below, strict=True))])
    figure.update_layout(height=90 + 34 * len(shown))
    figure.update_xaxes(title="AUC with 95 % interval", range=[left - 0.02, 1.01])
    figure.update_yaxes(automargin=True)
    return figure


def _curves(history: Mapping[str, list[float]]) -> go.Figure:
    figure = go.Figure()
    for key, name, colour in (("auc", "training", _BLUE), ("val_auc", "validation", _ORANGE)):
        values = history.get(key, [])
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(values) + 1)), y=values, name=name, mode="lines+markers",
                line={"color": colour, "dash": "dot" if key == "auc" else "solid"},
            )
        )  # fmt: skip
    figure.update_layout(height=300, xaxis_title="epoch", yaxis_title="AUC")
    return figure
