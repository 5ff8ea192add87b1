"""The engine `local`: the pipeline on this machine, node after node, over SQLite."""

import contextlib
import dataclasses
import datetime
import json
import logging
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfxray.components import names, records
from tfxray.components.errors import DataRejected, UserError
from tfxray.pipeline import data as data_source
from tfxray.pipeline.config import Config
from tfxray.pipeline.screen import ProgressHandler, Screen, Step, output_to

SUMMARY = "summary.json"
REVIEW = "review.html"
LOG = "log.txt"
VERDICT = "verdict.json"
RESOLVED = "config.yaml"
TENSORBOARD = "tensorboard"
# In one process, Beam's threads would compete with TensorFlow's.
_BEAM_OPTIONS = ("--direct_num_workers=1", "--direct_running_mode=in_memory")
EXIT_CODES = {"pushed": 0, "prepared": 0, "failed": 1, "not_blessed": 3, "data_rejected": 4}


@dataclasses.dataclass
class Summary:
    """What a run came to; written to `summary.json`.

    Attributes:
        run_id: Its name, and its folder's.
        threshold: The least AUC demanded.
        status: `pushed`, `not_blessed`, `data_rejected` or `failed`; of a run that was to end
            early and did, `prepared`.
        reason: Why it was not pushed.
        auc: On the held-out test split.
        auc_interval: Its 95 % interval, by patient.
        examples: Per split, and `rejected`.
        rules: The gate's, each with figure, limit and verdict; see `gate.Rule`.
        metrics: Figures of `train`, `eval` and `test` at the end of training: AUC and the like.
        findings: What DataGate found wrong with the data; see `data_gate.Finding`.
        pushed_model: The version's folder.
        review: The page.
        seconds: `total`, and per step and node.
        cached: Nodes that took their outputs from an earlier run.
    """

    run_id: str
    threshold: float
    status: str = "failed"
    reason: str | None = None
    auc: float | None = None
    auc_interval: list[float] | None = None
    examples: dict[str, int] = dataclasses.field(default_factory=dict)
    rules: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    metrics: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    findings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    pushed_model: str | None = None
    review: str | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    cached: list[str] = dataclasses.field(default_factory=list)


