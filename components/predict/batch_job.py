"""Scores a folder of images or TFRecords with a pushed model: a Beam job that goes on if killed."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from tfxray.components.common import (
    beam_options,
    code_digest,
    contract,
    filenames,
    filesystem,
    isolation,
    progress,
)
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.disk import locks
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Limits
from tfxray.components.jobs import chunks
from tfxray.components.pixels import image
from tfxray.components.predict import batch_parts, batch_worker
from tfxray.components.predict.pushed_model import (
    SEPARATOR,
    Model,
    find_model,
    read_fingerprint,
)
from tfxray.components.text import tables
from tfxray.components.watch import scored

_FORMAT = 2  # of a part's result
_RESULT = "result"  # the folder that becomes the output
_WORK = "work"  # what workers share out
_LOCK = "lock"


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the images; written to `predict.json` beside the predictions.

    Attributes:
        predictions: The file of scores.
        statistics: The file of what `tfxray monitor` compares.
        model: The version's folder.
        input: The folder that was scored.
        classes: In the order of their labels; of two, scores are the last one's. Or the findings.
        threshold: A score that reaches it makes the last class the label. None of more than two
            classes, and of findings.
        thresholds: Of those, the operating point of each.
        found: All files of the folder, or records: images and those left out.
        images: Scored, withheld or rejected.
        scored: With a score.
        withheld: Unlike the training data, and therefore without.
        unlike: Unlike the training data, with a score or without; None where the model does not
            check.
        rejected: How many are in `rejects.csv`.
        labels: Scored images per class, or per finding that was called present.
        reasons: Rejected images per reason.
        left_out: Files that are none of the images, per rule; see `file_list.Listing`.
        before: Images that were done when an earlier call was killed.
        seconds: Of this call.
        key: A digest of model, input and settings.
    """

    predictions: str
    statistics: str
    model: str
    input: str
    classes: list[str]
    threshold: float | None
    thresholds: dict[str, float]
    found: int
    images: int
    scored: int
    withheld: int
    unlike: int | None
    rejected: int
    labels: dict[str, int]
    reasons: dict[str, int]
    left_out: dict[str, int]
    before: int
    seconds: float
    key: str


