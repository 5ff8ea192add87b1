"""What commands have in common: their options, and how each ends."""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfxray.components.common import filesystem
from tfxray.components.common.errors import HostLost, UserError, did_you_mean
from tfxray.components.text import escape
from tfxray.pipeline.config import base
from tfxray.pipeline.terminal import process
from tfxray.pipeline.terminal.lines import echo, echo_lines, error_lines


class _Local(click.Path):
    """A path of this machine: of a URL, a `Path` would make another one."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if filesystem.is_s3(str(value)):
            self.fail(
                f"{value}: must be a path of this machine: TensorFlow writes nothing to s3://. "
                "Mount the bucket, and name a folder of the mount: docs/reference/storage.md",
                param, ctx,
            )  # fmt: skip
        if "://" in str(value):
            self.fail(f"{value}: must be a path of this machine", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Local(path_type=Path)
# On any file system that Beam, or TensorFlow, knows: `gs://bucket/folder`.
ANYWHERE = click.Path()


class _Config(_Local):
    """A config's file; or, where there is no such file, the name of one that comes with tfxray."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = super().convert(value, param, ctx)
        # A folder is no config: `--config demo` may stand beside `--out demo`.
        if os.path.exists(path) and not os.path.isdir(path):
            return path
        from tfxray import configs

        files = {file.stem: file for file in sorted(Path(configs.__path__[0]).glob("*.yaml"))}
        if str(value) not in files:
            self.fail(
                f"{value}: no such file, and no config of this name comes with tfxray"
                f"{did_you_mean(str(value), files)}; there are: {', '.join(files)}. "
                "`tfxray init FOLDER` writes a config for a folder of X-rays", param, ctx,
            )  # fmt: skip
        return files[str(value)]


CONFIG = _Config(path_type=Path)


class Duration(click.ParamType):
    """A number with its unit, such as `90s`, `45m`, `2h` or `1d`; becomes seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `click.ParamType`."""
        try:
            return base.parse_seconds(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def config_options(required: bool = True, origin: bool = False) -> Callable[[Any], Any]:
    """Gives a command its `config`.

    Args:
        required: Whether the command is refused without `--config`; else it may get `None`.
        origin: Give it `config_path` and `overrides` too.
    """

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def wrapper(config_path: Path | None, overrides: tuple[str, ...], **rest: Any) -> Any:
            if overrides and not config_path:
                raise click.UsageError("--set goes with --config")
            config = None
            if config_path:
                from tfxray.pipeline.config.loader import load_config

                config = load_config(config_path, overrides)
            if origin:
                rest |= {"config_path": config_path, "overrides": overrides}
            return command(config=config, **rest)

        wrapper = click.option(
            "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a key."
        )(wrapper)
        return click.option(
            "--config", "config_path", type=CONFIG, required=required, metavar="FILE|NAME",
            help="The experiment's YAML file, or the name of a config that comes with tfxray.",
        )(wrapper)  # fmt: skip

    return decorate


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
            remedy = describe_remedy(error)
            error.message = escape.for_screen(error.message + remedy)  # type: ignore[misc]
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


# What to do where an option is missing, by its parameter.
_MISSING = {
    "config_path": "`tfxray init FOLDER` writes a config for a folder of X-rays",
    "model": "It is the --out of a run that pushed a model: `tfxray run` makes one",
}


def describe_remedy(error: click.ClickException) -> str:
    """What a user may have meant by a value that is none of an option's; or what to give it.

    Click itself says what is meant by wrong commands and options.
    """
    if not isinstance(error, click.BadParameter) or error.param is None:
        return ""
    if isinstance(error, click.MissingParameter):
        return _MISSING.get(error.param.name or "", "")
    kind = error.param.type
    wrong = re.match(r"'(.*?)' is not one of ", error.message)
    if not isinstance(kind, click.Choice) or not wrong:
        return ""
    return did_you_mean(wrong[1], map(str, kind.choices))
