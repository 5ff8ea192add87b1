"""The engine `local`: the pipeline on this machine, node after node, over SQLite."""

import contextlib
import dataclasses
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfxray.components.common.errors import DataRejected, UserError, explain_refusals
from tfxray.components.disk import durable
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline import beam_workers, external, inputs, prepare
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.nodes import WHOLE, Part
from tfxray.pipeline.engines import watch
from tfxray.pipeline.runs import listing, locks, run_summary
from tfxray.pipeline.terminal import process
from tfxray.pipeline.terminal.lines import indent_lines
from tfxray.pipeline.terminal.screen import Screen, Step, output_to, progress_on

TENSORBOARD = "tensorboard"


class Run:
    """One run of the pipeline, from data to verdict.

    Attributes:
        id: Its name.
        folder: Its files.
        summary: What it came to.
        uris: What its nodes wrote: folders, as `Transform.transform_graph`.
    """

    def __init__(
        self,
        config: Config,
        out: Path,
        screen: Screen,
        part: Part = WHOLE,
        page: bool = True,
    ):
        """Makes the run's folder.

        Args:
            config: The experiment.
            out: The folder of all runs.
            screen: Where progress is told.
            part: Of the graph, which is run.
            page: Whether a run of a part gets a page.

        Raises:
            UserError: `out` cannot be written.
        """
        self.config, self.out, self.screen = config, out.resolve(), screen
        self.part, self.page = part, page
        self.start = time.monotonic()
        try:
            self.folder = listing.make_folder(self.out)
            durable.write_file(self.folder / run_summary.RESOLVED, config.to_yaml())
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
        self.id = self.folder.name
        self.summary = run_summary.Summary(self.id, config.gate.auc.threshold)
        self.uris: dict[str, str] = {}
        self._examples, self._images = "", 0  # ExampleGen's folder, and how many it holds

    def __call__(self, data: str | None) -> run_summary.Summary:
        """Runs it.

        Args:
            data: As on the command line.

        Returns:
            The summary, also when the model was refused or a node failed.

        Raises:
            UserError: The data, the weights or the settings cannot be used, or the disk is full.
                The summary is written all the same, if it can be.
        """
        # Who asked for reports wants all of them; else a line now and then will do.
        interval = 0.0 if self.config.train.report_every else 5.0
        node_progress = progress_on(self.screen, interval)
        try:
            with (
                process.told_as_stop(),
                explain_refusals(self.out),
                beam_workers.name_lost_hosts(self.config.beam),
                locks.mark_running(self.folder),
                node_progress,
                output_to(self.folder / run_summary.LOG),
            ):
                self._run(data)
        except Exception as error:
            if self.summary.status == "prepared":
                self.summary.status = "failed"
            if isinstance(error, UserError):
                self.summary.reason = str(error)
                raise
            with (self.folder / run_summary.LOG).open("a", encoding="utf-8") as log:
                log.write(f"{indent_lines(traceback.format_exc())}\n")
            first = (str(error).splitlines() or [""])[0][:500]
            reason = process.lacking(error) or f"{type(error).__name__}: {first}"
            self.summary.reason = reason
        except KeyboardInterrupt as error:
            self.summary.reason = str(error) or "interrupted"
            raise
        finally:
            self.summary.seconds["total"] = round(time.monotonic() - self.start, 2)
            self._write_summary()
        return self.summary

    def _write_summary(self) -> None:
        path, failing = self.folder / run_summary.SUMMARY, sys.exc_info()[0]
        try:
            durable.write_file(path, self.summary.to_json())
        except OSError as error:
            message = f"{path}: cannot be written: {error.strerror}"
            if not failing:
                raise UserError(message) from None
            self.screen.say(message, style="yellow")  # beside what ended the run

    def _run(self, data: str | None) -> None:
        from tfxray.pipeline.runs import store_check

        store_check.check_store(self.out)
        self.screen.say(f"{self.config.name}: {self.folder / run_summary.RESOLVED}")
        if self.config.train.distribution == "multi_worker" and self.part.trains:
            tf_config.as_chief()
        source = inputs.find_data(self.config, data, self.out, self.screen.say)
        sources = external.find_sets(self.config, self.out, self.screen.say)
        listing.write_source(self.folder, source.folder)
        if self.config.beam.elsewhere:
            with self._step("workers") as step:
                read, written = {"--data": source.folder}, {"--out": str(self.out)}
                read |= external.list_folders(sources)
                step.note = beam_workers.find_workers(self.config.beam, read, written)
        ingest = self._ingest(source) if source.kind != "records" else None
        try:
            with self._step("start-up"):
                prepare.check_classes(self.config, str(self.out))
                prepare.check_model(self.config)
                from tfxray.pipeline import pipeline  # a dozen seconds
                from tfxray.pipeline.engines import launch, partial
                from tfxray.pipeline.places import Places, write_schema
                from tfxray.pipeline.runs import lineage

                # A store of another version: told before anything is done.
                store_check.open_store(self.out)
            with self._step("ingest") as step:
                if ingest:
                    data_for_run = prepare.finish_ingest(ingest, self.screen.say)
                    step.note = "cached" if ingest.cached else ""
                else:
                    data_for_run = prepare.prepare_records(
                        source.folder,
                        self.config,
                        self.screen.say,
                        str(self.out),
                        lambda: self._ingest(source),
                    )
                self.summary.examples["rejected"] = data_for_run.rejected
                self.summary.ingest = data_for_run.outcome
                self._images, records = data_for_run.images, data_for_run.records
        finally:
            if ingest:
                ingest.stop()
            if sources:
                with self._step("external"):
                    sets = external.prepare_sets(
                        self.config, sources, str(self.out), self.screen.say, self._ingest_set
                    )
                    records = dataclasses.replace(records, external=sets)
        from tfx.orchestration import metadata

        connection = metadata.sqlite_metadata_connection_config(str(self.out / lineage.DATABASE))
        schema = write_schema(self.config, str(self.out / "schema"))
        places = Places.below(str(self.out), self.config, schema)
        if lost := lineage.skip_taken_ids(connection, places.root):
            self.screen.say(
                f"{self.out / lineage.DATABASE} does not know {lost} of the executions that left "
                f"artifacts in {places.root}. The cache and the baselines lack them",
                style="yellow",
            )
        graph = pipeline.create_pipeline(self.config, records, places, connection)
        ir = launch.compile_run(graph, self.id)
        try:
            for node, role in partial.choose_nodes(ir, self.part):
                self._launch(ir, node, role, connection)
            if self.part:
                self.summary.status = "prepared"
        except DataRejected as error:
            self.summary.status, self.summary.reason = "data_rejected", str(error)
            durable.write_file(self.folder / run_summary.VERDICT, error.verdict)
        finally:
            self._conclude(connection)

    def _ingest(self, source: inputs.Source) -> inputs.Ingest:
        return self._start_ingest(source, self.config, self.folder / run_summary.RESOLVED)

    def _ingest_set(self, name: str, source: inputs.Source, config: Config) -> inputs.Ingest:
        file = self.folder / f"external-{name}.yaml"
        durable.write_file(file, config.to_yaml())
        return self._start_ingest(source, config, file)

    def _start_ingest(self, source: inputs.Source, config: Config, file: Path) -> inputs.Ingest:
        log = self.folder / run_summary.LOG
        ingest = inputs.Ingest(source, config, file, self.out, log, self.screen.say)
        if not ingest.cached and self.part.start not in (None, "ExampleGen"):
            ingest.stop()
            raise self.part.nothing_from("the ingest")
        return ingest

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        """A step on the screen whose time goes into the summary."""
        with self.screen.step(name) as step:
            yield step
        self.summary.seconds[name] = round(step.seconds, 2)

    def _launch(self, ir: Any, node: Any, role: Any, connection: Any) -> None:
        from tfxray.pipeline.engines import launch
        from tfxray.pipeline.engines.partial import Role

        name = node.node_info.id
        with self._step(name) as step, self._watch(name):
            try:
                node_run = launch.run_node(
                    ir, node, connection, only_cached=role is not Role.RUN, say=self.screen.say
                )
            except launch.NotCached:
                if role is Role.TAKE:
                    raise self.part.nothing_from(name) from None
                step.note = "left out"
                return
            if node_run.cached:
                step.note = "cached"
                self.summary.cached.append(name)
            if name == "ExampleGen":
                self._examples = node_run.outputs["examples"].uri

    def _watch(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Tells how far a node is that reads all examples of a split."""
        if name not in watch.SPLITS:
            return contextlib.nullcontext()
        files, share = watch.split_share(self._examples, watch.SPLITS[name])
        return watch.watch_reading(files, round(share * self._images))

    def _conclude(self, connection: Any) -> None:
        """Draws the verdict from the outputs of the nodes, and writes the page."""
        from tfxray.pipeline.runs import lineage

        node_runs = lineage.node_runs(connection, self.config.name, self.id)
        uris = self.uris = run_summary.conclude_run(
            self.summary, node_runs, str(self.folder), self.config
        )
        if self.summary.status == "prepared":
            self.summary.reason = f"only a part was to be run: {self.part}"
        for issue in self.summary.data_issues:
            if issue["action"] != "fail":
                style = "yellow" if issue["action"] == "warn" else None
                self.screen.say(f"  {issue['action']}: {issue['message']}", style=style)
        if "Trainer.model_run" in uris:
            # For `tensorboard --logdir`; a link, since the cache may give several runs the same.
            (self.folder / TENSORBOARD).symlink_to(uris["Trainer.model_run"])
        if self.page or self.summary.status != "prepared":
            with self._step("review"):
                run_summary.try_review(
                    self.summary, self.config, uris, str(self.folder), self.screen.say
                )
