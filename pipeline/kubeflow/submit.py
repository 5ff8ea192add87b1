"""Hands a package to a Kubeflow Pipelines server, and follows the run that it becomes."""

import dataclasses
import datetime
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.kubeflow import REVIEW, resource_name
from tfxray.pipeline.kubeflow.package_file import Package
from tfxray.pipeline.kubeflow.server import IS_SUBSTRING, Server, ServerError, one_line
from tfxray.pipeline.runs import run_summary

# Of a submission; what the end of its run is called, where a run was waited for.
EXIT_CODES = run_summary.EXIT_CODES | {
    "submitted": 0, "scheduled": 0, "succeeded": 0, "canceled": 1, "deleted": 1, "running": 1,
}  # fmt: skip
# The exit task of our packages and its output parameter: what the run came to.
REVIEW_TASK, STATUS = resource_name(REVIEW), "status"
# Seconds between two looks at a run, as kfp has it, and without an answer until that is an error.
POLL = 5.0
PATIENCE = 900.0
_ENDS = {"SUCCEEDED": "succeeded", "SKIPPED": "succeeded", "FAILED": "failed", "ERROR": "failed"}
_ENDS |= {"CANCELED": "canceled"}
_NOT_YET = {"", "PENDING", "RUNTIME_STATE_UNSPECIFIED"}


@dataclasses.dataclass(frozen=True)
class Order:
    """A request to the server.

    Attributes:
        package: To be uploaded, unless the server has it.
        arguments: Values of the pipeline's parameters.
        pipeline: The name that it goes by on the server.
        experiment: The name of the run's experiment.
        version: The name of the version; default: the time and the package's digest.
        run: The name of the run; default: the pipeline's, with the time; without it in the case
            of a recurring one.
        cron: When to run again and again: six fields, seconds first.
    """

    package: Package
    arguments: Mapping[str, Any]
    pipeline: str
    experiment: str
    version: str | None = None
    run: str | None = None
    cron: str | None = None


@dataclasses.dataclass
class Submission:
    """What became of an order; `--json` prints it.

    Attributes:
        run_id: The server's.
        url: The page of the run, or of the recurring one.
        status: `submitted` or `scheduled`; of a run that was waited for, one of `pushed`,
            `all_right` (the monitor asked for no new model), `not_blessed`, `data_rejected`,
            `succeeded` (the server does not tell which), `failed`, `canceled`, `deleted`, and
            `running` where the waiting ended first.
        pipeline_id: The server's.
        version_id: The server's.
        recurring_run_id: The server's.
    """

    run_id: str | None
    url: str
    status: str
    pipeline_id: str
    version_id: str
    recurring_run_id: str | None


def check_cron(cron: str) -> str:
    """The expression, as the server takes it.

    Raises:
        UserError: It has not six fields. The server would take five for six without the last, and
            the minutes for seconds.
    """
    fields = cron.split()
    if len(fields) == 5:
        raise UserError(
            f"--cron {cron!r}: Kubeflow Pipelines wants six fields, seconds first: '0 {cron}'"
        )
    if len(fields) != 6 and not re.fullmatch(r"@(yearly|monthly|weekly|daily|hourly)", cron):
        raise UserError(
            f"--cron {cron!r}: must have six fields (second, minute, hour, day of the month, "
            "month, day of the week) such as '0 0 3 * * 1', or be @hourly, @daily, @weekly, "
            "@monthly or @yearly"
        )
    return " ".join(fields)


def submit_package(server: Server, order: Order) -> Submission:
    """Uploads the package where it is new, and starts or schedules its run.

    Args:
        server: Where to.
        order: What.

    Raises:
        UserError: A name is taken, or the server cannot be reached or refuses.
    """
    pipeline = server.pipeline(order.pipeline)
    experiment = server.experiment(order.experiment)
    if order.cron:
        _check_unscheduled(server, experiment, order)
    version = _version(server, pipeline, order)
    fields = {
        "experiment_id": experiment,
        "display_name": order.run or _run_name(order),
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
        "runtime_config": {"parameters": dict(order.arguments)},
    }
    if order.cron:
        recurring_run = _write_once(server, "recurringruns", server.schedule, fields, order.cron)
        url = server.page("recurringrun", recurring_run)
        return Submission(None, url, "scheduled", pipeline, version, recurring_run)
    run = _write_once(server, "runs", server.start, fields)
    return Submission(run, server.page("runs", run), "submitted", pipeline, version, None)


def wait_for_run(
    server: Server,
    submission: Submission,
    package: Package,
    say: Callable[[str], None],
    limit: float | None = None,
) -> None:
    """Waits for a run to end; puts how it did into the submission.

    Args:
        server: Where it runs.
        submission: Its status changes.
        package: Its tasks are told of; other tasks are the server's own.
        say: Gets a line for each state that a task enters.
        limit: Seconds to wait at most; default: until the end.

    Raises:
        ServerError: The server refuses, or stays silent for too long. The run goes on.
    """
    submission.status = "running"
    start, reports = time.monotonic(), set[tuple[str, str]]()
    for run in _poll_run(server, submission.run_id or "", say):
        if run is None:
            submission.status = "deleted"
            return
        for line in _news(run, package.tasks, reports):
            say(line)
        state = str(run.get("state", "")).upper()
        if state in _ENDS:
            submission.status = _verdict(run, _ENDS[state])
            return
        if limit is not None and time.monotonic() - start + POLL > limit:
            return


