"""Splits that a folder gives, and those that are drawn by patient."""

import codecs
import hashlib
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tfxray.components.common import filesystem
from tfxray.components.common.contract import SPLITS
from tfxray.components.common.errors import UserError
from tfxray.components.listing import left_out
from tfxray.components.manifest.lookup import file_form
from tfxray.components.metadata.split_names import SPLIT_NAMES, WORDS

_STRAY = 0.2  # up to this share of the images may lie beside the split folders: they are rejected
_BUCKETS = 10_000  # of patients, by which they are drawn
_SHOWN = 12  # folders that an error names
_REMEDY = (
    "Name the folders of all splits so, put them at one depth, and move other images away or leave "
    "them out (ingest.exclude); or set split.ignore_given to split all of it anew by patient"
)


class FolderSplits(NamedTuple):
    """Splits that folders give.

    Attributes:
        depth: Of these folders on each path, from 0.
        by_folder: The split of each, by its name.
        places: The folders, below the source, sorted.
    """

    depth: int
    by_folder: Mapping[str, str]
    places: tuple[str, ...]

    def split_of(self, path: str) -> str | None:
        """The split of an image; None where it lies beside these folders, or above them."""
        folders = path.split("/")[:-1]
        return self.by_folder[folders[self.depth]] if len(folders) > self.depth else None

    def describe(self, withheld: bool) -> str:
        """Where the splits come from, in a few words."""
        if withheld or len(self.places) > 2 * len(SPLITS):
            return f"folders at depth {self.depth + 1}"
        return f"the folders {', '.join(self.places)}"


class ListedSplits(NamedTuple):
    """Splits that files tell, each of which lists the images of one.

    Attributes:
        by_path: The split of each image that a file lists, by its path below the source.
        files: Those that list them, in the order of the splits.
        note: How many of the listed images are not there; empty where all are.
    """

    by_path: Mapping[str, str]
    files: tuple[str, ...]
    note: str

    def split_of(self, path: str) -> str | None:
        """The split of an image; None where no file lists it."""
        return self.by_path.get(path)

    def describe(self, withheld: bool) -> str:
        """Where the splits come from, in a few words."""
        del withheld
        return f"the lists {', '.join(self.files)}"


def read_lists(
    source: str, lists: Mapping[str, str], paths: Sequence[str], root: str = ""
) -> ListedSplits:
    """Reads files that list the images of a split, a name or a path on each line.

    Args:
        source: The folder; the files' paths are relative to it.
        lists: A file by each split: the config's `split.lists`.
        paths: Of the folder's images.
        root: A folder below it where the listed paths may begin.

    Raises:
        UserError: There is no such file, it cannot be read, it lists no image that is there, a name
            in it means several, or two files list one image.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_name[file_form(posixpath.basename(path))].append(path)
    every, found, gone = {file_form(path): path for path in paths}, dict[str, str](), 0
    for split, name in lists.items():
        key, file = f"split.lists.{split}", os.path.join(source, name)
        before = len(found)
        for line, cell in _read_list(file, key, source):
            forms = [file_form(path) for path in (cell, posixpath.join(root, cell))]
            whole = [every[form] for form in forms if form in every]
            images = whole[:1] or by_name.get(forms[0], [])
            if len(images) > 1:
                raise UserError(
                    f"{file}: line {line} names {len(images)} images ({key}): write the path below "
                    f"{source}"
                )
            for image in images:
                other = found.setdefault(image, split)
                if other != split:
                    raise UserError(
                        f"{file}: line {line} lists an image of {lists[other]}, too: one image, "
                        f"two splits ({key}). Take it out of one of them"
                    )
            gone += not images
        if len(found) == before:
            raise UserError(
                f"{file}: lists no image below {source} ({key}). A line is a file's name, or its "
                "path below that folder"
            )
    note = f"{gone} images of the lists in split.lists are not there" if gone else ""
    return ListedSplits(found, tuple(lists.values()), note)


def _read_list(file: str, key: str, source: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, as paths below the source or as names."""
    try:
        with filesystem.open_file(file) as stream:
            content = stream.read()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{file}: cannot be read ({key}): {reason}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is no text in UTF-8 or UTF-16 ({key})") from None
    root = f"{source.rstrip('/')}/"
    for line, cell in enumerate(text.splitlines(), 1):
        if path := cell.strip().replace("\\", "/"):
            yield line, posixpath.normpath(path.removeprefix(root))


