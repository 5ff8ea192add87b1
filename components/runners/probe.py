"""Sees that Beam jobs can run elsewhere, before the first of them is started.

A cluster that is not there, workers without tfxray, a folder that they cannot see: each would end
the first job, after minutes, by a traceback from another machine. A small job finds them first.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import inspect
import os
import re
import secrets
import socket
import sys
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import version as beam_version
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)
from apache_beam.transforms import environments

from tfxray.components.common import (
    beam_options,
    code_digest,
    filesystem,
    isolation,
    progress,
)
from tfxray.components.common.errors import UserError
from tfxray.components.runners import flink, job_server, spark, worker_check

# What workers run of tfxray's: the jobs' modules, by their names, since to import them takes long.
_ENTRIES = tuple(
    f"tfxray.components.{module}"
    for module in (
        "ingest.job", "ingest.record_scan", "example_gen.executor", "validation.data_gate",
        "transform.executor", "transform.preprocessing", "evaluator.component", "predict.batch_job",
        "external.component",
    )
)  # fmt: skip
_CLUSTERS = ("flink", "spark", "portable")
_ELEMENTS = 64  # so that each of some dozen workers gets one
# Seconds for the small job. A pool's workers start at once; an image may have to be fetched first.
_PATIENCE, _PATIENCE_WITH_IMAGE = 180, 900
_APPEARING = 60.0  # seconds until a network's file system shows what another machine wrote
_CONNECTING = 10.0


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder that workers must see.

    Attributes:
        path: The folder, or one that is to be made.
        option: How the user named it, such as `--data`.
        written: Whether workers write into it.
    """

    path: str
    option: str
    written: bool = False


def check_workers(options: Sequence[str], folders: Sequence[Folder]) -> list[str]:
    """Sees that jobs can run where the options say, if that is not this machine.

    Args:
        options: As on Beam's command line.
        folders: What the jobs read and write.

    Returns:
        The names of the hosts whose workers took part in the small job; none if the jobs run here.

    Raises:
        UserError: They cannot; names the host and the remedy.
    """
    if not options:
        return []
    name = f"tfxray-probe-{secrets.token_hex(4)}"
    arguments = beam_options.complete(options)
    pipeline_options = beam_options.parse([*arguments, f"--job_name={name}"])
    runner = beam_options.runner(pipeline_options)
    if runner == "dataflow":
        _require_buckets(folders)
    if runner not in _CLUSTERS:
        return []
    cluster = _find_cluster(runner, pipeline_options)
    if not pipeline_options.view_as(PortableOptions).job_endpoint:
        job_server.start(runner, pipeline_options)
    with contextlib.ExitStack() as held:
        wanted = _wanted([held.enter_context(_shown(folder, name)) for folder in folders])
        _run(pipeline_options, wanted, name, cluster)
        return _read_answers(wanted)


def _require_buckets(folders: Sequence[Folder]) -> None:
    """Sees that Dataflow can reach the folders. To try it would take a machine, and minutes."""
    for folder in folders:
        if not folder.path.startswith("gs://"):
            raise UserError(
                f"{folder.path}: Dataflow's workers see gs:// alone. Name a folder there "
                f"({folder.option})"
            )


def _find_cluster(runner: str, options: PipelineOptions) -> flink.Cluster | None:
    """Sees that the cluster is there; returns Flink's, which tells more than that."""
    if endpoint := options.view_as(PortableOptions).job_endpoint:
        _connect(endpoint, "job server")
    elif runner == "flink":
        settings = options.view_as(FlinkRunnerOptions)
        if settings.flink_master.startswith("["):  # Beam starts one here
            return None
        cluster = flink.Cluster(settings.flink_master)
        versions = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
        cluster.check(versions, settings.parallelism, settings.flink_job_server_jar)
        return cluster
    elif runner == "spark":
        master = options.view_as(SparkRunnerOptions).spark_master_url
        if master.startswith("spark://"):
            _connect(master.removeprefix("spark://"), "Spark master")
            spark.check(master)
    return None


def _connect(address: str, what: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECTING).close()
    except ValueError:
        raise UserError(f"{address}: is no address; write host:port (beam.master)") from None
    except OSError as error:
        raise UserError(
            f"{address}: no {what} answers there ({error.strerror or error}). Start it, or name "
            "another (beam.master)"
        ) from None


@contextlib.contextmanager
def _shown(folder: Folder, name: str) -> Iterator[dict[str, Any]]:
    """What a worker is to find in a folder; where it may write, a file made for that."""
    path, answers = filesystem.full_path(folder.path), ""
    if folder.written:
        token = secrets.token_hex()
        answers, file = f".{name}", f".{name}.token"
        try:
            if filesystem.is_local(path):
                os.makedirs(os.path.join(path, answers), exist_ok=True)
            filesystem.write_file(os.path.join(path, file), token.encode())
        except OSError as error:
            raise UserError(
                f"{folder.path}: cannot be written: {error.strerror} ({folder.option})"
            ) from None
    else:
        file = _any_file(path)
    try:
        yield {
            "path": path, "option": folder.option, "file": file, "answers": answers,
            "digest": _digest_start(folder, file),
        }  # fmt: skip
    finally:
        if answers:
            filesystem.remove_folder(os.path.join(path, answers))
            filesystem.remove_files(path, [file])


def _digest_start(folder: Folder, file: str) -> str:
    try:
        with filesystem.open_file(os.path.join(filesystem.full_path(folder.path), file)) as content:
            return hashlib.sha256(content.read(worker_check.START)).hexdigest()
    except OSError as error:
        raise UserError(
            f"{folder.path}: a file there cannot be read: {error.strerror} ({folder.option})"
        ) from None


