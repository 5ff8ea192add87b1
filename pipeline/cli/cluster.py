"""The commands for a cluster; `main.py` has all others."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.components.disk import durable
from tfxray.pipeline.cli.options import PATH, Duration, config_options
from tfxray.pipeline.terminal.lines import echo, echo_json

# As of a shell's command that Ctrl-C ends.
_INTERRUPTED = 130


@click.command("compile")
@config_options()
@click.option(
    "--engine",
    type=click.Choice(["kubeflow", "vertex", "jobset", "tfjob"]),
    default="kubeflow",
    show_default=True,
)
@click.option("--output", type=PATH, required=True, help="The package: YAML, or Vertex's JSON.")
def compile_command(config: Any, engine: str, output: Path) -> None:
    """Write the pipeline as a package for Kubeflow Pipelines or Vertex AI, or a run as a JobSet."""
    suffixes = (".json",) if engine == "vertex" else (".yaml", ".yml")
    if output.suffix not in suffixes:
        raise click.UsageError(f"--output must end with {' or '.join(suffixes)}")
    if not output.parent.is_dir():
        raise UserError(f"{output.parent}: no such folder (--output)")
    if output.is_dir():
        raise UserError(f"{output}: is a folder; name a file (--output)")
    from tfxray.pipeline.terminal.screen import output_to

    workers = None
    with output_to(Path(os.devnull)):
        if engine == "vertex":
            from tfxray.pipeline.engines import vertex

            write: Callable[[Any, Path], None] = vertex.write_vertex_package
        elif engine in ("jobset", "tfjob"):
            from tfxray.pipeline.kubeflow import whole_run

            write = whole_run.writer(engine)
        else:
            from tfxray.pipeline.kubeflow import package

            write = package.write_package
            workers = package.write_workers(config, output)
        with explain_refusals(output, "--output"), durable.fresh_file(output) as fresh:
            write(config, fresh)
    echo(output)
    if workers:
        echo(f"{workers}: Trainer's workers; before a run: kubectl apply -f", err=True)


@click.command("submit")
@config_options(required=False)
@click.option("--package", "file", type=PATH, help="A compiled pipeline, instead of --config.")
@click.option(
    "--host", required=True, envvar="KF_PIPELINES_ENDPOINT", show_envvar=True,
    help="The server: https://HOST[:PORT][/PATH].",
)  # fmt: skip
@click.option("--namespace", help="Of Kubernetes, on a server that has several.")
@click.option("--experiment", help="The run's; default: the pipeline's name.")
@click.option("--name", help="The run's; default: the pipeline's, with the time.")
@click.option("--pipeline", help="Its name on the server; default: the config's.")
@click.option("--version", help="The version's name; default: the time and the package's digest.")
@click.option("--data", help="URI of the images or TFRecords; default: the config's.")
@click.option("--root", help="URI for artifacts and pushed models; default: the config's.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter's value.")
@click.option(
    "--token-env", metavar="VAR",
    help="The variable with the bearer token; default: KF_PIPELINES_TOKEN, if set.",
)  # fmt: skip
@click.option("--token-file", type=PATH, help="The file with the bearer token, instead.")
@click.option("--plain-http", is_flag=True, help="Send the token over http, beyond this machine.")
@click.option("--ca", type=PATH, help="Certificates of your own to trust, in PEM.")
@click.option("--cron", help="Run again and again: '0 0 3 * * 1', seconds first.")
@click.option("--wait", is_flag=True, help="Follow the run to its end.")
@click.option("--timeout", type=Duration(), help="With --wait: how long at most, such as 2h.")
@click.option("--json", "as_json", is_flag=True, help="Print ids, URL and status as the last line.")
def submit_command(
    config: Any,
    file: Path | None,
    host: str,
    namespace: str | None,
    experiment: str | None,
    name: str | None,
    pipeline: str | None,
    version: str | None,
    data: str | None,
    root: str | None,
    params: tuple[str, ...],
    token_env: str | None,
    token_file: Path | None,
    plain_http: bool,
    ca: Path | None,
    cron: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run the pipeline on a Kubeflow Pipelines server."""
    _check_usage(config, file, token_env, token_file, cron, wait, timeout)
    from tfxray.pipeline.kubeflow import auth, submit
    from tfxray.pipeline.kubeflow.server import Server

    values = _values(params, data, root)
    cron = submit.check_cron(cron) if cron else None
    token = auth.Token.find(token_env, token_file)
    server = Server(host, token, namespace, ca, plain_http)
    # Before a package is made, which takes its time.
    server.check()
    with _package(config, file) as package:
        pipeline_name = pipeline or (config.name if config else package.name)
        order = submit.Order(
            package,
            package.arguments(values),
            pipeline_name,
            experiment or pipeline_name,
            version,
            name,
            cron,
        )
        submission = submit.submit_package(server, order)
    echo(submission.url, err=as_json)
    if config and config.kubeflow.workers:
        echo(
            "Trainer waits for its workers: kubectl apply what `tfxray compile` writes beside the "
            "package",
            err=True,
        )
    code = _follow(server, submission, package, timeout) if wait else 0
    if as_json:
        echo_json(dataclasses.asdict(submission))
    sys.exit(code)


