"""The command line. What needs TensorFlow or TFX is imported inside the command that uses it."""

if __name__ == "__main__":  # by `python -m`, which looks for modules in the working folder first
    from tfxray.components.common import isolation

    isolation.shut_out()

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import click

from tfxray.components.common import filenames
from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.components.text import escape
from tfxray.pipeline.cli.cluster import compile_command, submit_command
from tfxray.pipeline.cli.config import config_command, init_command
from tfxray.pipeline.cli.datasets import datasets_command
from tfxray.pipeline.cli.history import clean, runs, serving
from tfxray.pipeline.cli.monitor import monitor_command
from tfxray.pipeline.cli.options import ANYWHERE, PATH, Group, config_options
from tfxray.pipeline.cli.predict import explain, predict_command
from tfxray.pipeline.config.nodes import NODES, Part
from tfxray.pipeline.terminal import process
from tfxray.pipeline.terminal.lines import echo, echo_json, echo_lines

EPILOG = (
    "Exit codes: 0 pushed or done, 1 failure, 2 bad usage, config or input, "
    "3 not blessed or below the gate, 4 data refused or drifted."
)
NODE = click.Choice(NODES)


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tfxray")
def main() -> None:
    """Trains, judges and ships chest X-ray classifiers: a TFX pipeline."""


@main.command()
@click.option("--out", type=PATH, required=True, help="Folder for the images and manifest.csv.")
@click.option("--images", default=1200, show_default=True, type=click.IntRange(2))
@click.option(
    "--size", default=160, show_default=True, type=click.IntRange(64, 1024), help="Pixels."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--findings", is_flag=True, help="Several findings in each, a column of each.")
def sample(out: Path, images: int, size: int, seed: int, findings: bool) -> None:
    """Draw a labelled set of chest X-rays, with patients, ages, views and sites."""
    from tfxray.components.sample import draw, several

    try:
        with explain_refusals(out):
            write = several.write_findings if findings else draw.write_sample
            patients = write(out, images, size, seed)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror} (--out)") from None
    echo(f"{images} X-rays of {patients} patients in {out}")


@main.command()
@click.argument("source", type=ANYWHERE)
@click.option("--out", type=ANYWHERE, required=True, help="Folder for the TFRecords.")
@click.option("--classes", help="Names, by comma, in the order of their labels.")
@click.option("--manifest", help="CSV below SOURCE: path, label, patient, age, sex, view, site.")
@click.option(
    "--pattern", help="Regular expression with groups label, patient, age, sex, view, site."
)
@click.option("--dataset", metavar="NAME", help="The public data set that SOURCE is, or none.")
@config_options(required=False)
@click.option("--log", type=PATH, hidden=True)
@click.option("--workers-found", is_flag=True, hidden=True)  # a run has looked for them
def ingest(
    source: str,
    out: str,
    dataset: str | None,
    classes: str | None,
    manifest: str | None,
    pattern: str | None,
    config: Any,
    log: Path | None,
    workers_found: bool,
) -> None:
    """Write images, or TFRecords of others, as TFRecords by the data contract."""
    from tfxray.components.guard import rejects
    from tfxray.components.ingest import output
    from tfxray.components.listing import file_list
    from tfxray.components.metadata import known
    from tfxray.components.source import tfrecords
    from tfxray.pipeline import beam_workers, data_folder
    from tfxray.pipeline.terminal.screen import Screen, output_to, progress_on

    file_list.require_folder(source)

    def say(line: str) -> None:
        echo(line, err=True)

    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    folder = data_folder.Folder(source, None)
    if not tfrecords.holds_records(source):
        asked = config or data_folder.config_of(names)
        folder = data_folder.find_folder(source, asked, say, dataset, bool(manifest or pattern))
    source = folder.path
    rules = data_folder.label_rules(asked if folder.dataset else config, folder, say)
    options = {"manifest": manifest, "pattern": pattern, "classes": names}
    rules = dataclasses.replace(rules, **{k: v for k, v in options.items() if v})  # type: ignore[arg-type]
    with progress_on(Screen()), output_to(log or Path(os.devnull)):
        with process.without_keras():
            from tfxray.components.ingest import job

        feature_names = None
        if tfrecords.holds_records(source):
            feature_names = dict(config.ingest.features) if config else {}
        beam = beam_workers.name_lost_hosts(config.beam) if config else contextlib.nullcontext()
        with explain_refusals(out), beam:
            if config and not workers_found:
                parent = beam_workers.folder_around(out)
                beam_workers.find_workers(config.beam, {"SOURCE": source}, {"--out": parent})
            report = job.ingest(
                source,
                out,
                rules,
                feature_names,
                config.ingest.shards if config else 0,
                config.beam.arguments() if config else (),
                config.ingest.pseudonym_key if config else None,
                os.cpu_count() or 1,
            )
    for split, count in report.written.items():
        echo(f"{count} examples ({split}) in {out}")
    for name, count in report.labels.items():
        echo(f"  {name}: {count}")
    if report.rejected:
        path = os.path.join(out, filenames.REJECTS)
        told = rejects.describe_rejected(report.rejected, report.images, report.reasons)
        echo(f"{told}: {path}", err=True)
    for note in report.notes:
        echo(note, err=True)
    if report.not_understood:
        echo(known.describe_unclear(report.not_understood), err=True)
    for line in output.describe_image_notes(report.image_notes):
        echo(line, err=True)
    total = sum(report.written.values())
    if not report.patients_known:
        unknown = f"{report.without_patient} of {total} images name no patient"
        echo(f"{unknown}, and count as a patient each", err=True)
    written = f"{total} written"
    echo(rejects.count_files(report.found, written, report.rejected, report.left_out), err=True)