def _run_name(order: Order) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return order.pipeline if order.cron else f"{order.pipeline} {now:%Y-%m-%d %H:%M:%S}"


def _check_unscheduled(server: Server, experiment: str, order: Order) -> None:
    """The server would run two of the same name side by side."""
    name = order.run or _run_name(order)
    recurring_run = server.recurring(experiment, name)
    if recurring_run:
        raise UserError(
            f"there is a recurring run {name!r} in the experiment {order.experiment!r} already: "
            f"{server.page('recurringrun', recurring_run)}; delete it there, or give another --name"
        )


def _version(server: Server, pipeline: str, order: Order) -> str:
    """The id of the version that holds the package: one that is there, or a new one."""
    package = order.package
    mark = f"sha256:{package.digest}"
    short = package.digest[:12]
    if order.version:
        versions = server.versions(pipeline, order.version)
    else:
        versions = server.versions(pipeline, short, IS_SUBSTRING)
    for version, description in versions.items():
        if description == mark:
            return version
    name_taken = (
        f"the pipeline {order.pipeline!r} has a version {order.version!r} already, of another "
        "package; give another --version, or none"
    )
    if order.version and versions:
        raise UserError(name_taken)
    now = datetime.datetime.now(datetime.timezone.utc)
    name = order.version or f"{now:%Y%m%d-%H%M%S}-{short}"
    try:
        return server.upload(pipeline, package.path, name, mark)
    except ServerError as error:
        if order.version and error.status == 409:
            raise UserError(name_taken) from None
        raise


def _write_once(server: Server, kind: str, write: Callable[..., str], *args: Any) -> str:
    """Writes what must not be written twice: after a failure, the user has to look."""
    try:
        return write(*args)
    except ServerError as error:
        if not error.passing:
            raise
        raise ServerError(
            f"{error}. It may have been started all the same: look at {server.page(kind)} before "
            "you submit it again",
            error.status,
        ) from None


def _poll_run(
    server: Server, run_id: str, say: Callable[[str], None]
) -> Iterator[dict[str, Any] | None]:
    """The run, again and again: empty while there is no contact, `None` once it is deleted."""
    lost = None
    while True:
        try:
            run = server.run(run_id)
        except ServerError as error:
            if error.status == 404:
                say("the run was deleted")
                yield None
                return
            if not error.passing or time.monotonic() - (lost or time.monotonic()) > PATIENCE:
                raise
            if lost is None:
                say(f"no contact, trying again: {error}")
                lost = time.monotonic()
            yield {}
        else:
            if lost is not None:
                say("contact again")
                lost = None
            yield run
        time.sleep(POLL)


def _tasks(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks: below `run_details`, from version 3.0 of the server on beside it."""
    tasks = run.get("tasks") or (run.get("run_details") or {}).get("task_details") or []
    return [task for task in tasks if isinstance(task, dict)]


def _name(task: dict[str, Any]) -> str:
    return str(task.get("name") or task.get("display_name") or "")


def _news(
    run: dict[str, Any], names: frozenset[str], reports: set[tuple[str, str]]
) -> Iterator[str]:
    """A line for each task of ours that has entered another state."""
    for task in _tasks(run):
        name, state = _name(task), str(task.get("state", "")).upper()
        report = (str(task.get("task_id") or name), state)
        if name not in names or state in _NOT_YET or report in reports:
            continue
        reports.add(report)
        seconds = _seconds(task)
        took = f"{seconds:7.1f} s" if seconds is not None else " " * 9
        yield f"  {name:<22}{took}  {state.lower()}"
    error = one_line((run.get("error") or {}).get("message"))
    if error and ("", error) not in reports:
        reports.add(("", error))
        yield f"  {error}"


def _seconds(task: dict[str, Any]) -> float | None:
    """How long it took; `None` while it runs."""
    from google.protobuf import timestamp_pb2

    start, end = timestamp_pb2.Timestamp(), timestamp_pb2.Timestamp()
    try:
        start.FromJsonString(task["start_time"])
        end.FromJsonString(task["end_time"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    seconds = (end.ToMilliseconds() - start.ToMilliseconds()) / 1000
    # The server sends the beginning of time for what has not ended yet.
    return seconds if seconds >= 0 else None


def _verdict(run: dict[str, Any], end: str) -> str:
    """What the review says of a run; how it ended where the server keeps outputs to itself."""
    for task in _tasks(run):
        outputs = task.get("outputs") or {}
        for output in outputs.get("parameters") or [] if _name(task) == REVIEW_TASK else []:
            status = output.get("value") if output.get("parameter_key") == STATUS else None
            if status in ("not_blessed", "data_rejected", "failed"):
                return str(status)
            if status in ("pushed", "all_right") and end == "succeeded":
                return str(status)
    return end
