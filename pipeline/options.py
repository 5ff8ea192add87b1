"""What the options of several commands have in common."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class _Local(click.Path):
    """A path of this machine: of a URL, a `Path` would make another one."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if "://" in str(value):
            self.fail(f"{value}: must be a path of this machine", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Local(path_type=Path)
# On any file system that Beam, or TensorFlow, knows: `gs://bucket/folder`.
ANYWHERE = click.Path()


class Duration(click.ParamType):
    """A number with its unit, such as `90s`, `45m`, `2h` or `1d`; becomes seconds."""

    name = "duration"
    _SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # noqa: RUF012

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `click.ParamType`."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration; write 90s, 45m, 2h or 1d", param, ctx)
        return float(found[1]) * self._SECONDS[found[2]]


def config_options(required: bool = True, origin: bool = False) -> Callable[[Any], Any]:
    """Gives a command its `config`.

    Args:
        required: Whether the command is refused without `--config`; else it may get `None`.
        origin: Give it `config_path` and `overrides` too.
    """

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def wrapped(config_path: Path | None, overrides: tuple[str, ...], **rest: Any) -> Any:
            from tfxray.pipeline.config_file import load

            if overrides and not config_path:
                raise click.UsageError("--set goes with --config")
            config = load(config_path, overrides) if config_path else None
            if origin:
                rest |= {"config_path": config_path, "overrides": overrides}
            return command(config=config, **rest)

        wrapped = click.option(
            "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a key."
        )(wrapped)
        return click.option(
            "--config", "config_path", type=PATH, required=required,
            help="The experiment's YAML file.",
        )(wrapped)  # fmt: skip

    return decorate
