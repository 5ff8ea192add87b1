"""`tfxray tune`: the pipeline as far as Transform, a search on its embeddings, a better config."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tfxray.components.common import code_digest
from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.components.tuner.spaces import Space, as_json
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.loader import read_keys, set_key, validate_keys
from tfxray.pipeline.config.nodes import Part
from tfxray.pipeline.config.tune import Range
from tfxray.pipeline.engines import local
from tfxray.pipeline.runs import run_summary
from tfxray.pipeline.terminal.screen import Screen, output_to

if TYPE_CHECKING:
    from tfxray.components.tuner.search import Trial

_TABLE_TRIALS = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigSource:
    """The config as its author wrote it.

    Attributes:
        file: The YAML file.
        overrides: Of the command line, `a.b=value` each.
    """

    file: Path
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    Attributes:
        trials: From the best on; those that failed are left out.
        trial_count: How many there were, with those that failed.
        monitor: The metric that ranks them.
        images: How many the validation split has, which gives the metric.
        folder: Of the search.
    """

    trials: list["Trial"]
    trial_count: int
    monitor: str
    images: int
    folder: Path

    @property
    def table(self) -> str:
        """The best trials, a line each."""
        keys = list(self.trials[0].settings)
        rows = [["trial", self.monitor, *(key.rpartition(".")[2] for key in keys)]]
        for trial in self.trials[:_TABLE_TRIALS]:
            values = [_short(trial.settings[key]) for key in keys]
            rows.append([str(trial.number), f"{trial.figure:.4f}", *values])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    @property
    def verdict(self) -> str:
        """Whether the search found better than there was."""
        basis = f"on {self.images} validation images"
        first = self.trials[0]
        baseline = next((trial for trial in self.trials if trial.number == 0), None)
        figure = f"{self.monitor} {first.figure:.4f}"
        if baseline is None:
            return f"{figure} {basis}; the config as it stands (trial 0) could not be trained"
        if first is baseline:
            return f"nothing beat the config as it stands: {figure} {basis}"
        return (
            f"tuning beat the config as it stands: {figure} against {baseline.figure:.4f} {basis}"
        )


def read_spaces(config: Config) -> list[Space]:
    """What the config's ranges stand for, each of their ends and choices tried on the config.

    Raises:
        UserError: The config cannot be tuned, or a range holds what its key may not be.
    """
    if config.train.mode != "frozen":
        raise UserError(
            f"train.mode = {config.train.mode!r}: tune trains heads on embeddings, which only "
            "mode frozen has; tune it in that mode, or set train by hand"
        )
    return [_space(config, key, range_) for key, range_ in config.tune.ranges.items()]


def with_values(config: Config, values: Mapping[str, Any], origin: str) -> Config:
    """The config with other values.

    Args:
        config: Stays as it is.
        values: By key.
        origin: Put before what is wrong.

    Raises:
        UserError: It may not have them.
    """
    raw = config.model_dump(mode="json", by_alias=True)
    for key, value in values.items():
        set_key(raw, key, value)
    return validate_keys(raw, origin)


def _space(config: Config, key: str, range_: Range) -> Space:
    def config_value(value: Any) -> Any:
        """The value as the config has it: a number for a YAML text such as 1e-4."""
        return _value(with_values(config, {key: value}, f"tune.ranges.{key}"), key)

    own = _value(config, key)
    if range_.choices is not None:
        return Space(key, own, tuple(as_json(config_value(choice)) for choice in range_.choices))
    least, most = config_value(range_.min), config_value(range_.max)
    if isinstance(least, bool) or not isinstance(least, int | float):
        raise UserError(f"tune.ranges.{key}: takes no numbers; give a list of choices")
    whole = isinstance(least, int)
    if whole and range_.step is not None and range_.step != int(range_.step):
        raise UserError(f"tune.ranges.{key}.step = {range_.step}: {key} takes whole numbers")
    step = int(range_.step) if whole and range_.step is not None else range_.step
    return Space(key, own, (), least, most, range_.log, step, whole)


def _value(config: Config, key: str) -> Any:
    value = config.model_dump(mode="json", by_alias=True)
    for part in key.split("."):
        value = value[part]
    return value


