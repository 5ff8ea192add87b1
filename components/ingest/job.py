"""Ingest: images, or TFRecords that name things otherwise, to TFRecords by the data contract.

A Beam job. What cannot be read is set aside in `rejects.csv` and counted; the rest goes on.
"""

import dataclasses
import functools
import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfxray.components.common import filenames, filesystem, privacy
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filenames import REJECTS
from tfxray.components.common.filesystem import StrPath
from tfxray.components.ingest import (
    moves,
    output,
    pseudonym,
    reading,
    rewriting,
    summary,
    worker,
)
from tfxray.components.layouts import public
from tfxray.components.manifest import findings
from tfxray.components.metadata import sexes
from tfxray.components.pixels import near
from tfxray.components.source import splits, tfrecords
from tfxray.components.source.rows import Rules
from tfxray.components.text import tables

_WORK = ".work"  # within the output, what workers read and tell
_QUOTED = 3  # rejects that an error quotes


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the input; written to `ingest.json` beside the records.

    Attributes:
        classes: In the order of their labels.
        found: All files of the input, or records: images and those left out.
        images: Those that should be used: what is written, and what is rejected.
        written: Examples per split; `all` where nothing is split yet.
        labels: Examples per class.
        rejected: How many are in `rejects.csv`.
        reasons: How many of them, per reason.
        left_out: Files that are none of the images, per rule; see `file_list.Listing`.
        notes: What the user should know of the input, a line each; see `file_list.Listing`.
        patients_known: Whether every example names its patient.
        largest_patient: How many examples the patient has who has the most; 0 where none is known.
        not_understood: How many examples have an age, a sex, a view or a patient's id that says
            nothing certain, by its kind; it counts as unknown.
        image_notes: What was odd in images that were read all the same: by the note, one of
            `XRay.notes`, the `count` of the images, and the `names` of the first as the records
            have them. Copies that were set aside afterwards count, too.
        files: The sizes of the files of records, in bytes, by their names.
        without_patient: How many examples name no patient, and count as a patient each.
        dataset: Of a public data set, its name, terms and what its reader leaves out; see
            `dataset.Dataset.describe`.
        drawn_together: Where `eval` was drawn out of `train`: the fields of a `near.Drawn`, which
            say how many images are drawn together since they are the same, or nearly so.
    """

    classes: tuple[str, ...]
    found: int
    images: int
    written: dict[str, int]
    labels: dict[str, int]
    rejected: int
    reasons: dict[str, int]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    patients_known: bool
    largest_patient: int
    not_understood: dict[str, int]
    image_notes: dict[str, dict[str, Any]]
    files: dict[str, int]
    without_patient: int = 0
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    drawn_together: dict[str, Any] = dataclasses.field(default_factory=dict)


def ingest(
    source: StrPath,
    out: StrPath,
    rules: Rules,
    features: Mapping[str, str] | None = None,
    shards: int = 0,
    options: Sequence[str] = (),
    pseudonym_key: str | None = None,
    processes: int = 1,
) -> Report:
    """Writes a folder's images as sharded TFRecords.

    Args:
        source: Folder of images, or of TFRecords where `features` is not None; on any of Beam's
            file systems.
        out: Likewise. Made by this call; appears only when everything is written. Where it is no
            local folder, it is complete when it holds `ingest.json`.
        rules: How labels and metadata are found.
        features: For TFRecords: the name there of each feature of the contract that has another.
        shards: Files per split; 0 lets Beam choose.
        options: As on Beam's command line.
        pseudonym_key: A file; see `pseudonym.find_key`.
        processes: Read images in so many processes besides this one, whose main module they
            import; where Beam does all in this process, else its workers read them.

    Returns:
        What became of the input.

    Raises:
        UserError: See `labelling.label_images`; or a file of records is damaged; or no image could
            be read; or `out` cannot be written; or the pseudonym key cannot be used.
    """
    source, out = (filesystem.full_path(path) for path in (source, out))
    filesystem.require_literal(out, "--out")
    if not filesystem.is_file(os.path.join(out, filenames.INGEST_REPORT)) and _holds_something(out):
        raise UserError(
            f"{out}: holds something else than ingested records; it would be lost. Name a folder "
            "that is new, empty, or was written by an ingest"
        )
    with output.hold_partial(out) as partial:
        key = pseudonym.find_key(os.path.dirname(out), pseudonym_key)
        report = _run(source, partial, rules, features, shards, options, key, processes)
        filesystem.move_folder(partial, out, last=filenames.INGEST_REPORT)
    return report


def _holds_something(folder: str) -> bool:
    if not filesystem.is_local(folder):
        return filesystem.is_folder(folder)
    return os.path.isfile(folder) or (os.path.isdir(folder) and bool(os.listdir(folder)))


def _run(
    source: str,
    out: str,
    rules: Rules,
    features: Mapping[str, str] | None,
    shards: int,
    options: Sequence[str],
    secret: bytes,
    processes: int,
) -> Report:
    work = os.path.join(out, _WORK)
    useful = functools.partial(reading.useful_processes, options=options, processes=processes)
    if features is None:
        data = _find_images(source, rules, os.path.join(work, "read"), useful)
    else:
        data = _find_records(source, rules, os.path.join(work, "read"))
    reader = worker.Reader(
        data.task, rules.limits, secret, rules.follow_links, rules.words, rules.views
    )
    parts = summary.Parts(os.path.join(work, "told"))
    reading.write_examples(data, out, parts, features or {}, reader, shards, options)
    counts = parts.counts()
    _require_whole(counts)
    _require_features(source, features or {}, counts)
    sexes.require_clear(source, counts.notes.get(summary.SEX, ()))
    if data.drawn:
        moves.find_moves(parts, rules.near_distance, options)
        counts = parts.counts()
    if counts.copies or counts.moves:
        rewriting.rewrite_records(out, parts, options)
    first = _write_rejects(out, heapq.merge(data.unread, parts.rejects()))
    report = _make_report(out, data, counts, parts.groups())
    _check(data, report, first)
    filesystem.remove_folder(work)
    content = json.dumps(dataclasses.asdict(report), indent=1)
    filesystem.write_file(os.path.join(out, filenames.INGEST_REPORT), content.encode())
    return report


def _find_images(
    source: str, rules: Rules, folder: str, useful_processes: Callable[[int], int]
) -> reading.Input:
    """What is known of each image goes into files: there may be too many to keep."""
    rows, task, listing = public.label_images(source, rules)
    sexes.require_clear(source, {row.metadata.get("sex", "") for row in rows})
    drawn = () if rows[0].eval_share is None else ("train", "eval")
    # Of a split that is drawn, there may be no image: that is known when all are read.
    outputs = sorted({row.split or worker.UNSPLIT for row in rows if row.labelled} | {*drawn})
    processes = useful_processes(len(rows))
    return reading.Input(
        source,
        task,
        outputs,
        reading.divide_rows(folder, rows, processes),
        len(rows),
        processes,
        unread=listing.unread,
        left_out=listing.count_left_out(),
        notes=listing.notes,
        drawn=drawn,
        dataset=rules.dataset,
    )


def _find_records(source: str, rules: Rules, folder: str) -> reading.Input:
    layout = tfrecords.find_layout(source, rules.ignore_given)
    if not rules.classes and not rules.findings:
        raise UserError(f"{source}: TFRecords need the names of the classes (--classes)")
    task = Task(rules.findings, False) if rules.findings else Task(rules.classes)
    share = splits.eval_share(layout.splits, rules.eval_from_train, rules.eval_share)
    drawn = () if share is None else ("train", "eval")
    notes = () if share is None else (f"splits: {splits.describe_draw(share, layout.splits)}",)
    outputs = sorted({*layout.splits, *drawn}) or [worker.UNSPLIT]
    return reading.Input(
        source,
        task,
        outputs,
        reading.divide_records(folder, layout),
        notes=notes,
        drawn=drawn,
        layout=layout,
        eval_share=share,
    )


def _require_whole(counts: summary.Counts) -> None:
    """Sees that each file of records could be read to its end."""
    if counts.broken:
        rest = counts.broken - len(counts.faults)
        more = [f"{rest} more files are damaged"] if rest else []
        raise UserError("\n".join([*counts.faults, *more]))


def _require_features(source: str, features: Mapping[str, str], counts: summary.Counts) -> None:
    """Sees that some record has each feature that the config names."""
    absent = counts.notes.get(summary.ABSENT, Counter())
    for name in sorted(absent.keys() - counts.notes.get(summary.PRESENT, {}).keys()):
        raise UserError(
            f"{source}: no record has a feature {features[name]!r}, which ingest.features "
            f"names for {name}. Write the name that the records have, or take the line out"
        )


def _write_rejects(out: str, rejects: Iterable[summary.Reject]) -> list[summary.Reject]:
    """Writes the table of rejects; returns the first of them, for an error."""
    first: list[summary.Reject] = []
    with tables.write_table(os.path.join(out, REJECTS), filenames.REJECT_COLUMNS) as write_row:
        for reject in rejects:
            write_row(reject)
            if len(first) < _QUOTED:
                first.append(reject)
    return first


def _make_report(
    out: str, data: reading.Input, counts: summary.Counts, drawn: dict[str, Any]
) -> Report:
    labels = Counter[str]()
    for label, count in counts.labels.items():
        several = [label] if data.task.exclusive else label.split(findings.SEPARATOR)
        labels.update(dict.fromkeys(several, count))
    left_out = Counter(data.left_out)
    if counts.other_view:  # told by the file itself, as DICOM does
        left_out[summary.OTHER_VIEW] += counts.other_view
    seen = counts.notes.get(summary.SEEN, Counter())
    images = seen.total() if data.layout else data.images + len(data.unread)
    images -= counts.other_view
    reasons = counts.reasons + Counter(code for _, code, _ in data.unread)
    return Report(
        classes=data.task.names,
        found=images + left_out.total(),
        images=images,
        written={split: counts.written[split] for split in data.splits},
        labels={name: labels[name] for name in data.task.names},
        rejected=reasons.total(),
        reasons=dict(sorted(reasons.items())),
        left_out=dict(sorted(left_out.items())),
        notes=(*data.notes, *_describe_drawn(drawn)),
        patients_known=not counts.without_patient,
        largest_patient=counts.largest_patient,
        not_understood=dict(sorted(counts.notes.get(summary.NOT_UNDERSTOOD, {}).items())),
        image_notes={
            note: {"count": count, "names": counts.noted[note]}
            for note, count in sorted(counts.image_notes.items())
        },
        files=output.measure_records(out),
        without_patient=counts.without_patient,
        dataset=public.describe(data.dataset),
        drawn_together=drawn,
    )


def _describe_drawn(drawn: Mapping[str, Any]) -> Iterator[str]:
    """What was drawn together for `eval` or `train`, in a line."""
    if drawn and (text := near.Drawn(**drawn).describe()):
        yield f"splits: of train and eval, {text}"


def _check(data: reading.Input, report: Report, first: list[summary.Reject]) -> None:
    source = data.source
    record_count = sum(report.written.values())
    if record_count + report.rejected != report.images:
        raise RuntimeError(
            f"{report.images} images in, but {record_count} written and {report.rejected} rejected"
        )
    empty = [name for name, count in report.labels.items() if not count]
    without = [split for split, count in report.written.items() if not count]
    if not empty and without and len(report.written) > 1:
        raise UserError(
            f"{source}: the split {', '.join(without)} has no image that can be used, after "
            f"{report.rejected} of {report.images} were rejected. Where eval is drawn out of "
            "train, split.eval_from_train sets the share of the patients"
        )
    if not empty:
        return
    reasons = "; ".join(f"{name}: {code} {detail}".strip() for name, code, detail in first)
    if privacy.names_withheld(source, [*(name for name, _, _ in first), *data.paths()]):
        reasons = "; ".join(f"{code}: {count}" for code, count in sorted(report.reasons.items()))
    if not record_count:
        raise UserError(f"{source}: none of {report.images} images could be read ({reasons})")
    raise UserError(
        f"{source}: no image of {', '.join(empty)} could be used; {report.rejected} of "
        f"{report.images} were rejected" + (f" ({reasons})" if reasons else "")
    )