def _check_usage(
    config: Any,
    file: Path | None,
    token_env: str | None,
    token_file: Path | None,
    cron: str | None,
    wait: bool,
    timeout: float | None,
) -> None:
    if bool(config) == bool(file):
        raise click.UsageError("give --config or --package")
    if token_env and token_file:
        raise click.UsageError("give --token-env or --token-file, not both")
    if cron and wait:
        raise click.UsageError("--wait goes with one run, not with --cron")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")


def _values(params: tuple[str, ...], data: str | None, root: str | None) -> dict[str, str]:
    """The pipeline's parameters as they were given, each once."""
    values = {key: value for key, value in (("data", data), ("root", root)) if value is not None}
    for param in params:
        key, equals, value = param.partition("=")
        if not key or not equals:
            raise UserError(f"--param {param}: write it as --param NAME=VALUE")
        if key in values:
            raise UserError(f"--param {param}: {key} is given twice")
        values[key] = value
    return values


@contextlib.contextmanager
def _package(config: Any, file: Path | None) -> Iterator[Any]:
    """The package: the file, or what the config compiles to."""
    from tfxray.pipeline.kubeflow.package_file import Package

    if file:
        yield Package.read(file)
        return
    from tfxray.pipeline.terminal.screen import output_to

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{config.name}.yaml"
        with output_to(Path(os.devnull)):
            from tfxray.pipeline.kubeflow.package import write_package

            write_package(config, path)
        yield Package.read(path)


def _follow(server: Any, submission: Any, package: Any, timeout: float | None) -> int:
    """Waits for the run's end, tells of it, and returns the exit code."""
    from tfxray.pipeline.kubeflow import submit
    from tfxray.pipeline.terminal.screen import Screen

    screen = Screen()
    hint = f"the run goes on: {submission.url}"
    try:
        submit.wait_for_run(server, submission, package, screen.say, timeout)
    except KeyboardInterrupt:
        screen.say(f"stopped waiting; {hint}")
        return _INTERRUPTED
    except UserError as error:
        screen.say(f"error: {error}; {hint}", style="bold red")
        return 2
    code = submit.EXIT_CODES[submission.status]
    if submission.status == "running":
        screen.say(f"not done within {timeout:g} s; {hint}", style="bold red")
    elif submission.status == "succeeded":
        screen.say(
            f"succeeded; this server does not tell whether a model was pushed: {submission.url}",
            style="bold green",
        )
    else:
        status = submission.status.replace("_", " ")
        screen.say(f"{status}: {submission.url}", style="bold red" if code else "bold green")
    return code
