"""The command `tfxray datasets`: which public data sets are read as they come, and all of each."""

import dataclasses
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click
import yaml

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.layouts import recognise, registry
from tfxray.components.source.dataset import Dataset
from tfxray.components.text import escape
from tfxray.pipeline.terminal.lines import echo_json, echo_lines

_WIDTH = 120  # where there is no terminal
_PAPER = 100  # of a config's lines
_BESIDE = "Besides, its reader reads what files of their own tell of the images; no key says that."
_HEADER = """\
<!-- Made by `tfxray datasets --reference`. The texts are in components/datasets/; after a change
there, run `make format`. -->

# Public data sets

tfxray reads these data sets as they come: unpack one, and name its folder. Its own folder may lie
up to two folders below the one that you name. A data set is found by its files, or you name it by
`ingest.dataset`. The command `tfxray datasets` shows what stands here:

```sh
tfxray datasets                          # the table
tfxray datasets {name}                      # all that is known of one
tfxray datasets {name} --config > {name}.yaml  # a config to start from
```

A reader is a part of a config: the [keys](config.md#ingest) below. You may write the same keys for
any other data. What your own config says counts more. Globs and paths begin at the data set's own
folder.

A licence stands here in short. Read the one at the address before you use a data set: that one is
binding, and it may have changed.
"""


@click.command("datasets")
@click.argument("name", required=False)
@click.option("--config", "as_config", is_flag=True, help="Print a config for NAME.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--reference", is_flag=True, help="Explain all of them, in Markdown.")
def datasets_command(name: str | None, as_config: bool, as_json: bool, reference: bool) -> None:
    """List the public data sets that are read as they come; or tell all of one."""
    if as_config + as_json + reference > 1:
        raise click.UsageError("give one of --config, --json and --reference")
    if as_config and not name:
        raise click.UsageError("--config needs the NAME of a data set")
    if reference and name:
        raise click.UsageError("--reference goes without a NAME: it explains all data sets")
    chosen = (_find(name),) if name else registry.DATASETS
    if as_json:
        for dataset in chosen:
            echo_json(_describe(dataset))
    elif reference:
        click.echo(_render_reference(chosen), nl=False)
    elif as_config:
        click.echo(write_config(chosen[0]), nl=False)
    else:
        echo_lines(_tell(chosen[0]) if name else _list(chosen))


def _find(name: str) -> Dataset:
    if name.lower() not in registry.NAMES:
        near = did_you_mean(name, registry.NAMES)
        raise UserError(f"{name}: no such data set{near}; there are: {', '.join(registry.NAMES)}")
    return registry.by_name(name)


def _facts(dataset: Dataset) -> dict[str, Sequence[str]]:
    """All facts of a data set by their headings, but for its keys; most are one line."""
    return {
        "Size": [dataset.size],
        "Licence": [dataset.licence],
        "Citation": [dataset.citation],
        "Address": [dataset.address],
        _count(dataset).capitalize(): [", ".join(dataset.findings or dataset.classes)],
        "Official split": [dataset.official or "none: the patients are drawn"],
        "Files": [recognise.describe_layout(dataset)],
        "Left out, notes": dataset.left_out,
    }


def _keys(dataset: Dataset) -> dict[str, Any]:
    """The keys of a config that its name stands for, as YAML and JSON have them."""
    from tfxray.pipeline import data_folder

    keys: dict[str, Any] = _plain(data_folder.reader_keys(dataset))
    return keys


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _describe(dataset: Dataset) -> dict[str, Any]:
    """All of it, for a program."""
    return {
        **dataset.describe(),
        "classes": dataset.classes,
        "findings": dataset.findings,
        "known_by": [dataclasses.asdict(mark) for mark in dataset.marks],
        "images": dataset.images,
        "reads_beside": dataset.read_beside is not None,
        **_keys(dataset),
    }


def _list(datasets: Sequence[Dataset]) -> list[str]:
    """The table of all data sets, as wide as the terminal."""
    rows = [
        (
            d.name,
            "\n".join(map(escape.for_screen, (d.title, d.size, d.licence, d.citation, _needs(d)))),
            _count(d),
            _split(d),
        )
        for d in datasets
    ]
    return _table(("name", "data set", "labels", "split"), rows)


def _needs(dataset: Dataset) -> str:
    """The files by which it is known, in short; of several names of one, the first."""
    names = [mark.globs[0] for mark in dataset.marks if not mark.absent]
    return f"needs {', '.join(names)}"


def _count(dataset: Dataset) -> str:
    what = "findings" if dataset.findings else "classes"
    return f"{len(dataset.findings or dataset.classes)} {what}"


def _split(dataset: Dataset) -> str:
    return "official" if dataset.official else "drawn"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=not place, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=shutil.get_terminal_size((_WIDTH, 24)).columns, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().rstrip().splitlines()]


def _tell(dataset: Dataset) -> list[str]:
    """All facts of one data set, as wide as the terminal."""
    rows = [
        ("" if number else heading, escape.for_screen(line))
        for heading, lines in _facts(dataset).items()
        for number, line in enumerate(lines)
    ]
    return [
        f"{dataset.title} (ingest.dataset: {dataset.name})",
        "",
        *_table(("", ""), rows),
        "",
        "The name stands for these keys of a config; what you write yourself counts more:",
        "",
        *_yaml(_keys(dataset)).splitlines(),
        *(["", _BESIDE] if dataset.read_beside else []),
        "",
        f"A config to start from: tfxray datasets {dataset.name} --config > {dataset.name}.yaml",
    ]


