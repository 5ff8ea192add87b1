"""One step of a run in a process of its own: what a container of the Kubeflow package does.

`Start` finds the data, compiles the graph and writes it below the root. Then one process per node
launches that node of it, against a metadata store that all share. `Review` comes last, whatever
happened, and writes summary and page. `Monitor`, where there is one, comes before all of them.

Exit codes as of `tfxray run`: 0 done, 1 failure, 2 bad config or input, 4 data refused.
"""

import contextlib
import dataclasses
import json
import logging
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfxray.components.common import filenames, filesystem, progress
from tfxray.components.common.errors import DataRejected, UserError, did_you_mean
from tfxray.components.text import escape
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.kubeflow import MONITOR, REVIEW, START
from tfxray.pipeline.config.nodes import NODES
from tfxray.pipeline.kubeflow import outputs
from tfxray.pipeline.runs import run_summary, store
from tfxray.pipeline.terminal import process  # noqa: F401  first, as it says
from tfxray.pipeline.terminal.lines import LogFormatter

STEPS = (MONITOR, START, *NODES, REVIEW)
GRAPH = "graph.json"
_START_FILE, _FAILURE_FILE = "started.json", "failed-{}.json"
_SCORING_FILE, _MONITOR_FILE = "scoring.json", "monitor.json"


class Terminated(Exception):
    """The process was asked to end. An exception, so that TFX publishes the node as failed."""


