"""The rules by which a file is no X-ray to be used, judged by its name and its place."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable

# What lies beside images and is none of them. Anything else is opened, whatever its extension.
_NOT_IMAGES = {".csv", ".tsv", ".json", ".jsonl", ".txt", ".log", ".md", ".rst", ".rtf", ".html",
               ".htm", ".css", ".js", ".pdf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".ods",
               ".ppt", ".pptx", ".py", ".ipynb", ".r", ".sh", ".bat", ".tex", ".bib", ".yaml",
               ".yml", ".toml", ".cfg", ".xml", ".ini", ".url", ".lnk", ".md5", ".sha256", ".db",
               ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}  # fmt: skip
# Texts that have no extension, and the directory of a DICOM medium, which has no pixels.
_TEXTS = {"readme", "license", "licence", "copying", "notice", "authors", "changelog", "citation",
          "makefile", "sha256sums", "md5sums", "image_filenames", "dicomdir"}  # fmt: skip
_BINS = {"#recycle", "@recycle", "$recycle.bin", "recycle.bin", "recycle bin", "recycler",
         "recycled", "trash", "lost+found"}  # fmt: skip
_THUMBNAILS = {"thumbnail", "thumbnails", "thumb", "thumbs"}
_DRAWN = {"segmentation", "segmentations", "annotation", "annotations", "contours", "groundtruth",
          "groundtruths"}  # fmt: skip
# A folder that holds both, or the patients without.
_NOT_ALL_MASKS = {"and", "with", "without", "no", "dataset", "und", "et"}
_PICTURES = {"image", "images", "img", "imgs", "xray", "xrays", "cxr", "cxrs"}
# A word within a name, such as `left` and `Mask` of `leftMask`.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_KINDS_OF_MASK = r"(?:(?:left|right|lungs?|heart|infection|manual|binary|seg|\d)[ _.-]*)*"
# What a file beside an image `x` is called after it, in small letters: `x_left_mask.png`. Each is
# what follows the image's own name.
_AFTER_AN_IMAGE = (
    ("mask", re.compile(
        rf"(?:[ _.-]+{_KINDS_OF_MASK}(?:masks?|seg|segmentation)|masks?)"
        rf"(?:[ _.-]*{_KINDS_OF_MASK})?")),
    ("thumbnail", re.compile(r"[ _.-]+thumb(?:nail)?s?")),
)  # fmt: skip
# The same before it: `mask_x.png`.
_BEFORE_AN_IMAGE = (
    ("mask", re.compile(r"masks?[ _.-]+")),
    ("thumbnail", re.compile(r"thumb(?:nail)?s?[ _.-]+")),
)

# The rules, as `ingest.json` counts what each left out.
HIDDEN, OTHER_KIND, UNLISTED = "hidden", "other_kind", "not_in_manifest"
MASK, THUMBNAIL, RECYCLED, COPY = "mask", "thumbnail", "recycle_bin", "copy"
EXCLUDED, NOT_INCLUDED = "excluded", "not_included"
NOT_KEPT, DROPPED, OTHER_VIEW = "not_kept", "dropped", "other_view"
BY_CHOICE = (EXCLUDED, NOT_INCLUDED)
# What each rule left out, in words.
MEANINGS = {
    HIDDEN: "hidden files: their names, or their folders' names, begin with a dot",
    OTHER_KIND: "tables, texts, archives and other files that are no images by their names",
    UNLISTED: "images that the manifest does not name",
    MASK: "masks and other drawings over images",
    THUMBNAIL: "thumbnails",
    RECYCLED: "files in a recycle bin",
    COPY: "files of a folder that holds another folder's files once more",
    EXCLUDED: "files that ingest.exclude names",
    NOT_INCLUDED: "files that ingest.include does not name",
    NOT_KEPT: "images whose rows ingest.keep does not keep",
    DROPPED: "images whose label leaves them out: null in ingest.labels, or drop in ingest.values",
    OTHER_VIEW: "laterals, or other views that are not used (ingest.views)",
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which files of a folder the user means.

    Attributes:
        include: Globs of paths; where there are any, other files are left out. See `match_glob`.
        exclude: Globs of paths that are left out.
        follow_links: Whether links are followed that lead out of the folder.
        class_names: Folders so named are classes, and no masks or thumbnails.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_links: bool = False
    class_names: tuple[str, ...] = ()


class Sieve:
    """Finds the rule that leaves a file out."""

    def __init__(self, choice: Choice):
        """Gets ready for many files.

        Args:
            choice: What the user means.
        """
        self._include = [match_glob(glob) for glob in choice.include]
        self._exclude = [match_glob(glob) for glob in choice.exclude]
        # Who names a folder means it.
        self._meant = {*choice.class_names, *(f for g in choice.include for f in g.split("/"))}
        self._rule_of_folder = functools.lru_cache(maxsize=65536)(self._find_rule_of_folder)

    def rule(self, path: str) -> str | None:
        """The rule that leaves a file out; None where it may be an image.

        Args:
            path: Below the folder, with `/`.
        """
        if any(match(path) for match in self._exclude):
            return EXCLUDED
        parent, _, name = path.rpartition("/")
        stem, extension = os.path.splitext(name.lower())
        rule = self._rule_of_folder(parent) if parent else None
        if rule is None and _is_hidden(name):
            rule = HIDDEN
        if rule is None and (extension in _NOT_IMAGES or (not extension and stem in _TEXTS)):
            rule = OTHER_KIND
        if rule is None and self._include and not any(match(path) for match in self._include):
            rule = NOT_INCLUDED
        return rule

    def _find_rule_of_folder(self, folder: str) -> str | None:
        names = folder.split("/")
        for place, name in enumerate(names):
            rule = None if name in self._meant else _rule_of_name(name, names[place + 1 :])
            if rule:
                return rule
        return None


def _rule_of_name(name: str, below: list[str]) -> str | None:
    lower = name.lower()
    words = [word.lower() for word in WORD.findall(name)]
    if lower in _BINS or lower.startswith(".trash"):
        return RECYCLED
    if lower == "@eadir" or (words and set(words) <= _THUMBNAILS):
        return THUMBNAIL
    if _is_hidden(name):
        return HIDDEN
    if re.sub(r"[\W_]+", "", lower) in _DRAWN:
        return MASK
    if any(word.endswith(("mask", "masks")) for word in words):
        both = set(words) & _PICTURES and any(_PICTURES & _words(folder) for folder in below)
        return None if both or set(words) & _NOT_ALL_MASKS or set(name) & set("&+") else MASK
    return None


def _words(name: str) -> set[str]:
    return {word.lower() for word in WORD.findall(name)}


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def name_after_images(paths: Iterable[str]) -> dict[str, str]:
    """The masks and thumbnails that lie among images and are named after one of them.

    Args:
        paths: Files that may be images.

    Returns:
        The rule of each that is one.
    """
    names = {path: path.rpartition("/")[2].lower() for path in paths}
    stems = {
        path: os.path.splitext(name)[0]
        for path, name in names.items()
        if "mask" in name or "thumb" in name or "seg" in name
    }
    if not stems:
        return {}
    images = {os.path.splitext(name)[0] for name in names.values()}
    found = {path: _find_rule_after_image(stem, images) for path, stem in stems.items()}
    return {path: rule for path, rule in found.items() if rule}


def _find_rule_after_image(stem: str, images: Collection[str]) -> str | None:
    # An image's own name may hold what a mask is called, such as a number.
    places = [place for place in range(1, len(stem)) if stem[:place] in images]
    for rule, pattern in _AFTER_AN_IMAGE:
        if any(pattern.fullmatch(stem, place) for place in places):
            return rule
    for rule, pattern in _BEFORE_AN_IMAGE:
        match = pattern.match(stem)
        if match and stem[match.end() :] in images:
            return rule
    return None


def match_glob(glob: str) -> Callable[[str], re.Match[str] | None]:
    """How a glob matches a path, as `.gitignore` has it.

    `*` and `?` stay within a name, `**` crosses folders. A glob without `/` matches a name at any
    depth. A glob that matches a folder matches all below it.

    Args:
        glob: Such as `*.png`, `masks`, `site_1/**/lateral*`.

    Raises:
        ValueError: It has a range of characters that ends before it begins, such as `[z-a]`.
    """
    body = glob.strip("/")
    anywhere = "" if "/" in glob.rstrip("/") else "(?:.*/)?"
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^]]+\]|.", body, re.DOTALL):
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        if token in known:
            parts.append(known[token])
        elif len(token) > 2 and token[0] == "[":
            letters = token[1:-1].replace("\\", r"\\")
            parts.append(f"[^{letters[1:]}]" if letters[0] == "!" else f"[{letters}]")
        else:
            parts.append(re.escape(token))
    try:
        return re.compile(f"{anywhere}{''.join(parts)}(?:/.*)?\\Z", re.DOTALL).match
    except re.error as error:
        raise ValueError(f"is no glob: {error.msg}") from None
