"""Finds a pattern over files' names that may tell whose X-rays they are."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfxray.pipeline.proposal import class_words

# A number, perhaps behind letters, and behind it what tells a patient's images apart.
_NUMBERED = r"[A-Za-z]*[_-]?\d+"
# Patterns, the surest first.
_CANDIDATES = (
    r"(?P<patient>(?i:patient|person|subject|pat|pid)[ _-]?\d+)",
    rf"(?:^|/)(?P<patient>{_NUMBERED})[ _-][^/]*$",
    r"(?:^|/)[A-Za-z]+[ _-](?P<patient>[A-Za-z]*\d+)[ _-][^/]*$",
)
# A folder for each patient, or one for each study within it.
_FOLDERS = (
    r"(?:^|/)(?P<patient>[^/]*\d[^/]*)/[^/]+$",
    r"(?:^|/)(?P<patient>[^/]*\d[^/]*)/[^/]+/[^/]+$",
)
_WORD = r"[A-Za-z]+"
# Patterns of names that tell the class, too, and where in the name.
LABELLED = {
    rf"(?:^|/)(?P<patient>{_NUMBERED})_(?P<label>[01])\.\w+$": "at the end of the file names",
    r"_(?P<label>[01])\.\w+$": "at the end of the file names",
    rf"(?:^|/)(?P<label>{_WORD})[ _-]?\d[^/]*$": "that the file names begin with",
    rf"(?:^|/)(?P<label>{_WORD})[ _-][^/]*$": "that the file names begin with",
    rf"[ _-](?P<label>(?:(?:no|non|not)[ _-])?{_WORD})\.\w+$": "that the file names end with",
}
_SURE = tuple(LABELLED)[:3]  # by the others, a word must be one that classes have
_INDEXED = re.compile(r"(.*)_[01]\.\w+$")
_DATE = re.compile(r"(?:19|20)\d\d(?:[01]\d[0-3]\d)?")  # in the place of a patient
_LEAST = 0.95  # of all images must match, so that a pattern tells labels
_MOST = 0.75  # so that it tells patients: each of the others is a patient of its own
_MOST_EACH = 20  # images of a patient in the mean; a pattern that gives more tells something else
_MIXED = 0.3  # of the patients in several classes: numbers may then begin anew in each folder


class Pattern(NamedTuple):
    """What a pattern makes of files' names.

    Attributes:
        regex: For `ingest.pattern`.
        images: How many of them it matches.
        patients: How many it tells apart.
        mixed: How many of these have images in several class folders.
        path: Of an image of a patient who has several.
        patient: Of that image.
        odd: The paths that it does not match.
    """

    regex: str
    images: int
    patients: int
    mixed: int
    path: str
    patient: str
    odd: Sequence[str] = ()

    def lines(self, withheld: bool) -> list[str]:
        """What a user must check of it.

        Args:
            withheld: Whether names of files must not be shown.
        """
        example = "" if withheld else f": {self.path} is of patient {self.patient}"
        lines = [f"{self.patients} patients of {self.images} images by the file names{example}"]
        if self.odd:
            first = "" if withheld else f", such as {self.odd[0]}"
            lines.append(
                f"{len(self.odd)} file names do not fit that pattern{first}: each counts as a "
                "patient of its own. CHECK"
            )
        if self.mixed > _MIXED * self.patients:
            lines.append(
                f"{self.mixed} of these patients have images in several class folders. If numbers "
                "begin anew in each folder, they are not the same people: put the group "
                "(?P<kind>FOLDER) into the pattern"
            )
        return lines


def find_pattern(paths: Sequence[str], classes: Sequence[str] = ()) -> Pattern | None:
    """Finds a pattern by which patients have several images each.

    Args:
        paths: Of all images, below the folder, with `/`.
        classes: Names of folders that are classes.

    Returns:
        None where no pattern of those that are tried fits, or each image would be a patient's own:
        so it is without a pattern, too.
    """
    for tried in (_CANDIDATES, _FOLDERS):
        patterns = [p for p in (try_pattern(regex, paths, classes) for regex in tried) if p]
        if patterns:
            return patterns[0] if tried is _CANDIDATES else max(patterns, key=lambda p: p.patients)
    return None


def try_pattern(regex: str, paths: Sequence[str], classes: Sequence[str] = ()) -> Pattern | None:
    """What a pattern makes of files' names; None where it does not fit.

    Args:
        regex: With a group `patient`.
        paths: See `find_pattern`.
        classes: Likewise.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path, match in _matches(regex, paths):
        if match["patient"] not in classes:
            images[match["patient"]].append(path)
    count = sum(map(len, images.values()))
    if not images or count < _MOST * len(paths) or count > _MOST_EACH * len(images):
        return None
    if len(images) == count or all(map(_DATE.fullmatch, images)):
        return None
    folders = {
        patient: {folder for path in own for folder in path.split("/")[:-1] if folder in classes}
        for patient, own in images.items()
    }
    patient, own = next((p, own) for p, own in images.items() if len(own) > 1)
    mixed = sum(len(names) > 1 for names in folders.values())
    known = {path for own in images.values() for path in own}
    odd = [path for path in paths if path not in known]
    return Pattern(regex, count, len(images), mixed, own[0], patient, odd)


def find_labels(regex: str, paths: Sequence[str], most: int) -> Counter[str] | None:
    """The labels that a pattern finds in files' names; None where it does not fit.

    Args:
        regex: With a group `label`.
        paths: See `find_pattern`.
        most: The most classes that are believed.
    """
    labels = Counter(match["label"] for _, match in _matches(regex, paths))
    fits = labels.total() >= _LEAST * len(paths) and 2 <= len(labels) <= most
    if set(labels) == {"0", "1"}:
        fits = fits and not count_images(paths)
    elif regex not in _SURE:
        fits = fits and any(map(class_words.is_known, labels))
    return labels if fits else None


def count_images(paths: Sequence[str]) -> bool:
    """Whether 0 and 1 at the end of files' names count the images of a patient.

    Then the same name is there with both; as a label, an image has one of them.

    Args:
        paths: See `find_pattern`.
    """
    names = Counter(match[1] for path in paths if (match := _INDEXED.match(path)))
    return any(count > 1 for count in names.values())


def _matches(regex: str, paths: Sequence[str]) -> Iterator[tuple[str, re.Match[str]]]:
    pattern = re.compile(regex)
    for path in paths:
        if match := pattern.search(path):
            yield path, match