@main.command()
@config_options()
@click.option("--data", type=ANYWHERE, help="Images or TFRecords, a folder; default: the config's.")
@click.option(
    "--out", type=PATH, required=True, help="Folder for runs, artifacts and pushed models."
)
@click.option("--from", "start", type=NODE, help="Run this node and all that depends on it; take "
              "what comes before from earlier runs.")  # fmt: skip
@click.option("--to", "end", type=NODE, help="End after this node.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json as the last line.")
@click.pass_context
def run(
    ctx: click.Context,
    config: Any,
    data: str | None,
    out: Path,
    start: str | None,
    end: str | None,
    as_json: bool,
) -> None:
    """Run the pipeline on this machine."""
    from tfxray.pipeline.engines import local
    from tfxray.pipeline.runs import locks, run_summary
    from tfxray.pipeline.terminal.screen import Screen

    part = Part(start, end)
    part.check()
    screen = Screen()
    turn = ctx.with_resource(locks.take_turn(out, "tfxray run", screen.say))
    this = local.Run(config, out, screen, part)
    turn.tell(f"run {this.id}")
    try:
        summary = this(data)
        _verdict(screen, this, summary, out)
        code = run_summary.EXIT_CODES[summary.status]
    except UserError as error:
        summary, code = this.summary, 2
        screen.say_error(error)
    if as_json:
        echo_json(dataclasses.asdict(summary))
    elif summary.pushed_model:
        echo(summary.pushed_model)
    sys.exit(code)


# What a user does after a run, by its status.
_NEXT = {
    "pushed": "tfxray predict FOLDER --model {}",
    "not_blessed": "the review page shows each rule, and for whom the model fails; a version that "
    "was pushed before stays in place",
    "data_rejected": "the review page shows each issue. Mend the data; or, if they are right, "
    "change the limit (validation), or the schema: tfxray schema --update --out {}",
}


def _verdict(screen: Any, this: Any, summary: Any, out: Path) -> None:
    from tfxray.pipeline.runs import run_summary

    run_summary.tell_verdict(summary, screen.say)
    if summary.status == "failed":
        screen.say(f"log: {this.folder / run_summary.LOG}")
    if summary.review:
        screen.say(f"review: {summary.review}")
    if step := _NEXT.get(summary.status):
        screen.say(f"next: {step.format(escape.for_shell(str(out)))}")