def run_to_transform(config: Config, data: str | None, out: Path, screen: Screen) -> local.Run:
    """Runs the pipeline up to the embeddings, from the cache where nothing has changed.

    Returns:
        The run; its summary's status says whether the data was refused.

    Raises:
        UserError: See `local.Run`.
    """
    run = local.Run(config, out, screen, Part(end="Transform"), page=False)
    run(data)
    return run


def run_search(config: Config, keys: list[Space], run: local.Run, screen: Screen) -> SearchResult:
    """Searches on the embeddings of a run.

    Args:
        config: The experiment.
        keys: See `read_spaces`.
        run: See `run_to_transform`.
        screen: Told of every trial.

    Raises:
        UserError: See `search.search_settings`; or all trials failed.
    """
    with output_to(run.folder / run_summary.LOG), screen.step("search"):
        try:
            return _search(config, keys, run, screen)
        except UserError:
            raise
        except Exception:
            log.exception("the search failed")
            raise


def _search(config: Config, keys: list[Space], run: local.Run, screen: Screen) -> SearchResult:
    import tensorflow_transform as tft

    from tfxray.components.trainer import training
    from tfxray.components.tuner import search
    from tfxray.pipeline import node_settings

    plan, uris = config.tune, run.uris
    graph, examples = uris["Transform.transform_graph"], uris["Transform.transformed_examples"]
    settings = node_settings.trainer_settings(config, None)

    def resolve(values: Mapping[str, Any]) -> dict[str, object]:
        new_config = with_values(config, values, "these settings do not go together")
        sections = {
            "train": new_config.train.model_dump(),
            "head": node_settings.head_settings(new_config),
        }
        return settings | sections

    def tell(trial: search.Trial) -> None:
        figure = f"{plan.monitor} {trial.figure:.4f}" if trial.reason is None else trial.reason
        values = "  ".join(f"{k.rpartition('.')[2]} {_short(v)}" for k, v in trial.settings.items())
        as_it_stands = "  (the config as it stands)" if trial.number == 0 else ""
        screen.say(f"    trial {trial.number} of {plan.trials}: {figure}  {values}{as_it_stands}")

    splits = training.find_examples(
        settings,
        tft.TFTransformOutput(graph),
        [f"{examples}/Split-train/*"],
        [f"{examples}/Split-eval/*"],
    )
    # Not by their paths alone: a store that was made anew counts from one again.
    files = [(str(path), path.stat()) for path in sorted(Path(examples).rglob("*.gz"))]
    stamps = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    code = code_digest.digest(search.__name__)
    identity = [settings, code, stamps, plan.model_dump(mode="json", exclude={"trials"})]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = run.out / "tune" / digest
    trials = search.search_settings(
        keys,
        search.Plan(plan.trials, plan.method, plan.monitor, plan.seed),
        search.Bench(resolve, splits, config.task, tell),
        folder,
    )
    best = search.rank_trials(trials, plan.monitor)
    if not best:
        raise UserError(f"all {len(trials)} trials failed: {trials[0].reason}")
    return SearchResult(best, len(trials), plan.monitor, len(splits.validation), folder)


def check_target(source: ConfigSource, write: Path | None) -> None:
    """Sees that the result can be written, before anything is computed.

    Raises:
        UserError: It cannot.
    """
    if write is None:
        return
    if write.resolve() == source.file.resolve():
        raise UserError(f"{write}: is the config itself, whose comments would be lost (--write)")
    if write.is_dir() or not write.parent.is_dir():
        raise UserError(f"{write}: must be a file in a folder that is there (--write)")


def write_config(source: ConfigSource, result: SearchResult, target: Path, rest: str) -> None:
    """Writes the author's config with the best trial's values.

    Args:
        source: The config.
        result: The search.
        target: The file.
        rest: Of the command that runs it, what follows `--config FILE`.

    Raises:
        UserError: The file cannot be written.
    """
    raw = read_keys(source.file, source.overrides)
    for key, value in result.trials[0].settings.items():
        set_key(raw, key, value)
    header = [
        f"Found by `tfxray tune` from {source.file.name}: trial {result.trials[0].number} of "
        f"{result.trial_count};",
        f"{result.verdict}.",
        "",
        f"Command:   tfxray run --config {target} {rest}",
    ]
    lines = "".join(f"# {line}".rstrip() + "\n" for line in header)
    body = yaml.safe_dump(raw, sort_keys=False, default_flow_style=None, allow_unicode=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        durable.write_file(target, lines + body)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror} (--write)") from None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_json(value).strip('"')
