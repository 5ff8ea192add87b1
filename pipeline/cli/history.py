"""The commands for what earlier runs left; `main.py` has most others."""

import dataclasses
import functools
from pathlib import Path

import click

from tfxray.components.common.errors import explain_refusals
from tfxray.pipeline.cli.options import PATH
from tfxray.pipeline.terminal.lines import echo, echo_json, echo_lines
from tfxray.pipeline.terminal.process import silence_stderr, without_keras

_OUT = click.option("--out", type=PATH, required=True, help="The --out of the runs.")
_MEGABYTE = 1e6


@click.command()
@_OUT
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def runs(out: Path, as_json: bool) -> None:
    """List all runs, the newest last: data, AUC, verdict, and what changed in the config."""
    from tfxray.pipeline.runs import listing

    past = listing.list_runs(out)
    if not as_json:
        echo_lines(listing.format_runs(past))
    for run in past if as_json else ():
        echo_json(dataclasses.asdict(run))


@click.command()
@_OUT
@click.option("--name", help="Of one model; default: all that were pushed.")
@click.option(
    "--rollback", type=click.IntRange(0), metavar="VERSION",
    help="Make a copy of this version the newest one, which a server then serves.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def serving(out: Path, name: str | None, rollback: int | None, as_json: bool) -> None:
    """List the pushed versions, the newest last; or go back to an earlier one."""
    say = functools.partial(echo, err=True)
    with silence_stderr(), without_keras():
        from tfxray.pipeline.runs import serving as pushes
    with explain_refusals(out):
        if rollback is None:
            listed = pushes.list_versions(out, name)
        else:
            listed = [pushes.roll_back(out, rollback, name, say)]
            say(f"version {listed[0].version}, a copy of version {rollback}, is the newest now")
    for version in listed if as_json else ():
        echo_json(dataclasses.asdict(version))
    if not as_json:
        echo_lines(pushes.format_versions(listed) if rollback is None else [listed[0].path])


@click.command()
@_OUT
@click.option("--keep", type=click.IntRange(0), help="How many of the newest runs stay.")
@click.option(
    "--new-store", is_flag=True,
    help="Instead: remove a metadata store that is lost or damaged, and the artifacts beside it.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Tell what would go, and remove nothing.")
def clean(out: Path, keep: int | None, new_store: bool, dry_run: bool) -> None:
    """Remove what old runs left, and nothing that a pushed model or a baseline needs."""
    if (keep is None) != new_store:
        raise click.UsageError("give --keep, or --new-store")
    say = functools.partial(echo, err=True)
    if keep is None:
        from tfxray.pipeline.runs.store_check import plan_new_store

        with plan_new_store(out, say) as beginning:
            for path in beginning.paths:
                echo(f"goes   {path.relative_to(out)}")
            if not dry_run:
                beginning()
        return
    from tfxray.pipeline.runs.clean import plan_removal

    with explain_refusals(out), plan_removal(out, keep, say) as cleaning:
        for run, reason in sorted(cleaning.reasons_to_stay.items()):
            echo(f"stays  {run}  {reason}")
        for removal in cleaning.removals:
            echo(f"goes   {removal.name}  {removal.size / _MEGABYTE:.1f} MB")
        if not dry_run:
            cleaning()
    megabytes = sum(removal.size for removal in cleaning.removals) / _MEGABYTE
    echo(f"{'would free' if dry_run else 'freed'} {megabytes:.1f} MB")
