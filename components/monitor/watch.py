"""Watches a pushed model: reads what goes with it and what it scored, and judges each folder."""

import dataclasses
from collections.abc import Mapping, Sequence

from tfxray.components.monitor import labels, verdict
from tfxray.components.monitor.verdict import Month
from tfxray.components.predict.pushed_model import find_model, read_fingerprint
from tfxray.components.watch import scored
from tfxray.components.watch.reference import Reference, read_reference
from tfxray.components.watch.score_histogram import ScoreHistogram


@dataclasses.dataclass(frozen=True)
class Watch:
    """What became of it.

    Attributes:
        model: The version's folder.
        reference: What goes with it.
        months: The folders, in the order given; the last is judged.
        scores: The last folder's, by class or finding.
    """

    model: str
    reference: Reference
    months: Sequence[Month]
    scores: Mapping[str, ScoreHistogram]


def watch_model(model: str, folders: Sequence[str], labels_path: str | None = None) -> Watch:
    """Judges scored folders.

    Args:
        model: See `pushed_model.find_model`.
        folders: What `tfxray predict --input` wrote, the newest last.
        labels_path: Labels of the last folder's images; see `labels.measure_labelled`.

    Raises:
        UserError: No model, a model without its run, a folder that another model scored, or labels
            of images that were not scored.
    """
    version = find_model(model)
    reference = read_reference(version)
    fingerprint = read_fingerprint(version)
    months, names = [], verdict.name_months(folders)
    for number, folder in enumerate(folders, 1):
        images = scored.read_scored(folder)
        verdict.check_model(folder, images, fingerprint, version, reference.task)
        newest = number == len(folders)
        labelled = (
            labels.measure_labelled(labels_path, folder, reference.task)
            if newest and labels_path
            else None
        )
        months.append(verdict.judge_month(names[number - 1], images, reference, labelled))
    return Watch(version, reference, months, images.scores)
