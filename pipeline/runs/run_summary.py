"""What a run came to: its summary and its page, drawn from the metadata store by any engine."""

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, TypeAdapter

from tfxray.components.common.errors import UserError
from tfxray.components.text import escape
from tfxray.pipeline.config.config import Config

if TYPE_CHECKING:
    from tfxray.pipeline.runs.lineage import NodeRun

log = logging.getLogger(__name__)

LOG = "log.txt"
SUMMARY = "summary.json"
REVIEW = "review.html"
VERDICT = "verdict.json"
RESOLVED = "config.yaml"
_FORMER_ISSUES = "findings"  # what tfxray 0.1.0 called `data_issues`; its runs are still read
EXIT_CODES = {
    "pushed": 0, "prepared": 0, "all_right": 0, "failed": 1, "not_blessed": 3, "data_rejected": 4,
}  # fmt: skip


def _not_issues(value: Any) -> Any:
    return {} if isinstance(value, list) else value


@dataclasses.dataclass
class Summary:
    """What a run came to; written to `summary.json`.

    Attributes:
        run_id: Its name, and its folder's.
        threshold: The least AUC demanded.
        status: `pushed`, `not_blessed`, `data_rejected` or `failed`; of a run of a part, which
            came to its end and to no push, `prepared`; where a monitor came first and asked for no
            new model, `all_right`.
        reason: Why it was not pushed.
        auc: On the held-out test split; of several classes or findings, the mean of theirs.
        auc_interval: Its 95 % interval, by patient.
        findings: Of several classes or findings, those of each; see `results.tell_findings`.
        examples: Per split, and `rejected`.
        patients: Per split.
        ingest: What became of the input, and of a public data set what is to be said of it: some
            fields of a `job.Report`. Empty where nothing was ingested.
        rules: The gate's, each with figure, limit and verdict; see `gate.Rule`.
        external: How the model does on each external test set; see `site.Site.to_summary`.
        metrics: Figures of `train`, `eval` and `test` at the end of training: AUC and the like;
            None for what is not finite.
        data_issues: What DataGate found wrong with the data; see `data_gate.DataIssue`.
        pushed_model: The version's folder.
        review: The page; of a run that is `all_right`, the monitor's.
        monitor: Status, reason, next step and page of the monitor, where one came first.
        seconds: `total`, and per step and node.
        cached: Nodes that took their outputs from an earlier run.
    """

    run_id: str
    threshold: float
    status: str = "failed"
    reason: str | None = None
    auc: float | None = None
    auc_interval: list[float] | None = None
    findings: Annotated[dict[str, dict[str, Any]], BeforeValidator(_not_issues)] = (
        dataclasses.field(default_factory=dict)
    )
    examples: dict[str, int] = dataclasses.field(default_factory=dict)
    patients: dict[str, int] = dataclasses.field(default_factory=dict)
    ingest: dict[str, Any] = dataclasses.field(default_factory=dict)
    rules: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    external: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    data_issues: Annotated[
        list[dict[str, Any]], Field(validation_alias=AliasChoices("data_issues", _FORMER_ISSUES))
    ] = dataclasses.field(default_factory=list)
    pushed_model: str | None = None
    review: str | None = None
    monitor: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    cached: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        """As in `summary.json`."""
        return escape.to_json(dataclasses.asdict(self), indent=1)


