"""The commands of configs: `tfxray config` checks one, `tfxray init` proposes one."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError, explain_refusals
from tfxray.components.listing import file_list
from tfxray.pipeline.cli.options import ANYWHERE, PATH, config_options
from tfxray.pipeline.terminal.lines import echo, echo_lines
from tfxray.pipeline.terminal.process import silence_stderr


@click.command("config")
@config_options(required=False)
@click.option("--data", type=ANYWHERE, help="Check the labels of this folder, too.")
@click.option("--reference", is_flag=True, help="Instead: explain all keys, in Markdown.")
def config_command(config: Any, data: str | None, reference: bool) -> None:
    """Check a config: keys, network, weights, labels. Print it with all defaults.

    The network is built, so that it takes some seconds. Of --data, or of the config's own
    ingest.data, and of external test sets, it tells the labels and patients. Or explain all keys.
    """
    if reference and (config or data):
        raise click.UsageError("--reference goes without --config: it explains every config's keys")
    if not reference and not config:
        raise click.UsageError(
            "give --config FILE|NAME, or --reference; `tfxray init FOLDER` writes a config"
        )
    if reference:
        from tfxray.pipeline.config.reference import render_reference

        click.echo(render_reference(), nl=False)
        return
    echo(describe_task(config.task), err=True)
    checked = [_check_network(config), *_check_labels(config, data), *_check_external(config, data)]
    click.echo(config.to_yaml(), nl=False)
    echo_lines(checked, err=True)
    echo("ok", err=True)


@click.command("init")
@click.argument("folder", type=ANYWHERE)
@click.option("--out", type=PATH, help="The config to write; default: FOLDER.yaml, in this folder.")
@click.option("--dataset", metavar="NAME", help="The public data set that FOLDER is, or none.")
def init_command(folder: str, out: Path | None, dataset: str | None) -> None:
    """Propose a config for a folder of X-rays: classes, patients, and the next commands.

    It knows public data sets, class folders, tables, file names, DICOM and TFRecords. It never
    overwrites a file.
    """
    from tfxray.components.disk import durable
    from tfxray.pipeline.proposal import text

    def say(line: str) -> None:
        echo(line, err=True)

    folder = folder.rstrip("/") or folder
    file_list.require_folder(folder)
    name = text.name_of(folder)
    path = out or Path(f"{name}.yaml")
    if os.path.lexists(path):
        raise UserError(f"{path}: is there, and is not overwritten; give another name (--out)")
    content, lines, refusal = _propose(folder, name, str(path), dataset, say)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with explain_refusals(path), durable.fresh_file(path) as fresh:
            fresh.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror} (--out)") from None
    echo_lines(lines, err=True)
    if refusal:
        command = text.commands(str(path), folder, name)[0]
        raise UserError(f"{refusal}. {path} is written: change it there, then run {command}")
    echo_lines(
        ["next, after a look at the file:", *text.commands(str(path), folder, name)], err=True
    )
    echo(path)


def _propose(
    folder: str, name: str, path: str, dataset: str | None, say: Callable[[str], None]
) -> tuple[str, list[str], UserError | None]:
    """A config's text, what to tell of it, and why a run would refuse the labels, if it would."""
    from tfxray.components.source import tfrecords
    from tfxray.pipeline import data_folder
    from tfxray.pipeline.config.loader import parse_config
    from tfxray.pipeline.proposal import folder as images
    from tfxray.pipeline.proposal import labels, text

    told: list[str] = []
    if tfrecords.holds_records(folder):
        with silence_stderr():
            from tfxray.pipeline.proposal import records

            proposal = records.look_at_records(folder)
    else:
        found = data_folder.find_folder(folder, None, say, dataset)
        if found.dataset:
            from tfxray.pipeline.cli import datasets

            names, told = labels.find_present(found)
            content = datasets.write_config(found.dataset, names)
            proposal = None
        else:
            proposal = images.look_at_images(folder)
            if dataset:
                proposal.ingest = {"dataset": dataset, **proposal.ingest}
    if proposal:
        content = text.write_text(proposal, name, path, folder)
        told = [*proposal.told, *(f"not understood: {line}" for line in proposal.unclear)]
    config = parse_config(content, path)
    lines = [describe_task(config.task)]
    try:
        known = labels.read_labels(config, folder, lambda line: None)
    except UserError as error:
        return content, [*lines, *told], error
    return content, [*lines, *(known.lines(config) if known else []), *told], None


def _check_network(config: Any) -> str:
    """Builds the network as a run does, but downloads nothing.

    Raises:
        UserError: It cannot be built so.
    """
    from tfxray.pipeline.terminal.screen import output_to

    with output_to(Path(os.devnull)):
        with silence_stderr():
            from tfxray.pipeline import prepare
        prepare.check_model(config, download=False)
    model = config.model
    download = ", which Keras downloads when a run begins, unless it has them"
    told = download if model.weights == "imagenet" else ""
    return f"network: {model.backbone}, {model.image_size} px; weights: {model.weights}{told}"


def _check_labels(config: Any, data: str | None) -> list[str]:
    """Finds the labels as a run does.

    Raises:
        UserError: They are not those that the config names.
    """
    from tfxray.pipeline.proposal import labels

    folder = data or config.ingest.data
    if folder is None:
        drawn = "labels: those of the sample, which a run draws"
        return [drawn if config.ingest.sample else "labels: not checked; --data FOLDER checks them"]
    found = labels.read_labels(config, folder, lambda line: echo(line, err=True))
    if found is None:
        return ["labels: of TFRecords, a run checks them as it reads them"]
    return found.lines(config)


def _check_external(config: Any, data: str | None) -> list[str]:
    """Finds the labels of external test sets as a run does, where the run's own are looked at.

    Raises:
        UserError: A set is not there, or its labels are not those that the config names.
    """
    if not config.evaluate.external:
        return []
    if not (data or config.ingest.data or config.ingest.sample):  # it may run on a cluster alone
        return ["external test sets: not checked; --data FOLDER checks them, too"]
    with silence_stderr():
        from tfxray.pipeline import external
    from tfxray.pipeline.proposal import labels

    checked = []
    for name in config.evaluate.external:
        with external.name_set(name):
            own, key = external.config_of(config, name), external.key_of(name)
            assert own.ingest.data  # the key that no external test set lacks
            found = labels.read_labels(own, own.ingest.data, functools.partial(echo, err=True), key)
        told = ["labels: of TFRecords, a run checks them as it reads them"]
        if found:  # none of its images is in the run's own splits
            told = dataclasses.replace(found, by_label={}).lines(own)
        checked += [f"external test set {name}: {line}" for line in told]
    return checked


def describe_task(task: Task) -> str:
    """What a model is asked, in a sentence."""
    names = ", ".join(task.names)
    if task.binary:
        negative, positive = task.names
        return f"task: is an X-ray {positive} (positive) or {negative} (negative)?"
    if task.exclusive:
        return f"task: which one of {len(task.names)} classes is an X-ray? {names}"
    return f"task: which of {len(task.names)} findings, none to all, has an X-ray? {names}"