class Job:
    """The scoring of one input by one model into one folder.

    Attributes:
        images: How many are to be scored, among them folders that were not entered.
        earlier_report: What an earlier call came to, where that leaves nothing to do; else None.
    """

    def __init__(
        self,
        source: StrPath,
        out: StrPath,
        model: StrPath,
        force: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        features: Mapping[str, str] | None = None,
        but: Collection[str] = (),
    ):
        """Looks at what there is to do.

        Args:
            source: Folder of images, or of TFRecords, on any of Beam's file systems.
            out: Likewise. Appears when everything is scored.
            model: See `pushed_model.find_model`.
            force: Give scores of images unlike the training data, too.
            limits: What one file may take.
            features: For TFRecords: the name there of each feature of the contract.
            but: Images that are left out, since they were scored before; see
                `scored_before.read_names`. If they are all, there is nothing to run.

        Raises:
            UserError: No input, no model, or `out` holds something else.
        """
        self._start = time.monotonic()
        source_path = filesystem.full_path(source)
        filesystem.require_literal(out, "--output")
        self._out = _check_out(filesystem.full_path(out))
        self._model, self._force = find_model(filesystem.full_path(model)), force
        self._source = batch_parts.Source(source_path, limits, dict(features or {}))
        code = code_digest.digest(__name__)
        self._fingerprint = read_fingerprint(self._model)
        settings = [_FORMAT, code, self._fingerprint, force]
        self._parts, listing = self._source.parts(settings, but)
        self._unread, self._left_out = listing.unread, listing.count_left_out()
        keys = [[part.key for part in self._parts], self._unread, self._left_out]
        self._key = batch_parts.digest_keys(keys)
        self._readable = sum(part.images for part in self._parts)
        self.images = self._readable + len(self._unread)
        if not self._readable and batch_parts.BEFORE not in listing.left_out:
            raise UserError(
                f"{source}: holds neither images nor TFRecords with any (--input)"
                + listing.describe_rest()
            )
        self.earlier_report = self._report()

    def _report(self) -> Report | None:
        """What an earlier call wrote; None unless all of it is there, of this input and model."""
        path = os.path.join(self._out, filenames.PREDICT_REPORT)
        try:
            if not filesystem.is_file(path):
                return None
            with filesystem.open_file(path) as file:
                report = Report(**json.loads(file.read()))
            headings = batch_worker.columns(list(report.thresholds) or report.classes[-1:])
            whole = (
                self._count_rows(filenames.PREDICTIONS, headings) == report.scored + report.withheld
                and self._count_rows(filenames.REJECTS, filenames.REJECT_COLUMNS) == report.rejected
                and scored.read_scored(self._out).images == report.scored + report.withheld
            )
        except (OSError, ValueError, TypeError, csv.Error, UserError):
            return None
        return report if whole and report.key == self._key else None

    def _count_rows(self, name: str, columns: Sequence[str]) -> int | None:
        """The rows of a table of the output, less its heading; None if that is another one."""
        with (
            filesystem.open_file(os.path.join(self._out, name)) as file,
            io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text,
        ):
            rows = csv.reader(text)
            return sum(1 for _ in rows) if next(rows, None) == list(columns) else None

    def run(self, options: Sequence[str] = ()) -> Report:
        """Scores what has no score yet, and writes `out`.

        Args:
            options: As on Beam's command line.

        Raises:
            UserError: The model cannot be loaded, or `out` cannot be written.
        """
        shared = Shared()
        # As long as this process holds the model, workers within it take the same one.
        model = shared.acquire(lambda: Model(self._model))
        classes, thresholds = _operating_points(model)
        told = list(thresholds)
        parent, name = os.path.split(self._out)
        partial = os.path.join(parent, filenames.PARTIAL.format(name))
        with _lock_folder(partial, self._out):
            results = batch_worker.Results(partial)
            parts_to_score = [part for part in self._parts if results.read(part) is None]
            before = self._readable - sum(part.images for part in parts_to_score)
            work = batch_worker.Work(
                self._source, results, self._model, told, self._force,
                self._readable, before, shared,
            )  # fmt: skip
            _score(parts_to_score, work, options)
            folder = os.path.join(partial, _RESULT)
            filesystem.remove_folder(folder)  # of a call that was killed
            report = Report(
                predictions=os.path.join(self._out, filenames.PREDICTIONS),
                statistics=os.path.join(self._out, filenames.SCORED_STATISTICS),
                model=self._model,
                input=self._source.folder,
                classes=classes,
                threshold=thresholds[told[0]] if len(told) == 1 else None,
                thresholds=thresholds if len(told) > 1 else {},
                found=self.images + sum(self._left_out.values()),
                images=self.images,
                left_out=self._left_out,
                **self._gather(results, folder, told),
                before=before,
                seconds=round(time.monotonic() - self._start, 1),
                key=self._key,
            )
            content = json.dumps(dataclasses.asdict(report), indent=1).encode()
            filesystem.write_file(os.path.join(folder, filenames.PREDICT_REPORT), content)
            filesystem.move_folder(folder, self._out, last=filenames.PREDICT_REPORT)
            filesystem.remove_folder(partial)
        return report

    def _gather(
        self, results: batch_worker.Results, folder: str, told: Sequence[str]
    ) -> dict[str, Any]:
        """Writes the parts' results as three files; returns what the report tells of them."""
        if filesystem.is_local(folder):
            os.makedirs(folder, exist_ok=True)
        counts, reasons, labels = Counter[str](), Counter[str](), Counter[str]()
        flags, collector = Counter[str](), scored.Collector(told)
        predictions = os.path.join(folder, filenames.PREDICTIONS)
        rejects = os.path.join(folder, filenames.REJECTS)
        with (
            tables.write_table(predictions, batch_worker.columns(told)) as write_prediction,
            tables.write_table(rejects, filenames.REJECT_COLUMNS) as write_reject,
        ):
            for name, code, detail in self._unread:
                counts[batch_worker.REJECTED] += 1
                reasons[code] += 1
                write_reject((name, code, detail))
            for part in self._parts:
                for kind, *row in results.read(part) or ():
                    counts[kind] += 1
                    if kind == batch_worker.REJECTED:
                        reasons[row[1]] += 1
                        write_reject(row)
                    else:
                        _collect(collector, row.pop(), row, told)
                        if kind == batch_worker.SCORED:
                            labels.update(row[1].split(SEPARATOR) if len(told) > 1 else [row[1]])
                        flags[row[-1]] += 1
                        write_prediction(row)
        if counts.total() != self.images:
            raise RuntimeError(f"{self.images} images in, but {counts.total()} out: {counts}")
        content = scored.to_json(collector.finish(self._fingerprint))
        filesystem.write_file(os.path.join(folder, filenames.SCORED_STATISTICS), content)
        kinds = (batch_worker.SCORED, batch_worker.WITHHELD, batch_worker.REJECTED)
        label_counts = {label: count for label, count in sorted(labels.items()) if label}
        return {
            **{kind: counts[kind] for kind in kinds},
            "unlike": None if flags[batch_worker.FLAGS[None]] else flags[batch_worker.FLAGS[True]],
            "labels": label_counts,
            "reasons": dict(sorted(reasons.items())),
        }


