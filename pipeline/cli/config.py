"""The command `tfxray config`: a config with all its defaults, or what all keys mean."""

from typing import Any

import click

from tfxray.pipeline.cli.options import config_options


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
        click.echo(config.to_yaml(), nl=False)
