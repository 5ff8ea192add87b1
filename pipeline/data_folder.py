"""Which public data set a run's data are, if any, and the rules by which images are labelled."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.layouts import recognise, registry
from tfxray.components.listing import file_list
from tfxray.components.manifest.findings import (
    OTHER,
    SEPARATOR,
    SEPARATORS,
    SILENT,
    named_in,
    word_key,
)
from tfxray.components.manifest.layout import Join
from tfxray.components.manifest.manifest import MANIFEST
from tfxray.components.source.dataset import Dataset
from tfxray.components.source.rows import Rules
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.data import Split
from tfxray.pipeline.config.ingest import Ingest

Say = Callable[[str], None]
NO_DATASET = "none"
_VIEWS = ("PA", "AP", "unknown")  # of a public data set: all but laterals, unless the config says


class Folder(NamedTuple):
    """A folder of images.

    Attributes:
        path: The data folder; of a public data set, the data set's own.
        dataset: Which data set it is; None for any other folder.
    """

    path: str
    dataset: Dataset | None


def config_of(classes: Sequence[str]) -> Config | None:
    """A config that asks for some classes and nothing else; None where that is no config."""
    try:
        return Config.model_validate({"name": "ingest", "classes": list(classes)})
    except ValidationError:
        return None


def find_folder(
    folder: str, config: Config | None, say: Say, name: str | None = None, own: bool = False
) -> Folder:
    """Finds out whether a folder is a public data set, and says so.

    Args:
        folder: The data folder.
        config: The experiment; None where there is none, as for `tfxray ingest`.
        say: Takes a line.
        name: The data set that the command line names; else the config's.
        own: Whether the command line says how labels are told.

    Raises:
        UserError: The one that is named is not there; several are there; or the config's labels are
            none of its own.
    """
    name = name or (config.ingest.dataset if config else None)
    if name == NO_DATASET:
        return Folder(folder, None)
    if name:
        with_table = own or (config is not None and config.ingest.manifest is not None)
        match = recognise.find_dataset(folder, registry.by_name(name), with_table)
    else:
        found = _find(folder, config, say, own)
        if found is None:
            return Folder(folder, None)
        match = found
    dataset = match.dataset
    split = f", official split ({dataset.official})" if dataset.official else ", no official split"
    where = "" if match.folder == folder else f" in {os.path.relpath(match.folder, folder)}"
    using = "" if name else f"; using ingest.dataset: {dataset.name}"
    say(f"this is {dataset.title}{where}: {dataset.labels}{split}{using}")
    if match.folder != folder:
        _see_beside(folder, match, say, bool(name))
    if config:
        _check_labels(folder, config, dataset)
    return Folder(match.folder, dataset)


def _find(folder: str, config: Config | None, say: Say, own: bool) -> recognise.Match | None:
    own_manifest = filesystem.is_file(os.path.join(folder, MANIFEST))
    matches = recognise.find_datasets(folder)
    if not matches:
        half = "" if config or own_manifest else recognise.describe_half(folder, by_names=False)
        if half:
            raise UserError(
                f"{folder}: {half}. To read it as any other folder, say so (--dataset none)"
            )
        return None
    titles = " and ".join(sorted({m.dataset.title for m in matches}))
    own |= config is not None and bool(config.ingest.tells_labels or config.split.lists)
    if own_manifest or own:
        why = f"its own {MANIFEST}" if own_manifest else "what the config says"
        say(f"this looks like {titles}, but is read by {why}; ingest.dataset would name a reader")
        return None
    if len(matches) > 1 and len({m.dataset.name for m in matches}) == 1:
        say(
            f"this looks like {len(matches)} copies of {titles}, and is read as any other folder; "
            "name the folder of one to have it read as such"
        )
        return None
    if len(matches) > 1:
        shown = "; ".join(
            f"{m.dataset.title} in {m.folder} (ingest.dataset: {m.dataset.name})" for m in matches
        )
        raise UserError(
            f"{folder}: holds the layouts of several public data sets: {shown}. Name the folder of "
            "one (--data), or say which is meant (ingest.dataset; none for none of them)"
        )
    return matches[0]


def _see_beside(folder: str, match: recognise.Match, say: Say, named: bool) -> None:
    """Sees that no images lie beside a data set's own folder, at any depth.

    Raises:
        UserError: There are some, and nobody has named the data set.
    """
    own = os.path.relpath(match.folder, folder).replace(os.sep, "/")
    beside = [
        path for path in file_list.list_images(folder).files if not path.startswith(f"{own}/")
    ]
    if not beside:
        return
    if not named:
        raise UserError(
            f"{folder}: holds {match.dataset.title} in {own}, and {len(beside)} files beside it "
            f"that may be images. Name the data set's own folder ({match.folder}); or say "
            f"ingest.dataset: {match.dataset.name} to leave the others out, or none to read all of "
            "it as any other folder"
        )
    say(f"{len(beside)} files beside it, which may be images, are not looked at")


def _check_labels(folder: str, config: Config, dataset: Dataset) -> None:
    """Sees that the config asks for labels that the data set has."""
    start = f"{folder}: is {dataset.title}, "
    remedy = (
        f". `tfxray datasets {dataset.name} --config` writes a config that fits; ingest.dataset: "
        "none reads the folder as any other"
    )
    if config.split.official and not dataset.official:
        raise UserError(f"{start}which has no official split (split.official){remedy}")
    if bool(config.findings) != bool(dataset.findings):
        what = "findings" if dataset.findings else "classes"
        names = ", ".join(dataset.findings or dataset.classes)
        own = "classes" if config.classes else "findings"
        raise UserError(f"{start}whose images have {what} ({names}); the config has {own}{remedy}")
    if config.ingest.manifest or "label" in config.ingest.columns:
        return  # another table or column has words of its own
    asked = config.findings or config.classes
    merged = {**dataset.ingest.get("labels", {}), **config.ingest.labels}
    if OTHER in merged and dataset.findings:  # any word of the table may be one
        return
    known = {word_key(name) for name in (*dataset.findings, *dataset.classes)}
    renamed = {*named_in(config.ingest.labels), *config.ingest.columns}
    strange = [n for n in asked if word_key(n) not in known and n not in renamed]
    if strange:
        raise UserError(
            f"{start}whose labels are {', '.join(dataset.findings or dataset.classes)}; the config "
            f"asks for {', '.join(strange)}. Say in ingest.labels, or for columns in "
            f"ingest.columns, which is which{remedy}"
        )


def reader_keys(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The keys of a config that the name of a data set stands for.

    Args:
        dataset: Which.

    Returns:
        The sections `ingest` and, where lists give the official split, `split`.
    """
    split = {"split": dict(dataset.split)} if dataset.split else {}
    return {"ingest": {"views": _VIEWS, **dataset.ingest}, **split}


