"""Writes a proposed config: keys with what a user must know above them."""

import os
import re
import textwrap
from typing import Any

import yaml

from tfxray.components.text import escape
from tfxray.pipeline.proposal.folder import Proposal

_NETWORK = (
    "A network for a laptop: it stays as ImageNet left it, and a head learns. Keras downloads the "
    "weights once; model.weights may be the path of a file instead, or `bundled`: weights that "
    "come with tfxray, and know drawn X-rays of 96 pixels alone (image_size: 96)."
)
_PAPER = 100  # of a config's lines
_ONE_LINE = 10_000


def name_of(folder: str) -> str:
    """A name for the pipeline and its model, after a folder's."""
    base = os.path.basename(os.path.realpath(folder) if "://" not in folder else folder.rstrip("/"))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", base).strip("._-")
    return name[:100] if name[:1].isalnum() else "xrays"


def write_text(proposal: Proposal, name: str, path: str, data: str) -> str:
    """A config, in YAML.

    Args:
        proposal: What it says of the data.
        name: The experiment's.
        path: Of the file that it will be, for the commands in it.
        data: The data folder, likewise.
    """
    return "\n".join(
        [
            "# Proposed by `tfxray init`. Look at what is marked CHECK. Then:",
            *(f"#   {command}" for command in commands(path, data, name)),
            "# `tfxray config --reference` explains all keys.",
            f"name: {name}",
            "",
            *_labels(proposal),
            *_ingest(proposal),
            *_comment(_NETWORK, ""),
            "model:",
            "  backbone: MobileNetV2",
            "  arguments: {alpha: 0.35}",
            "  weights: imagenet",
            "  image_size: 224",
            "",
            *_gate(proposal),
            "",
        ]
    )


def commands(path: str, data: str, name: str) -> list[str]:
    """The commands that come next.

    Args:
        path: Of the config.
        data: The data folder.
        name: The experiment's.
    """
    config, folder, out = map(escape.for_shell, (path, data, f"runs/{name}"))
    return [
        f"tfxray config --config {config} --data {folder}",
        f"tfxray run --config {config} --data {folder} --out {out}",
        f"tfxray predict IMAGE --model {out}",
    ]


def _labels(proposal: Proposal) -> list[str]:
    key = "findings" if proposal.findings else "classes"
    names = proposal.findings or proposal.classes
    return [*_comment(proposal.comments.get(key, ""), ""), _key(key, names), ""]


def _ingest(proposal: Proposal) -> list[str]:
    above = _comment(proposal.comments.get("ingest", ""), "")
    if not proposal.ingest:
        return [*above, "ingest: {}", ""] if above else []
    lines = [*above, "ingest:"]
    for key, value in proposal.ingest.items():
        lines += _comment(proposal.comments.get(key, ""), "  ")
        lines.append(f"  {_key(key, value)}")
    return [*lines, ""]


def _gate(proposal: Proposal) -> list[str]:
    binary = len(proposal.classes) == 2
    what, least = ("AUC", 0.8) if binary else ("mean AUC", 0.7)
    lines = [
        *_comment(f"The least {what} of a model that is pushed. It is a first guess: choose your "
                  "own before you see the figures of the split `test`.", ""),
        "gate:",
        f"  auc: {{threshold: {least}}}",
    ]  # fmt: skip
    if proposal.findings:
        lines += [
            "  # A finding that too few patients of the split `test` have is named as not judged.",
            "  unjudged: name",
        ]
    return lines


def _key(key: str, value: Any) -> str:
    text = yaml.safe_dump({key: value}, allow_unicode=True, width=_ONE_LINE, sort_keys=False,
                          default_flow_style=True)  # fmt: skip
    return text.strip().removeprefix("{").removesuffix("}")


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _PAPER, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