class Step:
    """One step of one run."""

    def __init__(self, name: str, run_id: str, root: str, metadata: str):
        """Reads nothing yet.

        Args:
            name: `Monitor`, `Start`, a node's id, or `Review`.
            run_id: The same for all steps of a run.
            root: Where everything is written, on any of TFX's file systems.
            metadata: The metadata store's address; see `metadata_address.ALLOWED`.

        Raises:
            UserError: There is no such step, the run's id would be a path, the address is none, or
                TensorFlow cannot write to the root.
        """
        if name not in STEPS:
            near = did_you_mean(name, STEPS)
            raise UserError(f"{name}: is no step{near}; allowed: {', '.join(STEPS)}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", run_id):
            raise UserError(f"{run_id}: is no run id: letters, digits, `-`, `_`, `.` (--run-id)")
        if filesystem.is_s3(root):
            raise UserError(
                f"{root}: TensorFlow writes nothing to s3://. Mount the bucket as a volume (by its "
                "CSI driver), and name a folder of the mount (kubeflow.root)"
            )
        self.name, self.run_id, self.root = name, run_id, filesystem.full_path(root)
        self.folder = os.path.join(self.root, "runs", run_id)
        self.connection = store.connection_config(metadata)

    def monitor(self, config: Config, fence: Callable[[], None], executor_input: str | None) -> str:
        """Judges the served model by the newest images; see `monitor.watch_images`.

        Args:
            config: The experiment.
            fence: See `start`.
            executor_input: See `review`.

        Returns:
            What it came to, in a line.

        Raises:
            UserError: There is nothing to judge by.
        """
        from tfxray.pipeline.kubeflow import monitor

        self._write(run_summary.RESOLVED, config.to_yaml())
        # Where an earlier try was killed, this one goes on.
        new = {"at": time.time(), "folder": monitor.scored_folder(config, self.root)}
        scoring = json.loads(self._read(_SCORING_FILE) or json.dumps(new))
        self._write(_SCORING_FILE, json.dumps(scoring))
        page = os.path.join(self.folder, filenames.MONITOR_PAGE)
        result = monitor.watch_images(config, self.root, scoring["folder"], page, say)
        fence()
        self._forget_failure()
        self._write(_MONITOR_FILE, escape.to_json(result, indent=1))
        if executor_input:
            outputs.publish_monitor(executor_input, result, self._read_bytes(page))
        after = "the pipeline runs" if result["train"] else "nothing is to be trained"
        return f"{result['status']}: {after}"

    def start(self, config: Config, data: str | None, fence: Callable[[], None]) -> None:
        """Finds the data and compiles the graph, for the steps to come.

        Args:
            config: The experiment.
            data: Folder of images or TFRecords; None takes the config's.
            fence: Called before the graph is written; see `store.hold_work`.

        Raises:
            UserError: Data or network cannot be used.
        """
        from google.protobuf import json_format

        from tfxray.pipeline import beam_workers, external, inputs, pipeline, prepare
        from tfxray.pipeline.engines import launch
        from tfxray.pipeline.places import Places, write_schema
        from tfxray.pipeline.runs import lineage

        lineage.open_store(self.connection)  # one makes the tables, before many look for them
        self._write(run_summary.RESOLVED, config.to_yaml())
        prepare.check_classes(config, self.root)
        prepare.check_model(config)
        source = inputs.find_data(config, data, self.root, say)
        sources = external.find_sets(config, self.root, say)
        read = {"--data": source.folder, **external.list_folders(sources)}
        beam_workers.find_workers(config.beam, read, {"--root": self.root})
        with tempfile.TemporaryDirectory() as scratch:

            def start_named(name: str, source: inputs.Source, config: Config) -> inputs.Ingest:
                file = Path(scratch) / f"{name}.yaml"
                file.write_text(config.to_yaml(), encoding="utf-8")
                return inputs.Ingest(source, config, file, self.root, Path(os.devnull), say)

            def start_ingest() -> inputs.Ingest:
                return start_named(config.name, source, config)

            if source.kind == "records":
                data_for_run = prepare.prepare_records(
                    source.folder, config, say, self.root, start_ingest
                )
            else:
                ingest = start_ingest()
                try:
                    data_for_run = prepare.finish_ingest(ingest, say)
                finally:
                    ingest.stop()
            sets = external.prepare_sets(config, sources, self.root, say, start_named)
        records = dataclasses.replace(data_for_run.records, external=sets)
        schema = write_schema(config, os.path.join(self.root, "schema"))
        places = Places.below(self.root, config, schema)
        lineage.skip_taken_ids(self.connection, places.root)
        graph = pipeline.create_pipeline(
            config, records, places, _without_password(self.connection)
        )
        fence()
        self._forget_failure()
        note = {"rejected": data_for_run.rejected, "ingest": data_for_run.outcome}
        self._write(_START_FILE, json.dumps({**note, "at": time.time()}))
        # Written last: what follows needs it.
        self._write(GRAPH, json_format.MessageToJson(launch.compile_run(graph, self.run_id)))

    def run(self) -> str:
        """Launches the node.

        Returns:
            `COMPLETE` or `CACHED`; also where an earlier try had come to its end.

        Raises:
            UserError: The run was not started.
            DataRejected: By DataGate.
        """
        from tfxray.pipeline import beam_workers
        from tfxray.pipeline.config.loader import parse_config
        from tfxray.pipeline.engines import launch
        from tfxray.pipeline.runs import lineage

        graph = self._graph()
        config = parse_config(self._read(run_summary.RESOLVED) or "", "the run's config")
        nodes = {node.node_info.id: node for node in launch.list_nodes(graph)}
        work = f"{self.root} {self.run_id} {self.name}"
        with store.hold_work(self.connection, work, say) as fence:
            pipeline = graph.pipeline_info.id
            before = lineage.node_runs(self.connection, pipeline, self.run_id).get(self.name)
            if before and before.complete:
                say(f"{self.name}: done by an earlier try")
                return before.state
            if before:
                lineage.publish_failed(self.connection, before)
            with beam_workers.name_lost_hosts(config.beam):
                node_run = launch.run_node(graph, nodes[self.name], self.connection, fence, say=say)
        self._forget_failure()
        return node_run.state

    def review(self, executor_input: str | None) -> run_summary.Summary:
        """Writes summary and page, of a finished run or of one that broke off.

        Args:
            executor_input: What Kubeflow Pipelines tells of the outputs that it wants, in JSON.

        Returns:
            What the run came to.
        """
        from tfxray.pipeline.config.loader import parse_config
        from tfxray.pipeline.runs import lineage

        config = parse_config(self._read(run_summary.RESOLVED) or "", "the run's config")
        summary = run_summary.Summary(self.run_id, config.gate.auc.threshold)
        node_runs = lineage.node_runs(self.connection, config.name, self.run_id)
        for name, node in node_runs.items():
            if node.state in ("NEW", "RUNNING"):  # killed, and not tried again
                lineage.publish_failed(self.connection, node)
            summary.seconds[name] = round(node.seconds, 2)
            if node.cached:
                summary.cached.append(name)
        scoring = json.loads(self._read(_SCORING_FILE) or "{}")
        start = {"at": time.time(), **json.loads(self._read(_START_FILE) or "{}")}
        summary.examples["rejected"] = start.get("rejected", 0)
        summary.ingest = start.get("ingest", {})
        summary.seconds["total"] = round(time.time() - scoring.get("at", start["at"]), 2)
        for name in (MONITOR, START, *NODES):
            failure = json.loads(self._read(_FAILURE_FILE.format(name)) or "{}")
            if failure.get("code") == 4:
                summary.status, summary.reason = "data_rejected", failure["reason"]
            elif failure:
                summary.reason = f"{name}: {failure['reason']}"
        monitor = json.loads(self._read(_MONITOR_FILE) or "{}")
        told = ("status", "reason", "next_step", "page")
        summary.monitor = {key: monitor[key] for key in told if key in monitor}
        uris = run_summary.conclude_run(summary, node_runs, self.folder, config)
        if summary.status == "failed" and not summary.reason and not monitor.get("train", True):
            summary.status, summary.reason = "all_right", monitor["reason"]
            summary.review = monitor["page"]
        if summary.status == "failed" and not summary.reason:
            first = MONITOR if scoring and not monitor else "a node"
            unfinished = next((n for n, node in node_runs.items() if not node.complete), first)
            summary.reason = f"{unfinished} was ended from outside"
        if summary.status != "all_right":
            run_summary.try_review(summary, config, uris, self.folder, say)
        self._write(run_summary.SUMMARY, summary.to_json())
        if executor_input:
            none = b"<p>The page could not be written. The log of this step tells more.</p>"
            page = self._read_bytes(summary.review) if summary.review else none
            outputs.publish_review(executor_input, summary, page)
        return summary

    def _read_bytes(self, path: str) -> bytes:
        from tfx.dsl.io import fileio

        with fileio.open(path, "rb") as file:
            return bytes(file.read())

    def note_failure(self, code: int, reason: str) -> None:
        """Leaves word for `Review`."""
        with contextlib.suppress(Exception):  # what went wrong may be the file system itself
            self._write(
                _FAILURE_FILE.format(self.name), json.dumps({"code": code, "reason": reason})
            )

    def _forget_failure(self) -> None:
        """Of an earlier try."""
        from tfx.dsl.io import fileio

        path = os.path.join(self.folder, _FAILURE_FILE.format(self.name))
        if fileio.exists(path):
            fileio.remove(path)

    def note_rejection(self, error: DataRejected) -> None:
        """Leaves DataGate's verdict for `Review`."""
        self._write(run_summary.VERDICT, error.verdict)
        self.note_failure(4, str(error))

    def _graph(self) -> Any:
        from google.protobuf import json_format
        from tfx.proto.orchestration import pipeline_pb2

        text = self._read(GRAPH)
        if text is None:
            raise UserError(f"{self.folder}: holds no {GRAPH}; run the step {START} first")
        return json_format.Parse(text, pipeline_pb2.Pipeline())

    def _read(self, name: str) -> str | None:
        from tfx.dsl.io import fileio

        path = os.path.join(self.folder, name)
        if not fileio.exists(path):
            return None
        with fileio.open(path) as file:
            return str(file.read())

    def _write(self, name: str, text: str) -> None:
        from tfxray.components.common import artifacts

        artifacts.write_text(os.path.join(self.folder, name), text)


