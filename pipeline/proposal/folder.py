"""Looks at a folder of X-rays, and proposes the keys of a config that reads it."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tfxray.components.common import privacy
from tfxray.components.common.errors import UserError
from tfxray.components.listing import file_list
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings
from tfxray.components.manifest.manifest import MANIFEST
from tfxray.components.metadata.split_names import SPLIT_NAMES
from tfxray.pipeline.proposal import patients, table

MOST_CLASSES = 20  # more folders, or more words of a table, are something else
_DEEPEST = 4  # folders below which none is looked for that is a class
_LEAST = 0.95  # of the images must lie in class folders
_NUMBERED = re.compile(r"[A-Za-z]*[ _-]?\d+")  # the name of a patient's folder, or of a part
# What people call images without a finding, besides the words that the manifest's reader knows.
_NEGATIVE = ("healthy", "negative", "control", "controls", "benign", "neg", "absent", "0", "clear")
_ZERO_ONE = {"0": "negative", "1": "positive"}


@dataclasses.dataclass
class Proposal:
    """What a folder seems to be.

    Attributes:
        classes: The negative one first; empty where there are findings.
        findings: In their place.
        ingest: Keys of the config's section `ingest`.
        comments: What stands above a key of the config in the file.
        told: What a user should know, and check, a line each.
        unclear: What was not understood, a line each.
    """

    classes: list[str] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)
    ingest: dict[str, Any] = dataclasses.field(default_factory=dict)
    comments: dict[str, str] = dataclasses.field(default_factory=dict)
    told: list[str] = dataclasses.field(default_factory=list)
    unclear: list[str] = dataclasses.field(default_factory=list)


def look_at_images(folder: str) -> Proposal:
    """Proposes how a folder of images is read: by class folders, by a table, or by file names.

    Args:
        folder: One that is no known public data set, and holds no TFRecords.

    Raises:
        UserError: It holds no images, or nothing tells their labels. Says what was seen.
    """
    listing = file_list.list_images(folder)
    if not listing.files:
        raise UserError(
            f"{folder}: holds no images and no TFRecords{listing.describe_rest()}. Name the folder "
            "that holds the X-rays: PNG, JPEG, TIFF, BMP, WebP or DICOM"
        )
    manifest, others = table.find_manifest(folder, listing)
    proposal = Proposal()
    folders = _find_class_folders(listing.files)
    if manifest:
        _take_table(proposal, manifest)
    if folders and not (proposal.classes or proposal.findings):
        _take_classes(proposal, folders, "the folders that the images lie in")
    withheld = privacy.names_withheld(folder, listing.files)
    if not (proposal.classes or proposal.findings):
        _take_names(proposal, listing.files)
    if not (proposal.classes or proposal.findings):
        raise UserError(_nothing_tells(folder, listing, others, withheld))
    if not (manifest and manifest.tells_patients):
        _take_patients(proposal, listing.files, folders, withheld)
    if others:
        shown = "" if withheld else f": {', '.join(others[:5])}"
        proposal.unclear.append(f"{len(others)} tables or texts, which are not read{shown}")
    return proposal


def order_classes(names: Iterable[str]) -> list[str]:
    """Names of classes, those first that say that there is no finding."""
    return sorted(names, key=lambda name: (not _is_negative(name), name))


def _is_negative(name: str) -> bool:
    words = re.split(r"[\W_]+", name.casefold())
    return findings.says_none(name) or name.casefold() in _NEGATIVE or words[0] in ("no", "non")


def _find_class_folders(paths: Sequence[str]) -> Counter[str] | None:
    """The folders at one depth that may be classes, with the number of their images."""
    for depth in range(_DEEPEST):
        names = Counter(
            folders[depth] for path in paths if len(folders := path.split("/")[:-1]) > depth
        )
        if set(map(str.lower, names)) <= set(SPLIT_NAMES):
            continue
        numbered = len(names) > 3 and all(map(_NUMBERED.fullmatch, names))
        if 2 <= len(names) <= MOST_CLASSES and not numbered:
            return names if names.total() >= _LEAST * len(paths) else None
    return None


def _take_classes(proposal: Proposal, counts: Iterable[str], where: str) -> None:
    names = order_classes(counts)
    proposal.classes = names
    proposal.comments["classes"] = (
        f"Classes by {where}. The negative one comes first; CHECK that it is. To leave a class "
        "out, take it away here, and write `labels: {NAME: null}` below `ingest`."
    )


def _take_table(proposal: Proposal, manifest: table.Manifest) -> None:
    columns, ingest = dict(manifest.columns), proposal.ingest
    words = manifest.labels
    if manifest.findings:
        proposal.findings = list(manifest.findings)
    elif any(findings.SEPARATOR in text for text in words):
        names = {w.strip() for text in words for w in text.split(findings.SEPARATOR)} - {""}
        proposal.findings = sorted(name for name in names if not findings.says_none(name))
    elif set(words) == set(_ZERO_ONE):
        proposal.ingest["labels"] = dict(_ZERO_ONE)
        _take_classes(proposal, _ZERO_ONE.values(), "0 and 1 in the table")
    elif 2 <= len(words) <= MOST_CLASSES:
        _take_classes(proposal, words, "the words in the table")
    elif words:
        columns.pop("label", None)
        proposal.unclear.append(
            f"{manifest.name}: its column of labels has {len(words)} words: too many for classes"
            if len(words) > 2 else f"{manifest.name}: its column of labels has one word alone"
        )  # fmt: skip
    if proposal.findings:
        proposal.comments["findings"] = (
            f"Findings by the table {manifest.name}: an image has none of them, one or several. "
            "CHECK them: a finding that few images have is hard to judge."
        )
    if manifest.name != MANIFEST or columns or manifest.extension:
        ingest["manifest"] = manifest.name
        proposal.comments["manifest"] = "The table of the images, and what its columns are. CHECK."
    if columns:
        ingest["columns"] = columns
    if manifest.extension:
        ingest["extension"] = manifest.extension


def _take_names(proposal: Proposal, paths: Sequence[str]) -> None:
    """Takes classes from files' names, where neither folders nor a table tell them."""
    for regex in patients.LABELLED:
        labels = patients.find_labels(regex, paths, MOST_CLASSES)
        if not labels:
            continue
        proposal.ingest["pattern"] = regex
        if set(labels) == set(_ZERO_ONE):
            proposal.ingest["labels"] = dict(_ZERO_ONE)
            _take_classes(proposal, _ZERO_ONE.values(), "0 and 1 at the end of the file names")
        else:
            _take_classes(proposal, labels, "the words that the file names begin with")
        return