class Run:
    """One run of the pipeline, from data to verdict.

    Attributes:
        id: Its name.
        folder: Its files.
        summary: What it came to.
        uris: What its nodes wrote: folders, as `Transform.transform_graph`.
    """

    def __init__(self, config: Config, out: Path, screen: Screen, until: str | None = None):
        """Makes the run's folder.

        Args:
            config: The experiment.
            out: The folder of all runs.
            screen: Where progress is told.
            until: The node after which the run ends, and leaves the summary and the page to
                others; None runs all of them.

        Raises:
            UserError: `out` cannot be written.
        """
        self.config, self.out, self.screen, self.until = config, out.resolve(), screen, until
        self.start = time.monotonic()
        now = datetime.datetime.now()
        self.id = now.strftime("%Y%m%d-%H%M%S-") + f"{now.microsecond // 1000:03d}"
        self.folder = self.out / "runs" / self.id
        try:
            self.folder.mkdir(parents=True)
            (self.folder / RESOLVED).write_text(config.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
        self.summary = Summary(self.id, config.gate.auc.threshold)
        self.held_out_patients: int | None = None
        self.uris: dict[str, str] = {}

    def __call__(self, data: Path | None) -> Summary:
        """Runs it.

        Args:
            data: As on the command line.

        Returns:
            The summary, also when the model was refused or a node failed.

        Raises:
            UserError: The data, the weights or the settings cannot be used. The summary is
                written all the same.
        """
        # Who asked for reports wants all of them; else a line now and then will do.
        interval = 0.0 if self.config.train.report_every else 5.0
        handler = ProgressHandler(self.screen, interval)
        progress = logging.getLogger(names.PROGRESS)
        progress.addHandler(handler)
        try:
            with output_to(self.folder / LOG):
                self._run(data)
        except UserError as error:
            self.summary.reason = str(error)
            raise
        except Exception as error:
            with (self.folder / LOG).open("a") as log:
                traceback.print_exc(file=log)
            if self.summary.status == "prepared":
                self.summary.status = "failed"
            first = (str(error).splitlines() or [""])[0][:500]
            self.summary.reason = f"{type(error).__name__}: {first}"
        except KeyboardInterrupt:
            self.summary.reason = "interrupted"
            raise
        finally:
            progress.removeHandler(handler)
            self.summary.seconds["total"] = round(time.monotonic() - self.start, 2)
            if self.summary.status != "prepared":
                text = json.dumps(dataclasses.asdict(self.summary), indent=1)
                (self.folder / SUMMARY).write_text(text, encoding="utf-8")
        return self.summary

    def _run(self, data: Path | None) -> None:
        self.screen.say(f"{self.config.name}: {self.folder / RESOLVED}")
        source = data_source.find(self.config, data, self.out, self.screen.say)
        ingest = None
        if source.kind != "records":
            resolved = self.folder / RESOLVED
            ingest = data_source.Ingest(source, self.config, resolved, self.out, self.folder / LOG)
        try:
            with self._step("start-up"):
                self._check_model()
                from tfxray.pipeline import launch, pipeline  # a dozen seconds
            with self._step("ingest") as step:
                records = self._records(source, ingest, pipeline)
                if ingest and ingest.cached:
                    step.note = "cached"
        finally:
            if ingest:
                ingest.stop()
        from tfx.orchestration import metadata

        connection = metadata.sqlite_metadata_connection_config(str(self.out / "metadata.db"))
        places = pipeline.Places(
            root=str(self.out / "artifacts"),
            serving=str(self.out / "serving" / self.config.model_name),
            schema=str(pipeline.write_schema(self.config, self.out / "schema")),
            state=str(self.out / "state"),
        )
        graph = pipeline.create_pipeline(self.config, records, places, connection, _BEAM_OPTIONS)
        ir = launch.compile_run(graph, self.id)
        try:
            for node in launch.nodes(ir):
                self._launch(launch, ir, node, connection)
                if node.node_info.id == self.until:
                    self.summary.status = "prepared"
                    break
        except DataRejected as error:
            self.summary.status, self.summary.reason = "data_rejected", str(error)
            (self.folder / VERDICT).write_text(error.verdict, encoding="utf-8")
        finally:
            self._conclude(connection)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        """A step on the screen whose time goes into the summary."""
        with self.screen.step(name) as step:
            yield step
        self.summary.seconds[name] = round(step.seconds, 2)

    def _check_model(self) -> None:
        """Builds the network, so that what is wrong with it is known before data is processed."""
        from tfxray.components import devices, models

        model, train = self.config.model, self.config.train
        devices.prepare(train.replicas, train.batch_size)
        spec = models.BackboneSpec(
            model.backbone, model.image_size, model.weights, model.arguments, model.pooling
        )
        if train.mode == "fine_tune":
            whole = models.classifier(spec, models.HeadSpec(**model.head.model_dump()))
            models.unfreeze(whole, train.unfreeze, True)
        else:
            models.backbone(spec)

    def _records(
        self, source: data_source.Source, ingest: data_source.Ingest | None, pipeline: Any
    ) -> Any:
        if ingest:
            report = ingest.wait()
            self.summary.examples["rejected"] = rejected = int(str(report["rejected"]))
            if rejected:
                self.screen.say(
                    f"  {rejected} of {report['images']} rejected: {ingest.folder / names.REJECTS}"
                )
            if not report["patients_known"]:
                self.screen.say(
                    "  some images name no patient, and count as a patient each: a patient may "
                    "then be in two splits (ingest.pattern or a manifest tells patients)",
                    style="yellow",
                )
            layout = records.find(ingest.folder)
            return pipeline.Records(str(layout.base), layout.globs, report=report)
        layout = records.find(source.folder.resolve(), self.config.split.ignore_given)
        from tfxray.components import scan

        found = scan.scan(layout, self.config.classes)
        self.summary.examples["rejected"] = 0
        if found.group != names.PATIENT:
            by = found.group or "record"
            self.screen.say(
                f"  the records name no patient ({names.PATIENT}): split by {by}; a patient may "
                "then be in two splits",
                style="yellow",
            )
        return pipeline.Records(str(layout.base), layout.globs, found.group)

    def _launch(self, launch: Any, ir: Any, node: Any, connection: Any) -> None:
        from tfxray.pipeline import history

        name = node.node_info.id
        if name == "Pusher":
            done = history.node_runs(connection, self.config.name, self.id)
            places = history.pushed_to(connection, done["Trainer"].outputs["model"].id)
            if places and not Path(places[-1]).exists():
                # Somebody removed it. From the cache, nothing would stand where it is said to.
                node.execution_options.caching_options.enable_cache = False
        with self._step(name) as step:
            launch.launch(ir, node)
            state = history.node_runs(connection, self.config.name, self.id).get(name)
            if state is None or state.state not in ("COMPLETE", "CACHED"):
                # TFX's launcher notes a node whose inputs are missing as failed, and goes on.
                raise RuntimeError(f"{name} did not run: its inputs could not be resolved")
            if state.cached:
                step.note = "cached"
                self.summary.cached.append(name)

    def _conclude(self, connection: Any) -> None:
        """Draws the verdict from what the nodes wrote, and writes the page."""
        from tfxray.components import judgement, review
        from tfxray.components.trainer import METRICS
        from tfxray.pipeline import history

        done = history.node_runs(connection, self.config.name, self.id)
        uris = self.uris = history.uris(done)
        summary = self.summary
        found = (
            judgement.judgement(uris["Evaluator.evaluation"])
            if "Evaluator.evaluation" in uris
            else None
        )
        if "StatisticsGen.statistics" in uris:
            for split, count in judgement.counts(uris["StatisticsGen.statistics"]).items():
                summary.examples[split] = count.images
                if split == "test":
                    self.held_out_patients = count.patients
        summary.metrics = judgement.written(uris, METRICS)
        summary.rules = found.rules if found else []
        if found and found.of_test:
            summary.metrics["test"] = found.of_test
        if found and found.auc:
            summary.auc = found.auc.value
            if found.auc.low is not None and found.auc.high is not None:
                summary.auc_interval = [found.auc.low, found.auc.high]
        pushed = done["Pusher"].outputs.get("pushed_model") if "Pusher" in done else None
        if pushed and pushed.properties.get("pushed") == 1:
            summary.status = "pushed"
            summary.pushed_model = str(pushed.properties["pushed_destination"])
        elif pushed and found:
            summary.status = "not_blessed"
            summary.reason = "; ".join(found.reasons)
        if "DataGate.verdict" in uris:
            shutil.copy(Path(uris["DataGate.verdict"]) / VERDICT, self.folder / VERDICT)
        if (self.folder / VERDICT).is_file():
            summary.findings = json.loads((self.folder / VERDICT).read_text(encoding="utf-8"))
            for finding in summary.findings:
                if finding["action"] != "fail":
                    style = "yellow" if finding["action"] == "warn" else None
                    self.screen.say(f"  {finding['action']}: {finding['message']}", style=style)
        if "Trainer.model_run" in uris:
            # For `tensorboard --logdir`; a link, since the cache may give several runs the same.
            (self.folder / TENSORBOARD).symlink_to(uris["Trainer.model_run"])
        if summary.status == "prepared":
            return
        with self._step("review"):
            summary.review = str(self.folder / REVIEW)
            review.write(
                self.folder / REVIEW, dataclasses.asdict(summary), self.config.to_yaml(), uris
            )


def latest(out: Path) -> Path:
    """The folder of the latest run that has a summary.

    Raises:
        UserError: There is none.
    """
    found = sorted(path.parent for path in out.glob(f"runs/*/{SUMMARY}"))
    if not found:
        raise UserError(f"{out}: holds no run of tfxray (--out)")
    return found[-1]


def artifacts(out: Path, folder: Path) -> tuple[Config, dict[str, str]]:
    """What a run was configured with, and what its finished nodes wrote.

    Args:
        out: The `--out` of the run.
        folder: The run's folder.

    Returns:
        The config, and the artifacts' folders as `StatisticsGen.statistics`; none where the run
        stopped before its first node.

    Raises:
        UserError: The run's config cannot be read.
    """
    from tfx.orchestration import metadata

    from tfxray.pipeline import history
    from tfxray.pipeline.config_file import load

    config = load(folder / RESOLVED)
    database = out / "metadata.db"
    if not database.is_file():  # connecting would make one
        return config, {}
    connection = metadata.sqlite_metadata_connection_config(str(database))
    return config, history.uris(history.node_runs(connection, config.name, folder.name))


def write_review(out: Path, folder: Path) -> Path:
    """Writes a run's page again, from the metadata store and the run's files.

    Args:
        out: The `--out` of the run.
        folder: The run's folder.

    Returns:
        The page.
    """
    from tfxray.components import review

    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    config, uris = artifacts(out, folder)
    review.write(folder / REVIEW, summary, config.to_yaml(), uris)
    return folder / REVIEW
