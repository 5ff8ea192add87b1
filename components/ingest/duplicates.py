"""Finds images with the same pixels that must not both be used.

Where tfxray draws the splits, images that are the same, or nearly so, go to one split as those of a
patient do: ExampleGen sees to it, and `find_moves` where `eval` is drawn out of `train`.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from tfxray.components.common import contract

# Of two copies in given splits, the one that held-out scores need stays: that of the lower rank.
_SPLIT_RANK = {"test": 0, "eval": 1, "train": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is remembered of each example while it is ingested.

    Attributes:
        sha256: Digest of its pixels.
        name: Its file's name, as in the records.
        label: Its class, or its findings in words.
        split: Its split.
        patient: Its patient, empty where unknown.
        place: What the source calls it, where the records call it otherwise. Of a record of others,
            its file and number, since their names need not differ.
        phash: Perceptual hash of its pixels.
    """

    sha256: str
    name: str
    label: str
    split: str
    patient: str
    place: str = ""
    phash: str = ""

    @property
    def owner(self) -> str:
        """Its patient, as the records have it: one of its own where it is unknown."""
        return self.patient or contract.own_patient(self.name)

    def fields(self) -> tuple[str, ...]:
        """Its texts, in their order, to make it again."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def source_name(self) -> str:
        """What the source calls it."""
        return self.place or self.name

    def order(self) -> tuple[str, str, int, str]:
        """Sorts entries, whoever read them first: by name, and of one name by file and number."""
        file, _, number = self.place.rpartition("#")
        return self.name, file, len(number), number


def find_duplicates(index: Iterable[Entry], drawn: Collection[str] = ()) -> list[tuple[Entry, str]]:
    """Finds the copies to set aside.

    Images of two classes with the same pixels: all of them go, since none of the labels can be
    trusted. Of two given splits: one stays, that of `test` before that of `eval` and `train`.
    Within a split, an image may be there twice, whoever the patient is.

    Args:
        index: All examples, or all that share some digests.
        drawn: The splits that are not given, but drawn out of each other.

    Returns:
        Each copy to set aside, and why, in the order of the digests.
    """
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in index:
        groups[entry.sha256].append(entry)
    copies: list[tuple[Entry, str]] = []
    for digest in sorted(d for d, group in groups.items() if len(group) > 1):
        group = sorted(groups[digest], key=lambda e: (_SPLIT_RANK.get(e.split, 0), e.order()))
        if len({e.label for e in group}) > 1:
            copies += [(e, _other(e, group)) for e in group]
        else:
            original = group[0]
            name = original.source_name
            copies += [
                (e, f"same pixels as {name} (in {original.split})")
                for e in group[1:]
                if e.split != original.split and not {e.split, original.split} <= {*drawn}
            ]
    return copies


def _other(entry: Entry, group: list[Entry]) -> str:
    other = next(e for e in group if e.label != entry.label)
    return f"same pixels as {other.source_name}, which is {other.label}"


def find_moves(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Finds the examples to move, so that all of a group are in one of the splits that were drawn.

    They were drawn by what is known before a file is read. A DICOM file tells its patient only
    then; and patients who share an image, or nearly so, count as one.

    Args:
        entries: All examples, in splits that were drawn, of one patient or of a group of them.

    Yields:
        Each that moves, and the split that it belongs to: that of the first example of the first
        patient.
    """
    ordered = sorted(entries, key=lambda e: (e.owner, e.order()))
    split = ordered[0].split
    yield from ((entry, split) for entry in ordered if entry.split != split)