def label_rules(config: Config | None, folder: Folder, say: Say | None = None) -> Rules:
    """The rules by which a folder's images are labelled.

    Args:
        config: The experiment; None takes a data set's own labels, or those of any folder.
        folder: See `find_folder`.
        say: Takes a line on what is taken in the place of the rules; None where it was said.

    Raises:
        UserError: The lists of an official split that the config insists on are missing.
    """
    dataset = folder.dataset
    ingest, split = (config.ingest, config.split) if config else (Ingest(), Split())
    findings = tuple(config.findings) if config else (dataset.findings if dataset else ())
    classes = tuple(config.classes) if config else (dataset.classes if dataset else ())
    if dataset:
        own = reader_keys(dataset)["ingest"]
        own["labels"] = _words(dataset, findings, ingest.labels)
        ingest = Ingest.model_validate(_merge(own, ingest.model_dump(exclude_defaults=True)))
        split = _official(split, folder, say)
        if not (dataset.official or split.lists):  # whatever its folders are called
            split = split.model_copy(update={"ignore_given": True})
    return Rules(
        classes=classes,
        findings=findings,
        manifest=ingest.manifest,  # type: ignore[arg-type]  # its keys are splits
        separator=ingest.separator,
        headings=tuple(ingest.headings),
        columns=ingest.columns,
        joins=tuple(Join(j.table, j.columns) for j in ingest.joins),
        keep=ingest.keep,
        root=ingest.root,
        strip=tuple(ingest.strip),
        extension=ingest.extension,
        include=tuple(ingest.include),
        exclude=tuple(ingest.exclude),
        follow_links=ingest.follow_links,
        pattern=ingest.pattern,
        labels=ingest.labels,
        label_separator=SEPARATORS[ingest.label_separator],
        label_parts=SEPARATORS[ingest.label_parts] if ingest.label_parts else "",
        values={str(word): str(meaning) for word, meaning in ingest.values.items()},
        blank=ingest.blank,
        several=ingest.several,
        views=tuple(ingest.views or ()),
        unknown={str(kind): words for kind, words in ingest.unknown.items()},
        meanings={str(kind): texts for kind, texts in ingest.meanings.items()},
        defaults={str(kind): text for kind, text in ingest.defaults.items()},
        dataset=dataset.name if dataset else "",
        whole=config is not None,
        ignore_given=split.ignore_given,
        split_lists={str(name): file for name, file in split.lists.items()},
        split_words={word.lower(): name for word, name in split.words.items()},
        eval_from_train=split.eval_from_train,
        eval_share=split.eval,
        tolerated=config.validation.max_rejected if config else 0.0,
        limits=ingest.limits,
        near_distance=config.validation.near_distance if config else Rules.near_distance,
    )


