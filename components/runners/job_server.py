"""Beam's job server, a program of Java's that runs beside Python."""

import shutil

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    SparkRunnerOptions,
)
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.spark_runner import SparkRunner

from tfxray.components.common.errors import UserError


def start(runner: str, options: PipelineOptions) -> None:
    """Starts the job server that all jobs of this process share, if they need one.

    Beam would do so with the first job. It sets a signal's handler then, which only the main thread
    may, and the first job runs in another one.

    Args:
        runner: As `beam_options.runner` names it.
        options: Of the jobs.

    Raises:
        UserError: It does not start, or there is no Java.
    """
    if runner == "flink" and not options.view_as(FlinkRunnerOptions).flink_submit_uber_jar:
        beam_runner = FlinkRunner()
    elif runner == "spark" and not options.view_as(SparkRunnerOptions).spark_submit_uber_jar:
        beam_runner = SparkRunner()
    else:
        return
    java = options.view_as(JobServerOptions).job_server_java_launcher
    if shutil.which(java) is None:
        raise UserError(
            f"{java}: is no program here. Beam's job server for {runner.capitalize()} runs on the "
            "machine that starts the jobs: install Java 11 or 17 there (beam.engine)"
        )
    try:
        beam_runner.default_job_server(options).start()
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"Beam's job server for {runner.capitalize()} does not start: {reason}. Name its jar "
            f"(--{runner}_job_server_jar in beam.options). If it ends at once, `java -jar` and its "
            "name tell why"
        ) from error