def read_summary(folder: Path) -> Summary | None:
    """A run's summary as it was written; None where there is none that can be read.

    Args:
        folder: The run's, on this machine.
    """
    try:
        return TypeAdapter(Summary).validate_json((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None


def conclude_run(
    summary: Summary, node_runs: "dict[str, NodeRun]", folder: str, config: Config
) -> dict[str, str]:
    """Draws the verdict from the outputs of the nodes.

    Args:
        summary: Filled in. Without an evaluation, its status stays as it is.
        node_runs: What each node did; see `lineage.node_runs`.
        folder: The run's; gets DataGate's verdict.
        config: The experiment.

    Returns:
        The folders of the nodes' outputs, as `StatisticsGen.statistics`.
    """
    from tfx.dsl.io import fileio

    from tfxray.components.common import artifacts, filenames
    from tfxray.components.evaluator import results
    from tfxray.components.external import site
    from tfxray.components.validation import statistics
    from tfxray.pipeline.runs import lineage

    uris, task = lineage.output_uris(node_runs), config.task
    if "StatisticsGen.statistics" in uris:
        for split, count in statistics.count_splits(uris["StatisticsGen.statistics"]).items():
            summary.examples[split] = count.images
            if count.patients is not None:
                summary.patients[split] = count.patients
    summary.metrics = artifacts.read_training_file(uris, filenames.METRICS)
    results_of_test = None
    if "Evaluator.evaluation" in uris:
        results_of_test = results.read_results(uris["Evaluator.evaluation"], task)
        summary.rules = results_of_test.rules
        if results_of_test.of_test:
            summary.metrics["test"] = {**results_of_test.of_test}
        if results_of_test.auc:
            summary.auc = results_of_test.auc.value
            if results_of_test.auc.low is not None and results_of_test.auc.high is not None:
                summary.auc_interval = [results_of_test.auc.low, results_of_test.auc.high]
        thresholds = artifacts.read_thresholds(uris, task)
        sites = site.read_sites(uris, task, thresholds, config.gate.model_dump())
        summary.external = {own.name: own.to_summary(task.binary) for own in sites}
        if not task.binary:
            summary.findings = results.tell_findings(uris["Evaluator.evaluation"], task, thresholds)
    push = node_runs["Pusher"].outputs.get("pushed_model") if "Pusher" in node_runs else None
    if push and push.properties.get("pushed") == 1:
        summary.status = "pushed"
        summary.pushed_model = str(push.properties["pushed_destination"])
    elif results_of_test and (
        push or (summary.status == "prepared" and not results_of_test.blessed)
    ):
        summary.status, summary.reason = "not_blessed", "; ".join(results_of_test.reasons)
    verdict = os.path.join(folder, VERDICT)
    if "DataGate.verdict" in uris:
        fileio.copy(os.path.join(uris["DataGate.verdict"], VERDICT), verdict, overwrite=True)
    if fileio.exists(verdict):
        with fileio.open(verdict) as file:
            summary.data_issues = json.loads(file.read())
    return uris


def tell_verdict(summary: Summary, say: Callable[..., None]) -> None:
    """Says what a run came to.

    Args:
        summary: Its summary.
        say: Takes a line, and a `style` or None.
    """
    if summary.auc is not None:
        low_high = summary.auc_interval
        interval = f" [{low_high[0]:.4f}, {low_high[1]:.4f}]" if low_high else ""
        patients = summary.patients.get("test")
        name = "mean AUC" if summary.findings else "AUC"
        say(
            f"{name} {summary.auc:.4f}{interval} on {summary.examples.get('test', 0)} held-out "
            f"images{f' of {patients} patients' if patients else ''}; threshold "
            f"{summary.threshold}",
            style="bold",
        )
    for name, own in summary.external.items():
        say(_describe_external(name, own))
    for rule in summary.rules:
        if rule.get("warns"):
            say(f"warn: {rule['text']}", style="yellow")
    if summary.rules:
        from tfxray.components.evaluator import results

        if unjudged := results.tell_unjudged(summary.rules):
            say(f"not judged, since too few patients are there: {unjudged}", style="yellow")
    if summary.status == "pushed":
        say(f"pushed: {summary.pushed_model}", style="bold green")
    else:
        texts = {
            "prepared": "done, nothing pushed",
            "all_right": "the monitor asks for no new model, nothing trained",
            "not_blessed": "not blessed, nothing pushed",
            "data_rejected": "data refused, nothing trained",
        }
        style = "bold red" if EXIT_CODES[summary.status] else "bold green"
        reason = f": {summary.reason}" if summary.reason else ""
        say(f"{texts.get(summary.status, 'failed')}{reason}", style=style)


def _describe_external(name: str, own: Mapping[str, Any]) -> str:
    """An external test set in a line."""
    what = f"external test set {name}: {own['images']} images of {own['patients']} patients"
    if own["auc"] is None:
        return f"{what}, too few to judge"
    (low, high), change = own["auc_interval"], own["change_from_test"]
    kind = "mean AUC" if "findings" in own else "AUC"
    beside = f", {change:+.4f} from the split test" if change is not None else ""
    return f"{what}, {kind} {own['auc']:.4f} [{low:.4f}, {high:.4f}]{beside}"


def write_review(summary: Summary, config: Config, uris: Mapping[str, str], folder: str) -> None:
    """Writes the run's page; the summary then names it.

    Args:
        summary: What the run came to.
        config: What it was configured with.
        uris: See `conclude_run`.
        folder: Where to.
    """
    from tfxray.components.review.page import write_page

    path = os.path.join(folder, REVIEW)
    write_page(path, dataclasses.asdict(summary), config.to_yaml(), uris)
    summary.review = path


def try_review(
    summary: Summary,
    config: Config,
    uris: Mapping[str, str],
    folder: str,
    say: Callable[..., None],
) -> None:
    """Writes the run's page; where that fails, says so: a page never costs a run's outcome.

    Args:
        summary: See `write_review`, as of the following three.
        config: Likewise.
        uris: Likewise.
        folder: Likewise.
        say: See `tell_verdict`.
    """
    try:
        write_review(summary, config, uris, folder)
    except Exception as error:
        log.exception("the review page could not be written")
        # A library's message may quote names; the system's own words do not.
        why = str(error) if isinstance(error, UserError) else type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            why = error.strerror
        say(f"no review page: {why}; the outcome of the run stays", style="yellow")