@main.command("tune")
@config_options(origin=True)
@click.option("--data", type=ANYWHERE, help="Images or TFRecords, a folder; default: the config's.")
@click.option("--out", type=PATH, required=True, help="As of tfxray run, which shares its cache.")
@click.option("--trials", type=click.IntRange(2), help="How many; default: the config's.")
@click.option("--write", type=PATH, help="The config to write; default: a file below --out.")
@click.pass_context
def tune_command(
    ctx: click.Context,
    config: Any,
    config_path: Path,
    overrides: tuple[str, ...],
    data: str | None,
    out: Path,
    trials: int | None,
    write: Path | None,
) -> None:
    """Search the config's ranges for better settings of the head; write them as a config."""
    from tfxray.pipeline.cli import tune
    from tfxray.pipeline.runs import locks, run_summary
    from tfxray.pipeline.terminal.screen import Screen

    if trials:
        config = config.model_copy(
            update={"tune": config.tune.model_copy(update={"trials": trials})}
        )
    source = tune.ConfigSource(config_path, overrides)
    spaces = tune.read_spaces(config)
    tune.check_target(source, write)
    screen = Screen()
    ctx.with_resource(locks.take_turn(out, "tfxray tune", screen.say))
    run = tune.run_to_transform(config, data, out, screen)
    if run.summary.status != "prepared":
        _verdict(screen, run, run.summary, out)
        sys.exit(run_summary.EXIT_CODES[run.summary.status])
    try:
        with explain_refusals(out):
            result = tune.run_search(config, spaces, run, screen)
    except UserError:
        raise
    except Exception as error:
        screen.say(f"failed: {error}", style="bold red")
        screen.say(f"log: {run.folder / run_summary.LOG}")
        sys.exit(1)
    target = write or result.folder / "config.yaml"
    tune.write_config(source, result, target, f"{'--data DIR ' if data else ''}--out {out}")
    echo_lines([*result.table.splitlines(), result.verdict, str(target)])


@main.command()
@click.option("--out", type=PATH, help="The --out of a run.")
@click.option(
    "--compare", "run_names", nargs=2, metavar="RUN RUN",
    help="Compare two runs instead: their ids below --out, or their folders.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="With --compare: print it as JSON.")
def review(out: Path | None, run_names: tuple[str, str] | None, as_json: bool) -> None:
    """Write the page of the latest run again, and print its path; or compare two runs."""
    if not run_names and not out:
        raise click.UsageError("give --out, or --compare")
    if as_json and not run_names:
        raise click.UsageError("--json goes with --compare")
    from tfxray.pipeline.runs import latest_run, run_summary
    from tfxray.pipeline.terminal.screen import output_to

    if run_names:
        from tfxray.pipeline.cli import compare

        result = compare.compare_folders(*(compare.find_folder(run, out) for run in run_names))
        if as_json:
            echo_json(dataclasses.asdict(result))
        else:
            echo_lines(compare.format_comparison(result))
        return
    assert out  # checked above
    folder = latest_run.find_latest(out.resolve())
    with output_to(folder / run_summary.LOG), explain_refusals(out):
        path = latest_run.rewrite_review(out.resolve(), folder)
    echo(path)


@main.command("schema")
@click.option("--out", type=PATH, required=True, help="The --out of a run.")
@click.option("--file", type=PATH, help="The schema; default: the config's, else the package's.")
@click.option("--update", is_flag=True, help="Propose a schema that the run's data keeps.")
@click.option("--write", is_flag=True, help="With --update: write it into the file.")
@config_options(required=False)
def schema_command(config: Any, out: Path, file: Path | None, update: bool, write: bool) -> None:
    """Compare the latest run's data with the curated schema; accept it with --update --write."""
    if write and not update:
        raise click.UsageError("--write goes with --update")
    from tfxray.pipeline.runs import latest_run, run_summary
    from tfxray.pipeline.terminal.screen import output_to

    folder = latest_run.find_latest(out.resolve())
    with output_to(folder / run_summary.LOG):
        from tfxray.pipeline.cli import schema

        latest = schema.LatestRun(out, config, file)
        proposal = latest.proposal() if update else None
        differences = latest.differences()
    if proposal:
        _propose(proposal, folder.name, write)
    elif differences:
        echo_lines(schema.format_differences(differences))
    else:
        echo(f"no difference: run {folder.name} infers what {latest.file} says")


def _propose(proposal: Any, run_id: str, write: bool) -> None:
    if not proposal.diff:
        echo(f"no difference: the data of run {run_id} asks for no change of {proposal.file}")
    else:
        echo_lines(proposal.diff)
        if proposal.comments_lost:
            echo("comments within what changes are lost", err=True)
        if write:
            proposal.write()
            echo(f"written: {proposal.file}")
        else:
            echo("nothing written; to accept the data, add --write", err=True)
    for feature, description in proposal.remaining.items():
        echo(f"not to be mended by a schema: {feature}: {description}", err=True)


main.add_command(init_command)
main.add_command(config_command)
main.add_command(datasets_command)
main.add_command(predict_command)
main.add_command(explain)
main.add_command(monitor_command)
main.add_command(runs)
main.add_command(serving)
main.add_command(clean)
main.add_command(compile_command)
main.add_command(submit_command)


if __name__ == "__main__":
    main()