def _any_file(folder: str) -> str:
    """A file below a folder; it must have one."""
    if not filesystem.is_local(folder):
        return filesystem.list_files(folder, limit=1)[0].name
    for parent, _, names in os.walk(folder):
        if names:
            return os.path.relpath(os.path.join(parent, min(names)), folder)
    raise UserError(f"{folder}: holds no file")


def _wanted(folders: list[dict[str, Any]]) -> dict[str, Any]:
    """What `worker_check` compares with."""
    return {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "beam": beam_version.__version__,
        "tfxray": importlib.metadata.version(code_digest.OWN),
        "entries": _ENTRIES,
        "sources": code_digest.source_digests(*_ENTRIES),
        "libraries": code_digest.libraries(*_ENTRIES),
        "folders": folders,
        "elements": _ELEMENTS,
    }


class _Sent(beam.DoFn):
    """A function of `worker_check`'s. What is sent of it is text, which any Python can read."""

    def __init__(self, name: str, wanted: dict[str, Any]):
        source = inspect.getsource(worker_check)
        self._made_by = (
            f"(lambda module: (exec(compile({source!r}, 'worker_check.py', 'exec'), module), "
            f"module[{name!r}]({wanted!r}))[1])({{'__name__': 'worker_check'}})"
        )

    def process(self, element: Any) -> Iterator[Any]:
        """Never called: a worker has what the text makes in its place."""
        yield element

    def __reduce__(self) -> Any:
        return eval, (self._made_by,)


class _Open(beam.Pipeline):
    """A pipeline that any worker takes on: Beam's own look at versions names no host."""

    def to_runner_api(self, *arguments: Any, **settings: Any) -> Any:
        """See `beam.Pipeline`."""
        result = super().to_runner_api(*arguments, **settings)
        pipeline = result[0] if isinstance(result, tuple) else result
        for environment in pipeline.components.environments.values():
            kept = [
                capability
                for capability in environment.capabilities
                if not capability.startswith(environments.SDK_VERSION_CAPABILITY_PREFIX)
            ]
            environment.capabilities[:] = kept
        return result


def _run(
    options: PipelineOptions, wanted: dict[str, Any], name: str, cluster: flink.Cluster | None
) -> None:
    """Runs the small job, within bounded time.

    Raises:
        UserError: It failed, or did not end.
    """
    portable = options.view_as(PortableOptions)
    in_pool = portable.environment_type == "EXTERNAL"
    patience = _PATIENCE if in_pool else _PATIENCE_WITH_IMAGE
    where = portable.environment_config or "Beam's own image"
    outcome: dict[str, Any] = {}
    # A job that nobody takes on would never return.
    thread = threading.Thread(target=_submit, args=(options, wanted, outcome), daemon=True)
    with isolation.apart():
        thread.start()
        thread.join(patience)
    if thread.is_alive():
        with contextlib.suppress(Exception):  # it would keep what others need
            if cluster:  # Beam asks at an address that Flink does not have
                cluster.cancel(name)
            else:
                outcome["result"].cancel()
        raise UserError(
            f"{where}: no worker did a small job within {patience} s. Look at the cluster, and at "
            f"what its workers print: {'the worker pool' if in_pool else 'the image'} may not "
            "start them, or they may not reach the cluster by its name (beam.workers)"
        )
    if error := outcome.get("error"):
        progress.log.info("the small job failed: %s", error)
        raise UserError(_describe(str(error), where)) from None


def _submit(options: PipelineOptions, wanted: dict[str, Any], outcome: dict[str, Any]) -> None:
    try:
        pipeline = _Open(options=options)
        dealt = (
            pipeline
            | "Begin" >> beam.Impulse()
            | "Deal" >> beam.ParDo(_Sent("Deal", wanted)).with_output_types(tuple[int, bytes])
        )
        # Keys go to all workers. Beam's own way to deal sends functions, which only the same Python
        # can read.
        shared = dealt | "Share" >> beam.GroupByKey()
        _ = shared | "Check" >> beam.ParDo(_Sent("Check", wanted)).with_output_types(Any)
        outcome["result"] = pipeline.run()
        outcome["result"].wait_until_finish()
    except BaseException as error:  # of any runner
        outcome["error"] = error


def _describe(text: str, where: str) -> str:
    """One line of what a failed job told."""
    told = re.search(rf"{worker_check.MARK}([\w=-]+)\.", text)
    if told:
        return urlsafe_b64decode(told[1]).decode()
    if "UNAVAILABLE" in text or "Connection refused" in text:
        return (
            f"{where}: no worker pool answers there, as the cluster sees it. Start one beside each "
            "of its task managers or workers: python -m "
            "apache_beam.runners.worker.worker_pool_main --service_port=50000 (beam.workers)"
        )
    if "stopped SparkContext" in text:
        return (
            "the Spark cluster gave up a small job: its executors do not start, or do not reach "
            "this machine. Look at what Spark's workers print. Name this machine as they reach it: "
            "--job_server_jvm_properties=-Dspark.driver.host=ADDRESS (beam.options)"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"a small job on the cluster failed: {(lines or ['for no reason told'])[-1][:300]}"


def _read_answers(wanted: dict[str, Any]) -> list[str]:
    """The hosts that wrote into a folder, as soon as one can be seen."""
    hosts: set[str] = set()
    for folder in wanted["folders"]:
        if not folder["answers"]:
            continue
        place, end = os.path.join(folder["path"], folder["answers"]), time.monotonic() + _APPEARING
        while not (names := filesystem.list_names(place)):
            if time.monotonic() > end:
                raise UserError(
                    f"{folder['path']}: what workers wrote does not appear here. They and this "
                    f"machine must see one and the same folder ({folder['option']})"
                )
            time.sleep(1)
        hosts |= {name.rpartition("-")[0] for name in names}
    return sorted(hosts)
