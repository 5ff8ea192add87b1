"""What a worker of batch scoring does: reads a part, scores it, and writes its result.

All in one stage, so that no image passes a shuffle, behind which Beam would keep them all, and what
is done is on disk at once. RunInference of Beam's gives its results to a later stage, and ends the
job with one damaged image; that of TFX, BulkInferrer's too, finds no variables in an export of
Keras 3.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from tfxray.components.common import filesystem, progress
from tfxray.components.guard import rejects
from tfxray.components.jobs import chunks
from tfxray.components.predict import batch_parts
from tfxray.components.predict.pushed_model import Model, Prediction

_BEFORE, _AFTER = ("name", "label"), ("distance", "unlike")

# In the column `unlike`.
FLAGS = {True: "true", False: "false", None: "not checked"}
# The first entry of each line of a result. The last is `NamedImage.known`, but for the rejected.
SCORED, WITHHELD, REJECTED = "scored", "withheld", "rejected"


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of parts, as files of JSON lines.

    Attributes:
        folder: Where they lie.
    """

    folder: str

    def _path(self, part: batch_parts.Part) -> str:
        return os.path.join(self.folder, f"{part.key}.jsonl")

    def write(self, part: batch_parts.Part, lines: Sequence[Sequence[Any]]) -> None:
        """Writes a part's result: one line per image, or it is none."""
        if len(lines) != part.images:
            raise RuntimeError(f"{part.images} images in, but {len(lines)} out")
        filesystem.write_file(
            self._path(part), "".join(f"{json.dumps(li)}\n" for li in lines).encode()
        )

    def read(self, part: batch_parts.Part) -> list[list[Any]] | None:
        """A part's result; None where there is none, or a writer was killed over it."""
        try:
            with filesystem.open_file(self._path(part)) as file:
                content = file.read()
        except OSError:
            return None
        if content.count(b"\n") != part.images:
            return None
        try:
            return [json.loads(line) for line in content.splitlines()]
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done to each part.

    Attributes:
        source: Where parts are read.
        results: Where their results go.
        model: The model's folder.
        told: The classes or findings whose scores are told.
        force: Give scores of images unlike the training data, too.
        images: Of all parts.
        before: How many of them are done already.
        shared: Holds one model for all threads of a process.
    """

    source: batch_parts.Source
    results: Results
    model: str
    told: Sequence[str]
    force: bool
    images: int
    before: int
    shared: Shared


class Score(beam.DoFn):
    """Groups of parts to their results, in files."""

    def __init__(self, work: Work):
        self._work = work

    def setup(self) -> None:
        """See `beam.DoFn`."""
        self._model = self._work.shared.acquire(lambda: Model(self._work.model))
        self._progress = progress.Count(self._work.images, self._work.before)

    def process(self, group: bytes) -> Iterator[int]:
        """Scores the parts of a group, one after the other; tells the images of each."""
        work = self._work
        parts = [batch_parts.Part(*fields) for fields in chunks.unpack(group)]
        with contextlib.closing(work.source.batches(parts)) as read:
            for part, batches in read:
                lines: list[Sequence[Any]] = []
                for batch in batches:
                    lines += self._lines(batch)
                    self._progress.add(len(batch))
                work.results.write(part, lines)
                yield part.images

    def _lines(self, batch: list[batch_parts.NamedImage]) -> Iterator[Sequence[Any]]:
        usable, known = [], []
        for image in batch:
            if isinstance(image.encoded, rejects.Rejected):
                yield _reject(image.name, image.encoded)
            else:
                usable.append((image.name, image.encoded))
                known.append(image.known)
        if not usable:
            return
        predictions = self._model.predict(usable, self._work.force)
        for (name, _), own, prediction in zip(usable, known, predictions, strict=True):
            if isinstance(prediction, rejects.Rejected):
                yield _reject(name, prediction)
            else:
                yield *_row(prediction, self._work.told), own


def columns(told: Sequence[str]) -> Sequence[str]:
    """The headings of the table of predictions.

    Args:
        told: The one class, or the classes or findings, whose scores are told.
    """
    figures = ["score", "threshold"] if len(told) == 1 else [f"score {name}" for name in told]
    return [*_BEFORE, *figures, *_AFTER]


def _row(prediction: Prediction, told: Sequence[str]) -> Sequence[Any]:
    scores = [f"{prediction.scores[n]:.7g}" if prediction.scores else "" for n in told]
    kind = SCORED if prediction.scores else WITHHELD
    distance = "" if prediction.distance is None else f"{prediction.distance:.4g}"
    thresholds = [] if prediction.threshold is None else [f"{prediction.threshold:.7g}"]
    flags = (distance, FLAGS[prediction.unlike])
    return kind, prediction.path, prediction.label or "", *scores, *thresholds, *flags


def _reject(name: str, reject: rejects.Rejected) -> Sequence[Any]:
    return REJECTED, name, reject.code, reject.detail
