"""Looks at TFRecords, and proposes the keys of a config that reads them."""

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.source import tfrecords
from tfxray.pipeline.proposal.class_folders import MOST_CLASSES
from tfxray.pipeline.proposal.class_words import order_classes
from tfxray.pipeline.proposal.folder import Proposal

_LOOKED_AT = 500  # records of each file
_MOST_FILES = 8
_IMAGE_MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_LABELS = ("label", "class", "diagnosis", "target", "finding")
_PATIENTS = ("patient", "subject", "pid")

Values = Mapping[str, Sequence[bytes | int | float]]


def look_at_records(folder: str) -> Proposal:
    """Proposes how a folder of TFRecords is read.

    Args:
        folder: One that holds some.

    Raises:
        UserError: They cannot be read, hold no image, or nothing tells their labels.
    """
    layout = tfrecords.find_layout(folder)
    files = layout.files[:: max(1, len(layout.files) // _MOST_FILES)][:_MOST_FILES]
    values: dict[str, list[bytes | int | float]] = defaultdict(list)
    for file in files:
        for record in _read(os.path.join(folder, file)):
            for name, cells in record.items():
                values[name] += cells[:1]
    proposal = Proposal()
    if contract.IMAGE in values:
        _take_contract(proposal, values)
    else:
        _take_others(proposal, folder, values)
    if not (proposal.classes or proposal.findings):
        raise UserError(
            f"{folder}: nothing tells the classes of the records. Their features are "
            f"{', '.join(sorted(values))}. Write a config yourself: ingest.features says which is "
            "the label"
        )
    count = max(map(len, values.values()), default=0)
    proposal.told.append(f"{len(layout.files)} files of TFRecords; {count} records looked at")
    if contract.PATIENT not in {*values, *proposal.ingest.get("features", {})}:
        proposal.told.append("patients: no feature of the records tells them")
    return proposal


def _read(path: str) -> list[Values]:
    from tensorflow.core.example.example_pb2 import Example

    records: list[Values] = []
    for content in itertools.islice(tfrecords.read_records(path), _LOOKED_AT):
        if isinstance(content, bytes):
            features = Example.FromString(content).features.feature
            records.append({n: _cells(feature) for n, feature in features.items()})
    return records


def _cells(feature: object) -> list[bytes | int | float]:
    kind = feature.WhichOneof("kind")  # type: ignore[attr-defined]
    return list(getattr(feature, kind).value) if kind else []


def _take_contract(proposal: Proposal, values: Mapping[str, Sequence[bytes | int | float]]) -> None:
    """Takes what records of the data contract say themselves."""
    start = contract.finding("")
    proposal.findings = sorted(
        name.removeprefix(start) for name in values if name.startswith(start)
    )
    if proposal.findings:
        proposal.comments["findings"] = "Findings by the features of the records."
        return
    pairs = zip(values.get(contract.LABEL, ()), values.get(contract.TEXT, ()), strict=False)
    by_number = {number: text for number, text in pairs if isinstance(text, bytes)}
    proposal.classes = [by_number[number].decode(errors="replace") for number in sorted(by_number)]
    proposal.comments["classes"] = "Classes by the records, in the order of their labels."


def _take_others(
    proposal: Proposal, folder: str, values: Mapping[str, Sequence[bytes | int | float]]
) -> None:
    """Guesses which features of other names are what."""
    images = [n for n, cells in values.items() if _are_images(cells)]
    if len(images) != 1:
        raise UserError(
            f"{folder}: {len(images) or 'none'} of the records' features hold images: "
            f"{', '.join(images or sorted(values))}. Say which in a config of your own: "
            f"ingest.features: {{{contract.IMAGE}: NAME}}"
        )
    features = {contract.IMAGE: images[0]}
    label = next((n for word in _LABELS for n in values if word in n.lower()), None)
    if label and 2 <= len(counts := Counter(values[label])) <= MOST_CLASSES:
        if all(isinstance(text, bytes) for text in counts):
            features[contract.TEXT] = label
            texts = [text.decode(errors="replace") for text in counts if isinstance(text, bytes)]
            proposal.classes = order_classes(texts)
        else:
            features[contract.LABEL] = label
            last = max(int(number) for number in counts)
            names = (
                ["negative", "positive"] if last == 1 else [f"class_{n}" for n in range(last + 1)]
            )
            proposal.classes = names
        proposal.comments["classes"] = (
            f"Classes by the feature {label}, in the order of their numbers: CHECK, and name them."
        )
    if patient := next((n for word in _PATIENTS for n in values if word in n.lower()), None):
        features[contract.PATIENT] = patient
    proposal.ingest["features"] = features
    proposal.comments["features"] = "What the records call the features of tfxray. CHECK."
    unread = sorted(set(values) - set(features.values()))
    if unread:
        proposal.unclear.append(f"features that are not read: {', '.join(unread[:10])}")


def _are_images(cells: Sequence[bytes | int | float]) -> bool:
    return bool(cells) and all(isinstance(c, bytes) and c.startswith(_IMAGE_MARKS) for c in cells)