def _without_password(connection: Any) -> Any:
    copy = type(connection)()
    copy.CopyFrom(connection)
    if copy.WhichOneof("config") == "mysql":
        copy.mysql.ClearField("password")
    return copy


def say(text: str, style: str | None = None) -> None:
    """Prints a line to the container's log."""
    del style
    print(escape.for_screen(text), file=sys.stderr, flush=True)


def _terminate(signal_number: int, frame: object) -> None:
    del frame
    raise Terminated(f"ended from outside, by {signal.Signals(signal_number).name}")


@click.command()
@click.argument("name")
@click.option("--run-id", required=True, help="The same for all steps of a run.")
@click.option("--root", required=True, help="Where everything is written.")
@click.option("--metadata", required=True, help=metadata_address.ALLOWED)
@click.option("--config", "text", help="For Monitor and Start: the experiment's YAML itself.")
@click.option("--data", help="For Start: folder of images or TFRecords.")
@click.option("--executor-input", help="For Monitor and Review: what KFP asks for, in JSON.")
def main(
    name: str,
    run_id: str,
    root: str,
    metadata: str,
    text: str | None,
    data: str | None,
    executor_input: str | None,
) -> None:
    """Run one step, NAME, of a run: Monitor, Start, a node of the graph, or Review."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(logging.BASIC_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger(progress.LOGGER).setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _terminate)
    start = time.monotonic()
    try:
        step = Step(name, run_id, root, metadata)
    except UserError as error:
        say(f"error: {error}")
        sys.exit(2)
    code, came_to = _run_work(lambda: _work(step, text, data, executor_input), step)
    say(f"{name}: {came_to} ({time.monotonic() - start:.1f} s)")
    sys.exit(code)


def _work(step: Step, text: str | None, data: str | None, executor_input: str | None) -> str:
    from tfxray.pipeline.config.loader import parse_config

    if step.name in (MONITOR, START):
        if text is None:
            raise UserError(f"{step.name} needs --config")
        config = parse_config(text, "--config")
    if step.name == MONITOR:
        work = f"{step.root} {step.run_id} {step.name}"
        with store.hold_work(step.connection, work, say) as fence:
            return step.monitor(config, fence, executor_input)
    if step.name == START:
        # Two runs over the same data would ingest them to the same place.
        lock_name = f"{step.root} {START} {data}"
        with store.hold_work(step.connection, lock_name, say) as fence:
            step.start(config, data or None, fence)
        return "COMPLETE"
    if step.name == REVIEW:
        summary = step.review(executor_input)
        run_summary.tell_verdict(summary, say)
        return "COMPLETE"
    return step.run()


def _run_work(work: Callable[[], str], step: Step) -> tuple[int, str]:
    """Exit code, and what it came to, in a line."""
    try:
        return 0, work()
    except UserError as error:
        step.note_failure(2, str(error))
        return 2, f"FAILED: {error}"
    except DataRejected as error:
        step.note_rejection(error)
        return 4, f"data refused: {error}"
    except Exception as error:
        logging.exception("%s failed", step.name)
        first = (str(error).splitlines() or [""])[0][:500]
        step.note_failure(1, f"{type(error).__name__}: {first}")
        return 1, f"FAILED: {type(error).__name__}: {first}"


if __name__ == "__main__":
    main()
