"""Looks at a folder of X-rays, and proposes the keys of a config that reads it."""

import dataclasses
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfxray.components.common import privacy
from tfxray.components.common.errors import UserError
from tfxray.components.listing import file_list
from tfxray.components.listing.file_list import Listing
from tfxray.components.manifest import findings
from tfxray.components.manifest.manifest import MANIFEST
from tfxray.pipeline.proposal import class_folders, class_words, patients, table

_BOTH = {"negative": 1, "positive": 1}


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
        shown: Whether names and words of the data may be told.
    """

    classes: list[str] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)
    ingest: dict[str, Any] = dataclasses.field(default_factory=dict)
    comments: dict[str, str] = dataclasses.field(default_factory=dict)
    told: list[str] = dataclasses.field(default_factory=list)
    unclear: list[str] = dataclasses.field(default_factory=list)
    shown: bool = True

    @property
    def labelled(self) -> bool:
        """Whether classes or findings are known."""
        return bool(self.classes or self.findings)


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
    withheld = privacy.names_withheld(folder, listing.files)
    manifest, others, reasons = table.find_tables(folder, listing, not withheld)
    proposal = Proposal(shown=not withheld)
    level = class_folders.find_level(listing.files)
    if manifest:
        _take_table(proposal, manifest, level)
        _compare(proposal, manifest, level, listing.files)
    if level and not proposal.labelled:
        _take_classes(proposal, level.counts, "the folders that the images lie in")
        proposal.told += level.lines(not withheld) if proposal.labelled else []
    if not proposal.labelled:
        _take_names(proposal, listing.files)
    if not proposal.labelled:
        reasons += proposal.unclear
        if manifest and not manifest.labels:
            reasons.append(_describe_unread(manifest, not withheld))
        raise UserError(_nothing_tells(folder, listing, others, reasons, withheld))
    if not (manifest and manifest.tells_patients):
        _take_patients(proposal, listing.files, level.counts if level else (), withheld)
    if others:
        shown = "" if withheld else f": {', '.join(others[:5])}"
        what = "table or text, which is" if len(others) == 1 else "tables or texts, which are"
        proposal.unclear.append(f"{len(others)} {what} not read{shown}")
    return proposal


def _take_classes(proposal: Proposal, counts: Mapping[str, int], where: str) -> None:
    names, labels, told = class_words.read_classes(counts, proposal.shown)
    if len(names) < 2:
        return
    proposal.classes = names
    if labels:
        proposal.ingest["labels"] = {**proposal.ingest.get("labels", {}), **labels}
    proposal.told += told
    proposal.comments["classes"] = (
        f"Classes by {where}. The negative one comes first; CHECK that it is. To leave a class "
        "out, take it away here, and write `labels: {NAME: null}` below `ingest`."
    )


def _compare(
    proposal: Proposal, manifest: table.Manifest, level: class_folders.Level | None,
    paths: Sequence[str],
) -> None:  # fmt: skip
    """Says where the folders may be classes, too, and whether the table says the same."""
    if not (level and proposal.labelled and any(map(class_words.is_known, level.counts))):
        return
    forms = set(class_words.count_forms(level.counts))
    if not forms & set(class_words.count_forms(manifest.labels)):
        if proposal.classes or proposal.findings:
            shown = f" ({', '.join(sorted(level.counts))})" if proposal.shown else ""
            proposal.told.append(f"labels are told by the table, not by the folders{shown}. CHECK")
        return
    other = [
        path
        for path in paths
        if (text := manifest.by_image.get(posixpath.splitext(posixpath.basename(path))[0]))
        and len(folders := path.split("/")[:-1]) > level.depth
        and class_words.count_forms([text]) != class_words.count_forms([folders[level.depth]])
    ]
    if other:
        first = f", such as {other[0]}" if proposal.shown else ""
        proposal.told.append(
            f"{len(other)} images lie in the folder of another class than the table says{first}: "
            "the table counts. CHECK which is right"
        )


def _take_table(
    proposal: Proposal, manifest: table.Manifest, level: class_folders.Level | None
) -> None:
    columns, ingest = dict(manifest.columns), proposal.ingest
    words = manifest.labels
    named = manifest.name if proposal.shown else "the table"
    by_folders = level is not None and any(map(class_words.is_known, level.counts))
    separator = class_words.find_separator(words)
    if by_folders and not manifest.sure and (manifest.findings or words):
        columns.pop("label", None)
        own = f" ({', '.join(manifest.findings)})" if manifest.findings and proposal.shown else ""
        proposal.unclear.append(
            f"{named}: columns of yes and no{own}, which are not taken for labels: the folders "
            "tell classes"
        )
    elif manifest.findings:
        proposal.findings = list(manifest.findings)
    elif separator:
        names = {w.strip() for text in words for w in text.split(separator)} - {""}
        unknown = [name for name in names if class_words.says_unknown(name)]
        ingest["labels"] = dict.fromkeys(unknown, findings.SILENT)
        if not unknown:
            del ingest["labels"]
        proposal.findings = sorted(n for n in names - {*unknown} if not findings.says_none(n))
        if separator != findings.SEPARATOR:
            ingest["label_separator"] = next(
                name for name, sign in findings.SEPARATORS.items() if sign == separator
            )
    elif cells := class_words.read_cells(words):
        ingest["labels"] = cells
        _take_classes(proposal, _BOTH, f"{' and '.join(sorted(words))} in the table")
    elif 2 <= len(words) <= class_folders.MOST_CLASSES:
        _take_classes(proposal, words, "the words in the table")
    if words and not (proposal.labelled or by_folders):
        columns.pop("label", None)
        proposal.unclear.append(
            f"{named}: its column of labels has {len(words)} words: too many for classes"
            if len(words) > 2 else f"{named}: its column of labels has one word alone"
        )  # fmt: skip
    if proposal.findings:
        proposal.comments["findings"] = (
            f"Findings by the table {manifest.name}: an image has none of them, one or several. "
            "CHECK them: a finding that few images have is hard to judge."
        )
    proposal.told += manifest.told
    if manifest.name != MANIFEST or columns or manifest.extension or manifest.headings:
        ingest["manifest"] = manifest.name
        proposal.comments["manifest"] = "The table of the images, and what its columns are. CHECK."
    if columns:
        ingest["columns"] = columns
    if manifest.headings:
        ingest["headings"] = list(manifest.headings)
    if manifest.extension:
        ingest["extension"] = manifest.extension
    if manifest.root:
        ingest["root"] = manifest.root


def _take_names(proposal: Proposal, paths: Sequence[str]) -> None:
    """Takes classes from files' names, where neither folders nor a table tell them."""
    for regex, place in patients.LABELLED.items():
        labels = patients.find_labels(regex, paths, class_folders.MOST_CLASSES)
        if not labels:
            continue
        if set(labels) == {"0", "1"}:
            proposal.ingest["labels"] = class_words.read_cells(labels)
            _take_classes(proposal, _BOTH, f"0 and 1 {place}")
        else:
            _take_classes(proposal, labels, f"the words {place}")
        if proposal.labelled:
            proposal.ingest["pattern"] = regex
            return
    if patients.count_images(paths):
        proposal.unclear.append(
            "0 and 1 at the end of the file names count the images of a patient, and are no labels"
        )


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