def _collect(
    collector: scored.Collector,
    known: dict[str, Any],
    row: Sequence[str],
    told: Sequence[str],
) -> None:
    """Counts one row of the predictions; see `batch_worker.columns`."""
    texts = row[2 : 2 + len(told)]
    features = {key: v.encode() if isinstance(v, str) and key != contract.PATIENT else v
                for key, v in known.items()}  # fmt: skip
    unlike = next(flag for flag, text in batch_worker.FLAGS.items() if text == row[-1])
    collector.add(features, [float(text) for text in texts] if all(texts) else None, unlike)


def _score(parts: list[batch_parts.Part], work: batch_worker.Work, options: Sequence[str]) -> None:
    pipeline_options = beam_options.parse(beam_options.complete(options))
    if not parts:
        return
    if work.before:
        progress.log.info("%d of %d images are done already", work.before, work.images)
    folder = os.path.join(work.results.folder, _WORK)
    filesystem.remove_folder(folder)  # of a call that was killed
    groups = chunks.write_chunks(folder, batch_parts.group_parts(parts))
    with isolation.apart(), beam.Pipeline(options=pipeline_options) as pipeline:
        _ = (
            pipeline
            | "Parts" >> chunks.ReadChunks(groups)
            | "Score" >> beam.ParDo(batch_worker.Score(work))
        )


def _check_out(out: str) -> str:
    own_files = {
        filenames.PREDICTIONS, filenames.REJECTS, filenames.PREDICT_REPORT,
        filenames.SCORED_STATISTICS, filenames.MONITOR_PAGE,
    }  # fmt: skip
    try:
        names = set(filesystem.list_names(out))
    except OSError as error:
        raise UserError(f"{out}: cannot be listed: {error.strerror} (--output)") from None
    if (
        os.path.isfile(out)
        or names - own_files
        or (names and filenames.PREDICT_REPORT not in names)
    ):
        raise UserError(
            f"{out}: holds something else than predictions; it would be lost. Name a folder that "
            "is new, empty, or was written by tfxray predict (--output)"
        )
    return out


def _operating_points(model: Model) -> tuple[list[str], dict[str, float]]:
    """Classes or findings, and the thresholds of those whose scores are told.

    A model names them with any image, such as a black one.
    """
    outputs = model.outputs([image.encode_png(np.zeros((64, 64), np.uint8))])
    names = [name.decode() for name in outputs[contract.CLASSES][0]]
    thresholds = np.ravel(outputs[contract.THRESHOLD][0]).tolist()
    return names, dict(zip(names[-len(thresholds) :], thresholds, strict=True))


@contextlib.contextmanager
def _lock_folder(partial: str, out: str) -> Iterator[None]:
    """Keeps a second call out, on this machine; elsewhere both do the same work."""
    if not filesystem.is_local(partial):
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(partial, exist_ok=True)
            lock = os.path.join(partial, _LOCK)
            stack.enter_context(
                locks.hold(lock, "tfxray predict", progress.log.info, wait=False, remove=True)
            )
        except locks.Busy as who:
            raise UserError(f"{out}: {who} is at work there; wait for its end (--output)") from None
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror} (--output)") from None
        yield
