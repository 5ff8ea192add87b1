"""Sees that a folder's labels are those that are asked for, before any image is read."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import yaml

from tfxray.components.common import privacy
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.components.listing import file_list
from tfxray.components.manifest import findings
from tfxray.components.manifest.manifest import MANIFEST
from tfxray.components.manifest.row_reader import WITHHELD
from tfxray.components.source.rows import Row, Rules


class LabelError(UserError):
    """Labels that are there, and are not those that are asked for."""


_SHOWN = 5  # names in a line for the user
_MOST_COPIED = 20  # names in a line that is to be copied
_REMEDY = "Add them to `classes`, or say in `ingest.labels` which class each means"


def check_findings(
    source: str, rows: Sequence[Row], rules: Rules, listing: file_list.Listing
) -> Task:
    """Sees that images have the findings that are asked for, and no others.

    Args:
        source: The folder, for the error.
        rows: Its images.
        rules: With findings.
        listing: What else the folder holds.

    Raises:
        UserError: A word that is none of the findings, or a finding that no image has.
    """
    unlike = [row.label for row in rows if row.label]
    if len(unlike) > rules.tolerated * len(rows):
        unknown = Counter(word for label in unlike for word in label.split(findings.SEPARATOR))
        withheld = privacy.names_withheld(source, [row.path for row in rows])
        first = "" if withheld else f", first of {_first(rows, unlike[0])}"
        words = "not shown, since there is DICOM among the images and names may be patients'"
        near = ""
        if rules.dataset or not withheld:
            near = did_you_mean([word for word, _ in unknown.most_common(_SHOWN)], rules.findings)
            words = ", ".join(f"{word} ({count})" for word, count in unknown.most_common(_SHOWN))
        if all(findings.says_none(word) for word in unknown):
            raise LabelError(
                f"{source}: {len(unlike)} images have a finding and {words}{_place(rules)}{first}. "
                "Take one of the two out, or say in ingest.labels which counts for nothing: "
                '{WORD: ""}'
            )
        raise LabelError(
            f"{source}: words that are none of the findings{_place(rules)}: {words}{first}{near}; "
            f"allowed: {', '.join(rules.findings)}, with {findings.SEPARATOR!r} between them, and "
            "No Finding. Say what other words mean in ingest.labels: {WORD: FINDING}, "
            '{WORD: ""} where it means none of them, or {WORD: null} to leave its images out'
        )
    if not any(row.findings for row in rows):
        raise UserError(
            f"{source}: nothing tells the findings of an image: the manifest has neither a column "
            "for each of them nor a column `label` that names them; ingest.columns names columns "
            "that are called otherwise" + listing.describe_rest()
        )
    present = Counter(
        name
        for row in _readable(rows, rules, listing)
        for name, v in (row.findings or {}).items()
        if v == 1
    )
    lacking = [name for name in rules.findings if not present[name]]
    if lacking and not rules.whole and len(lacking) < len(rules.findings):
        listing.notes.append(f"no image has {', '.join(lacking)}: left out of the findings")
        return Task(tuple(name for name in rules.findings if present[name]), False)
    if lacking:
        raise LabelError(
            f"{source}: no image has {', '.join(lacking)}. Add such images, name the column "
            "(ingest.columns), say what the words mean (ingest.labels), or take the finding out of "
            "`findings`"
        )
    return Task(rules.findings, False)


def check_classes(
    source: str, rows: Sequence[Row], rules: Rules, listing: file_list.Listing
) -> Task:
    """Sees that images have the classes that are asked for, and no others.

    Args:
        source: The folder, for the error.
        rows: Its images.
        rules: With classes, or without: the labels are then the classes.
        listing: What else the folder holds.

    Raises:
        UserError: A label that is none of the classes, or a class that no image has.
    """
    paths = [row.path for row in rows]
    if not rules.classes and privacy.holds_dicom(source, paths):
        raise UserError(
            f"{source}: there is DICOM among the images: name the classes (--classes). Folders "
            "would become classes, which records name, and they may be named after patients"
        )
    labels = Counter(row.label for row in _readable(rows, rules, listing) if row.label)
    classes = rules.classes or tuple(sorted(labels))
    unknown = [label for label in labels if label not in classes]
    if sum(labels[label] for label in unknown) > rules.tolerated * len(rows):
        counts = {name: labels[name] for name in unknown}
        raise LabelError(_unknown(source, rows, rules, classes, counts))
    if not labels:
        raise UserError(
            f"{source}: nothing tells the class of an image: no class folders "
            f"[{', '.join(classes)}], no `label` column in a {MANIFEST}, no group `label` in "
            "ingest.pattern"
        )
    missing = [name for name in classes if not labels[name]]
    if missing and not rules.whole and len(missing) + 2 <= len(classes):
        listing.notes.append(f"no image is of {', '.join(missing)}: left out of the classes")
        return Task(tuple(name for name in classes if labels[name]))
    if missing or len(classes) < 2:
        class_names = classes if privacy.names_withheld(source, paths) else sorted(labels)
        raise LabelError(
            f"{source}: a classifier needs images of two classes or more; found "
            + ", ".join(f"{name}: {labels[name]}" for name in class_names if labels[name])
            + (f"; none of {', '.join(missing)}" if missing else "")
            + listing.describe_rest()
        )
    return Task(classes)


def _readable(rows: Sequence[Row], rules: Rules, listing: file_list.Listing) -> Sequence[Row]:
    """The rows by which it is known what occurs: where nobody asked for it, those with a file."""
    if rules.whole:
        return rows
    files = set(listing.files)
    return [row for row in rows if row.path in files]


def _place(rules: Rules) -> str:
    """Where labels stand, if one table has them."""
    heading = rules.columns.get("label")
    if not isinstance(heading, str) or not isinstance(rules.manifest, str):
        return ""
    return f" (column {heading} of {rules.manifest})"


def _unknown(
    source: str, rows: Sequence[Row], rules: Rules, classes: Sequence[str],
    labels: Mapping[str, int],
) -> str:  # fmt: skip
    first = {label: _first(rows, label) for label in list(labels)[:5]}
    start = (
        f"{source}: labels that are not among the classes [{', '.join(classes)}]{_place(rules)}: "
    )
    if rules.dataset and privacy.names_withheld(source, [row.path for row in rows]):
        told = "; ".join(f"{label!r} ({labels[label]} images)" for label in first)
        return f"{start}{told}{did_you_mean(first, classes)}. {_REMEDY}{_leave_out(labels)}"
    if not privacy.names_withheld(source, [*first.values(), *(row.path for row in rows)]):
        examples = "; ".join(
            f"{label!r} ({labels[label]} images, first {path})" for label, path in first.items()
        )
        if any(set(label.split(findings.SEPARATOR)) <= set(classes) for label in first):
            return (
                f"{start}{examples}. An image has one of the `classes`. If images have several, "
                "name them in `findings` instead"
            )
        return f"{start}{examples}{did_you_mean(first, classes)}. {_REMEDY}{_leave_out(labels)}"
    return (
        f"{start}{len(labels)} labels of {sum(labels.values())} images, {WITHHELD}. An image's "
        "label is the folder on its path that is named like a class, from the top; where there is "
        f"none, the folder that it lies in. A column `label` in a {MANIFEST} or a group `label` in "
        "`ingest.pattern` counts before folders. Or say in `ingest.labels` which class each means"
    )


def _leave_out(labels: Iterable[str]) -> str:
    """How a config leaves out the images of labels, to be copied."""
    nulls = dict.fromkeys(list(labels)[:_MOST_COPIED])
    keys = yaml.safe_dump(nulls, default_flow_style=True, allow_unicode=True, width=10_000).strip()
    return f"; or leave their images out and have them counted: `ingest: {{labels: {keys}}}`"


def _first(rows: Sequence[Row], label: str) -> str:
    return next(row.path for row in rows if row.label == label)
