"""What a config makes of a folder's labels, before anything is read of an image."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from tfxray.components.common.errors import UserError
from tfxray.components.guard import rejects
from tfxray.components.layouts import public
from tfxray.components.listing import file_list
from tfxray.components.metadata.patients import known_patient
from tfxray.components.source import tfrecords
from tfxray.components.source.labelling import LabelledImages
from tfxray.components.source.rows import Row
from tfxray.pipeline import data_folder, prepare
from tfxray.pipeline.config.config import Config

_SCARCE = (
    "patients of {} in the split test: about {}; the gate asks for {} ({}), and would refuse a "
    "model. Add X-rays, or let more patients be tested (split.test)"
)


@dataclasses.dataclass(frozen=True)
class Labels:
    """What is known of the labels of a folder.

    Attributes:
        images: How many are there and have a label.
        counts: Of each class, or of each finding that is present.
        patients: How many are told; None where an image names none, as DICOM files do until they
            are read.
        by_label: Patients of each class or finding; empty where they are not told.
        left_out: Files that are none of the images, by rule.
        notes: What the user should know, a line each.
    """

    images: int
    counts: Mapping[str, int]
    patients: int | None
    by_label: Mapping[str, int]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]

    def lines(self, config: Config) -> list[str]:
        """What a user is told of them.

        Args:
            config: Whose gate they will meet.
        """
        told = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        lines = [f"labels: {told}; {self.images} images", *self.notes]
        if self.left_out:
            lines.append(rejects.count_left_out(self.left_out))
        if self.patients is None:
            lines.append(
                "patients: not told for all images yet; DICOM files may tell them when a run reads "
                "them. An image that names none even then counts as a patient of its own, and a "
                "patient may then be in two splits"
            )
        else:
            lines.append(f"patients: {self.patients}")
        return lines + self._scarce(config)

    def _scarce(self, config: Config) -> list[str]:
        """The classes of which the split `test` would have fewer patients than the gate asks for.

        Of splits that are given, nothing is guessed.
        """
        if _gives_splits(self.notes) or not self.by_label:
            return []
        least = dict.fromkeys(self.counts, config.gate.min_positives)
        key = dict.fromkeys(self.counts, "gate.min_positives")
        if config.task.binary:
            negative = config.task.names[0]
            least[negative], key[negative] = config.gate.min_negatives, "gate.min_negatives"
        expected = {n: round(c * config.split.test) for n, c in self.by_label.items()}
        return [
            _SCARCE.format(name, expected[name], least[name], key[name])
            for name in self.counts
            if expected.get(name, 0) < least[name]
        ]


def read_labels(
    config: Config, data: str, say: data_folder.Say, option: str = "--data"
) -> Labels | None:
    """Finds the labels of a data folder as a run does.

    Args:
        config: The experiment.
        data: The folder.
        say: Takes a line on which public data set it is.
        option: By which the user named the folder.

    Returns:
        None of TFRecords, whose labels a run checks as it reads them.

    Raises:
        UserError: As a run says it: see `labelling.label_images` and `prepare.require_patients`.
    """
    file_list.require_folder(data, option)
    if tfrecords.holds_records(data):
        return None
    folder = data_folder.find_folder(os.fspath(data), config, say)
    rules = data_folder.label_rules(config, folder, say)
    labelled = public.label_images(folder.path, rules)
    counts: Counter[str] = Counter()
    patients: dict[str, set[str]] = {name: set() for name in labelled.task.names}
    every: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for row in labelled.rows:
        if code := _reject_code(row, labelled):
            rejected[code] += 1
            continue
        patient = known_patient(row.metadata.get("patient", ""))
        every[patient] += 1
        for name in [n for n, v in (row.findings or {}).items() if v == 1] or [row.label or ""]:
            if name in patients:
                counts[name] += 1
                patients[name].add(patient)
    notes = list(labelled.listing.notes)
    if rejected:
        notes.append(_describe_rejected(rejected, len(labelled.rows), config))
    lacking = "" in every
    if not _gives_splits(notes):
        largest = max((count for patient, count in every.items() if patient), default=0)
        prepare.require_patients(largest, every.total())
    return Labels(
        images=every.total(),
        counts={name: counts[name] for name in labelled.task.names},
        patients=None if lacking else len(every),
        by_label={} if lacking else {name: len(ids) for name, ids in patients.items()},
        left_out=labelled.listing.count_left_out(),
        notes=tuple(notes),
    )


def find_present(folder: data_folder.Folder) -> tuple[tuple[str, ...], list[str]]:
    """The classes or findings of a public data set that images of a folder have: it may be a part.

    Args:
        folder: One that is a public data set.

    Returns:
        Their names, and what to tell of the others. All of them where fewer than two classes, or no
        finding, would stay: what is wrong is said of them then.
    """
    dataset = folder.dataset
    assert dataset is not None
    every = tuple(dataset.findings or dataset.classes)
    rules = data_folder.label_rules(None, folder)  # without a config, those count that occur
    try:
        names = public.label_images(folder.path, rules).task.names
    except UserError:
        return every, []
    lacking = [name for name in every if name not in names]
    what = "findings" if dataset.findings else "classes"
    told = f"no image has {', '.join(lacking)}: left out of the {what} of the config"
    return tuple(names), [told] if lacking else []


def _gives_splits(notes: Sequence[str]) -> bool:
    """Whether notes on a folder say that its splits are given."""
    return any("given by" in note for note in notes)


def _reject_code(row: Row, labelled: LabelledImages) -> str:
    """Why a run would reject an image, as far as is known before it is read; else empty."""
    if row.path in labelled.listing.gone:
        return "unreadable"
    if not row.labelled:
        return "no_label"
    task = labelled.task
    odd = row.label is not None and not (task.exclusive and row.label in task.names)
    return "unknown_label" if odd else ""


def _describe_rejected(counts: Counter[str], rows: int, config: Config) -> str:
    told = rejects.describe_rejected(counts.total(), rows, counts)
    most = config.validation.max_rejected
    if counts.total() <= most * rows or config.validation.gate.rejects != "fail":
        return told
    return (
        f"{told}. At most {most:.1%} are allowed (validation.max_rejected): a run would end there"
    )