def find_folders(
    source: str, paths: Sequence[str], class_names: Collection[str], withheld: bool
) -> FolderSplits | None:
    """Finds folders that are named after splits, at one depth, above or below class folders.

    Args:
        source: The folder, for the error.
        paths: Of its images, with `/`.
        class_names: Folders so named are classes.
        withheld: Whether names of folders must not be shown.

    Returns:
        None where no folder is named after a split.

    Raises:
        UserError: Some images lie in such a folder and others in another one, or such folders lie
            at several depths. Shows what was found.
    """
    # How many images lie below each name at each depth.
    levels: dict[int, Counter[str]] = defaultdict(Counter)
    for path in paths:
        for depth, folder in enumerate(path.split("/")[:-1]):
            levels[depth][folder] += 1
    exact = {
        depth: {name: SPLIT_NAMES[name.lower()] for name in names
                if name.lower() in SPLIT_NAMES and name not in class_names}
        for depth, names in levels.items()
    }  # fmt: skip
    named = {depth: words for depth, words in exact.items() if words}
    if not named:  # no folder is called `train`, but perhaps some are called `train_images`
        loose = {depth: _read_names(names, class_names) for depth, names in levels.items()}
        named = {depth: words for depth, words in loose.items() if len(set(words.values())) > 1}
    whole = [
        depth
        for depth, words in named.items()
        if set(levels[depth]) <= set(words) and levels[depth].total() >= (1 - _STRAY) * len(paths)
    ]
    # Of one folder that holds all others, the name may tell a split by chance.
    whole = [d for d in whole if len(set(named[d].values())) > 1] or whole
    if not named:
        return None
    if not whole or len(whole) > 1:
        raise UserError(_describe(source, paths, named, whole, withheld))
    (depth,) = whole
    places = {"/".join(p.split("/")[: depth + 1]) for p in paths if p.count("/") > depth}
    return FolderSplits(depth, named[depth], tuple(sorted(places)))


def _read_names(names: Collection[str], class_names: Collection[str]) -> dict[str, str]:
    """Splits of names such as `train_images` and `test_images`.

    If not all of them have a word for a split, those that have the same rest count: a patient may
    be called Dev, and another one Val.
    """
    every: dict[str, str] = {}
    by_rest: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        words = [word for word in left_out.WORD.findall(name) if word.lower() in SPLIT_NAMES]
        if len(words) == 1 and name not in class_names:
            every[name] = SPLIT_NAMES[words[0].lower()]
            by_rest[name.replace(words[0], "", 1).lower()][name] = every[name]
    return every if len(every) == len(names) else max(by_rest.values(), key=len, default={})


def _describe(
    source: str,
    paths: Sequence[str],
    named: Mapping[int, Mapping[str, str]],
    whole: Sequence[int],
    withheld: bool,
) -> str:
    if whole:
        places = " and ".join(str(depth + 1) for depth in sorted(whole))
        what = f"folders at several depths ({places}) are named after splits"
    else:
        what = "some folders are named after splits, and others beside them are not"
    depth = max(named, key=lambda d: (len(set(named[d].values())), -d))
    counts: Counter[tuple[str, str]] = Counter()
    for path in paths:
        folders = path.split("/")[:-1]
        split = named[depth].get(folders[depth]) if len(folders) > depth else None
        counts["/".join(folders[: depth + 1]) or ".", split or "no split"] += 1
    if withheld:
        by_split: Counter[str] = Counter()
        for (_, split), count in counts.items():
            by_split[split] += count
        shown = [f"{split}: {count} images" for split, count in sorted(by_split.items())]
    else:
        tree = sorted(counts.items(), key=lambda item: (item[0][1] != "no split", item[0]))
        shown = [f"{folder}/ ({split}, {count} images)" for (folder, split), count in tree[:_SHOWN]]
        shown += [f"{len(tree) - _SHOWN} more"] * (len(tree) > _SHOWN)
    return f"{source}: {what}: {'; '.join(shown)}. Words for splits are {WORDS}. {_REMEDY}"


def eval_share(given: Collection[str], from_train: float | None, usual: float) -> float | None:
    """The share of the patients in `train` that becomes `eval`.

    Args:
        given: The splits that are given.
        from_train: The share that is asked for, or None.
        usual: The share where `eval` alone is missing.

    Returns:
        None where nothing is drawn.
    """
    if from_train is not None:
        return from_train if given else None
    return usual if set(given) == {"train", "test"} else None


def describe_draw(share: float, given: Collection[str]) -> str:
    """Says in a few words what is drawn; see `eval_share`."""
    joined = "train and eval" if "eval" in given else "train"
    return f"{share:.0%} of the patients in {joined} are drawn for eval"


def draw_split(split: str | None, patient: str, share: float) -> str | None:
    """Draws `eval` by patient out of `train`; a given `eval` joins `train` first.

    Args:
        split: As given, or None.
        patient: What tells the patient from others.
        share: Of the patients, for `eval`.
    """
    if split not in ("train", "eval"):
        return split
    return "eval" if _bucket(patient) < share * _BUCKETS else "train"


def least_share(patients: Iterable[str], share: float) -> float:
    """The share of the patients by which `eval` is drawn, so that it gets one of them at least.

    Args:
        patients: Those in `train` and `eval` who are known.
        share: The one that is asked for. Of a handful of patients it may draw none.
    """
    lowest = min(map(_bucket, patients), default=0)
    return max(share, (lowest + 1) / _BUCKETS)


def _bucket(patient: str) -> int:
    digest = hashlib.sha256(patient.encode("utf-8", "surrogateescape")).hexdigest()
    return int(digest, 16) % _BUCKETS