def _render_reference(datasets: Sequence[Dataset]) -> str:
    """The page of all data sets, in Markdown."""
    lines = [
        _HEADER.format(name=datasets[0].name),
        "| name | title | labels | split | size | licence |\n|---|---|---|---|---|---|",
    ]
    for d in datasets:
        cells = (d.title, _count(d), _split(d), d.size, d.licence)
        text = " | ".join(map(escape.for_markdown, cells))
        lines.append(f"| [`{d.name}`](#{d.name}) | {text} |")
    for dataset in datasets:
        lines += [f"\n## `{dataset.name}`\n", f"{escape.for_markdown(dataset.title)}.\n"]
        for heading, texts in _facts(dataset).items():
            several = "".join(f"\n  - {_markdown(text)}" for text in texts)
            lines.append(f"- {heading}:{f' {_markdown(texts[0])}' if len(texts) == 1 else several}")
        lines.append("\nIts name stands for these keys of a config:\n")
        lines.append("<!-- no config: a part of one, without classes or findings -->")
        lines.append(f"```yaml\n{_yaml(_keys(dataset))}```")
        if dataset.read_beside:
            lines.append(f"\n{_BESIDE}")
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    return f"<{link}>" if (link := escape.link_address(text)) else escape.for_markdown(text)


def write_config(dataset: Dataset, present: Sequence[str] | None = None) -> str:
    """A config to start from: small enough for a laptop.

    Args:
        dataset: That it reads.
        present: Of its classes or findings, those that the config asks for; default: all.
    """
    if present is not None:
        if dataset.findings:
            dataset = dataclasses.replace(dataset, findings=tuple(present))
        else:
            dataset = dataclasses.replace(dataset, classes=tuple(present))
    name = dataset.name
    facts = _facts(dataset)
    source = [
        line
        for heading in ("Size", "Licence", "Citation", "Address")
        for line in _comment(facts[heading][0], f"# {heading + ':':<11}")
    ]
    notes = [line for text in dataset.left_out for line in _comment(text, "# - ")]
    if notes:
        notes = ["#", "# What its reader leaves out, and what to know of its labels:", *notes]
    names = (
        {"findings": [*dataset.findings]} if dataset.findings else {"classes": [*dataset.classes]}
    )
    lines = [
        f"# {dataset.title}, as it comes: a config to start from.",
        "#",
        *source,
        f"# Command:   tfxray run --config {name}.yaml --data DIR --out runs/{name}",
        *_comment(f"DIR is the folder with {facts['Files'][0]}", f"# {'':<11}"),
        *notes,
        f"name: {name}",
        yaml.safe_dump(names, default_flow_style=False, allow_unicode=True, width=10_000),
        *_comment(f"`tfxray datasets {name}` shows the keys that the name stands for. Keys that "
                  "you write beside it count more."),
        f"ingest: {{dataset: {name}}}",
        *_leave_out(dataset),
        "",
        *_official(dataset),
        "",
        *_comment("A network for a laptop: it stays as ImageNet left it, and a head learns. Keras "
                  "downloads the weights once; model.weights may be the path of a file instead."),
        "model:",
        "  backbone: MobileNetV2",
        "  arguments: {alpha: 0.35}",
        "  weights: imagenet",
        "  image_size: 224",
        "",
        "train: {mode: frozen}",
        "",
        *_gate(dataset),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _comment(text: str, begin: str = "# ") -> list[str]:
    """A comment; its second line and all further ones are indented as far as the first one."""
    return textwrap.wrap(
        text, _PAPER, initial_indent=begin, subsequent_indent=f"#{' ' * (len(begin) - 1)}",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _leave_out(dataset: Dataset) -> list[str]:
    """How a class is left out, where at least two would stay."""
    if len(dataset.classes) < 3:
        return []
    return _comment(
        "To leave a class out, take it away from `classes`, and write its name into `ingest`: "
        f"{{dataset: {dataset.name}, labels: {{{dataset.classes[1]}: null}}}}. Its images are "
        "counted."
    )


def _official(dataset: Dataset) -> list[str]:
    if not dataset.official:
        return ["# The data set has no official split: the patients are drawn."]
    return [*_comment(f"The official split: {dataset.official}."), "split: official"]


def _gate(dataset: Dataset) -> list[str]:
    binary = len(dataset.classes) == 2
    what, least = ("AUC", 0.8) if binary else ("mean AUC", 0.7)
    lines = [
        *_comment(f"The least {what} of a model that is pushed. It is a first guess: choose your "
                  "own before you see the figures of the split `test`."),
        "gate:",
        f"  auc: {{threshold: {least}}}",
    ]  # fmt: skip
    if dataset.findings:
        lines += [
            "  # A finding that too few patients of the split `test` have is named as not judged.",
            "  unjudged: name",
        ]
    return lines


class _Keys(yaml.SafeDumper):
    """Writes a map over several lines, and a list in one."""

    def check_simple_key(self) -> bool:
        """See `yaml.emitter.Emitter`; an empty key stands in its value's line, as others do."""
        empty = isinstance(self.event, yaml.ScalarEvent) and not self.event.value
        return empty or super().check_simple_key()


_Keys.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True)
)


def _yaml(keys: Mapping[str, Any]) -> str:
    """Keys as a config has them."""
    text: str = yaml.dump(
        keys, Dumper=_Keys, sort_keys=False, default_flow_style=False, allow_unicode=True,
        width=10_000,
    )  # fmt: skip
    return text