def _describe_unread(manifest: table.Manifest, shown: bool) -> str:
    if not shown:
        return "the table of the images has no column that is known to tell labels"
    columns = f" ({', '.join(manifest.unread[:10])})" if manifest.unread else ""
    return (
        f"{manifest.name} names the images, and none of its columns{columns} is known to tell "
        "labels; call it `label`"
    )


def _nothing_tells(
    folder: str, listing: Listing, others: Sequence[str], reasons: Sequence[str], withheld: bool
) -> str:
    depths = Counter(path.count("/") for path in listing.files)
    at = ", ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items()))
    count = len(listing.files)
    seen = f"{count} {'image' if count == 1 else 'images'} ({at})"
    if others:
        seen += f", {len(others)} {'table or text' if len(others) == 1 else 'tables or texts'}"
        seen += " of no use"
        seen += "" if withheld else f" ({', '.join(others[:5])})"
    why = "".join(f"; {reason}" for reason in reasons[:5])
    name = os.path.basename(os.path.abspath(folder))
    return (
        f"{folder}: nothing tells the classes of the images. Seen: {seen}"
        f"{listing.describe_rest()}{why}. Put the images into a folder for each class (such as "
        f"{name}/NORMAL and {name}/PNEUMONIA), or put a table {MANIFEST} with the columns path and "
        "label beside them; then run tfxray init again"
    )
