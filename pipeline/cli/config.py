"""The command `tfxray config`: a config with all its defaults, or what all keys mean."""

from typing import Any

import click

from tfxray.components.common.contract import Task
from tfxray.pipeline.cli.options import config_options
from tfxray.pipeline.terminal.lines import echo


@click.command("config")
@config_options(required=False)
@click.option("--reference", is_flag=True, help="Instead: explain all keys, in Markdown.")
def config_command(config: Any, reference: bool) -> None:
    """Check a config; print it with all defaults. Or explain all keys."""
    if reference and config:
        raise click.UsageError("--reference goes without --config: it explains every config's keys")
    if not reference and not config:
        raise click.UsageError("give --config FILE|NAME, or --reference")
    if reference:
        from tfxray.pipeline.config.reference import render_reference

        click.echo(render_reference(), nl=False)
    else:
        echo(describe_task(config.task), err=True)
        click.echo(config.to_yaml(), nl=False)


def describe_task(task: Task) -> str:
    """What a model is asked, in a sentence."""
    names = ", ".join(task.names)
    if task.binary:
        negative, positive = task.names
        return f"task: is an X-ray {positive} (positive) or {negative} (negative)?"
    if task.exclusive:
        return f"task: which one of {len(task.names)} classes is an X-ray? {names}"
    return f"task: which of {len(task.names)} findings, none to all, has an X-ray? {names}"