def _take_patients(
    proposal: Proposal, paths: Sequence[str], folders: Iterable[str] | None, withheld: bool
) -> None:
    pattern = proposal.ingest.get("pattern", "")
    if withheld:
        proposal.told.append("patients: DICOM files tell them, by pseudonyms")
        return
    found = None
    if "(?P<patient>" in pattern:
        found = patients.try_pattern(pattern, paths)
        if not found:  # each image is a patient's own
            proposal.ingest["pattern"] = re.sub(r"\(\?P<patient>(.*?)\)", r"\1", pattern, count=1)
            pattern = proposal.ingest["pattern"]
    else:
        found = patients.find_pattern(paths, tuple(folders or ()))
        if found:
            both = f"^(?=.*?{found.regex})(?=.*?{pattern})"
            proposal.ingest["pattern"] = both if pattern else found.regex
    if found:
        proposal.told += found.lines(withheld)
        proposal.comments["pattern"] = (
            f"Tells {found.patients} patients of {found.images} images by the file names. CHECK "
            "it: the images of one patient must go to one split."
        )
        return
    proposal.told.append("no pattern over the file names tells patients who have several images")
    proposal.comments["ingest"] = (
        "No patients are told: each image counts as a patient of its own. If the file names tell "
        "them, say how, such as `pattern: '(?P<patient>P\\d+)_'`; or name a table (`manifest`) "
        "with a column `patient`."
    )


def _nothing_tells(folder: str, listing: Listing, others: Sequence[str], withheld: bool) -> str:
    depths = Counter(path.count("/") for path in listing.files)
    at = ", ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items()))
    seen = f"{len(listing.files)} images ({at})"
    if others:
        seen += f", {len(others)} tables or texts that tell no labels of them"
        seen += "" if withheld else f" ({', '.join(others[:5])})"
    name = os.path.basename(os.path.abspath(folder))
    return (
        f"{folder}: nothing tells the classes of the images. Seen: {seen}"
        f"{listing.describe_rest()}. Put the images into a folder for each class (such as "
        f"{name}/NORMAL and {name}/PNEUMONIA), or put a table {MANIFEST} with the columns path and "
        "label beside them; then run tfxray init again"
    )
