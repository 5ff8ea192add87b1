"""How every command ends: its errors in a line each, and its exit code."""

from typing import Any

import click

from tfxray.components.common.errors import HostLost, UserError
from tfxray.components.text import escape
from tfxray.pipeline.terminal import process
from tfxray.pipeline.terminal.lines import echo, echo_lines, error_lines


class Group(click.Group):
    """Tells in one line what a user can mend, and what ended a command, with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group`."""
        try:
            with process.stoppable():
                return super().invoke(ctx)
        except UserError as error:
            echo_lines(error_lines(error), err=True)
            ctx.exit(2)
        except click.ClickException as error:  # quotes arguments, which may be names of files
            error.message = escape.for_screen(error.message)  # type: ignore[misc]
            raise
        except process.Stopped as stopped:
            echo(stopped, err=True)
            ctx.exit(stopped.code)
        except HostLost as error:
            echo(f"failed: {error}", err=True)
            ctx.exit(1)
        except Exception as error:
            if (reason := process.lacking(error)) is None:
                raise
            echo(f"failed: {reason}", err=True)
            ctx.exit(1)