def _words(
    dataset: Dataset, findings: Sequence[str], given: Mapping[str, str | None]
) -> dict[str, str | None]:
    """What a data set's words mean, if these findings are asked for.

    Args:
        dataset: Which.
        findings: Those that are asked for; empty where classes are.
        given: What the config says of words.
    """
    words = dict(dataset.ingest.get("labels", {}))
    if not findings:
        # A class that is not asked for is known all the same; and the set's classes may be renamed.
        words |= {name: name for name in dataset.classes if name not in words}
        return {word: given.get(name, name) if name else name for word, name in words.items()}
    asked = {word_key(name): name for name in findings}
    if OTHER not in words:
        # A word of the vocabulary that is not asked for means none of the findings.
        words |= {name: "" for name in dataset.findings if word_key(name) not in asked}
    renamed = {word_key(word): meaning for word, meaning in given.items()}
    told: dict[str, str | None] = {}
    for word, meaning in words.items():
        keys = [word_key(name) for name in (meaning or "").split(SEPARATOR)]
        if word_key(word) in asked and word_key(word) not in keys:
            continue  # it is a kind of another finding, and who asks for the kind means it
        if meaning and meaning != SILENT:
            parts = [renamed[key] if key in renamed else asked.get(key, "") for key in keys]
            meaning = None if None in parts else SEPARATOR.join(filter(None, parts))
        told[word] = meaning
    return told


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a data set, and above them the user's own; of maps, entry by entry."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = {**base[key], **value} if both else value
    return merged


def _official(split: Split, folder: Folder, say: Say | None) -> Split:
    """The split with the lists of a data set's official one, if they are there."""
    dataset = folder.dataset
    assert dataset is not None
    if split.ignore_given or split.lists or not dataset.split:
        return split
    lists = dataset.split.get("lists", {})
    lacking = [f for f in lists.values() if not filesystem.is_file(os.path.join(folder.path, f))]
    if lacking and split.official:
        raise UserError(
            f"{folder.path}: lacks {', '.join(lacking)}, the official split of {dataset.title} "
            "(split.official)"
        )
    if lacking and say:
        say(f"{', '.join(lacking)} is not there: the patients are drawn, not split officially")
    # `official` was seen to, and would contradict the lists.
    own = split.model_dump(exclude_defaults=True, exclude={"official"})
    return Split.model_validate(_merge({"ignore_given": True} if lacking else dataset.split, own))
