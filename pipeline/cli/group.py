"""How every command ends: its errors in a line each, and its exit code."""

from typing import Any

import click

from tfxray.components.common.errors import UserError
from tfxray.pipeline.terminal import process


class Group(click.Group):
    """Tells in one line what a user can mend, and what ended a command, with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group`."""
        try:
            with process.stoppable():
                return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)
        except process.Stopped as stopped:
            click.echo(str(stopped), err=True)
            ctx.exit(stopped.code)
        except Exception as error:
            if (reason := process.lacking(error)) is None:
                raise
            click.echo(f"failed: {reason}", err=True)
            ctx.exit(1)
