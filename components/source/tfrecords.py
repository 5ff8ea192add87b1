"""Finds the TFRecords of a folder and their splits, and reads files of them that others wrote.

TensorFlow's own reader takes a file's word for the length of a record, and a wrong one ends the
process. So nothing else reads files of others before `read_records` has.
"""

import contextlib
import dataclasses
import fnmatch
import gzip
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar

import google_crc32c

from tfxray.components.common import contract, filesystem, privacy
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.guard.rejects import Rejected
from tfxray.components.metadata.split_names import SPLIT_NAMES

_RECORD_FILE = re.compile(r"(?i:\.tfrecords?)(\.gz)?$|-\d{5}-of-\d{5}(?i:\.tfrecords?)?(\.gz)?$")
_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})(\..*)?$")
_IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".dcm", ".dicom", ".dic", ".ima", ".tif", ".tiff",
    ".bmp", ".webp",
)  # fmt: skip
_SPLIT_WORD = re.compile(r"[^a-z]+")
# Bytes: what a record may hold, far above any X-ray; and what a .gz may grow to whatever its size.
MAX_RECORD, _MAX_INFLATED = 2**28, 2**26
# Records too short for an image, one after the other: more of them are no data set.
_SHORT, _MOST_SHORT = 64, 100_000
_MAX_INFLATION = 100  # images are compressed already
# A record's frame: its length and the length's checksum, its content, and the content's checksum.
_HEADER, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")

Record = bytes | Rejected  # a record's content, or why there is none
_Key = TypeVar("_Key")


def is_record(name: str) -> bool:
    """Whether a file's name is a TFRecord's: `x.tfrecord`, `x.tfrecord.gz`, `x-00000-of-00002`."""
    return bool(_RECORD_FILE.search(name)) and not name.startswith(".")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a folder's TFRecords lie.

    Attributes:
        base: The folder.
        files: All records, below the folder.
        splits: `train`, `eval`, `test` where given, else empty; `eval` may be missing.
        globs: One below `base` per split, or one for all.
    """

    base: str
    files: tuple[str, ...]
    splits: tuple[str, ...]
    globs: tuple[str, ...]

    def by_split(self) -> Iterator[tuple[str | None, str]]:
        """Each file, with its split; None where none is given."""
        return ((_split_of(file) if self.splits else None, file) for file in self.files)


def holds_records(folder: StrPath) -> bool:
    """Whether a folder holds TFRecords, at its top or one level below, or what is named so."""
    return any(is_record(os.path.basename(name)) for name in _list_names(folder, strict=False))


def list_records(folder: StrPath) -> list[str]:
    """A folder's TFRecords, at its top or one level below, sorted, whatever their splits.

    Raises:
        UserError: What is named so is no file: a pipe, a broken link, a folder without records. Or
            images lie beside them, or records deeper: they would be passed over.
    """
    files = _records(folder, _list_names(folder))
    _require_no_more(os.fspath(folder), files)
    return files


def _require_no_more(folder: str, files: list[str]) -> None:
    """Refuses a folder of which a part would be lost in silence."""
    try:
        every = filesystem.list_names(folder)
    except OSError as error:
        raise UserError(f"{folder}: a folder in it cannot be listed: {error.strerror}") from None
    names = [name for name in every if "/." not in f"/{name}"]
    images = [name for name in names if name.lower().endswith(_IMAGE_SUFFIXES)]
    if images:
        first = "" if privacy.names_withheld(folder, images) else f", such as {images[0]}"
        raise UserError(
            f"{folder}: holds TFRecords, such as {files[0]}, and {len(images)} images{first}: "
            "which of them are meant? Keep them in folders of their own"
        )
    deep = [name for name in names if name.count("/") > 1 and is_record(os.path.basename(name))]
    if deep:
        raise UserError(
            f"{folder}: TFRecords are found at its top and one folder below. {len(deep)} lie "
            f"deeper, such as {deep[0]}: move them up, or out of the folder"
        )
    _require_all_shards(folder, files)


def _require_all_shards(folder: str, files: list[str]) -> None:
    """Refuses a set of files that say how many they are, and of which some are not there."""
    shards: dict[tuple[str, str, str], set[int]] = {}
    for file in files:
        if match := _SHARD.match(file):
            start, number, count, end = match.groups()
            shards.setdefault((start, count, end or ""), set()).add(int(number))
    for (start, count, end), numbers in sorted(shards.items()):
        if missing := sorted(set(range(int(count))) - numbers):
            raise UserError(
                f"{folder}: {len(missing)} of the {int(count)} files of {start} are missing, such "
                f"as {start}-{missing[0]:05}-of-{count}{end}. Add them. If you do without them, "
                "give the others names without `-of-`"
            )


def _records(folder: StrPath, names: Iterable[str]) -> list[str]:
    records = sorted(name for name in names if is_record(os.path.basename(name)))
    for name in records if filesystem.is_local(folder) else ():
        if not os.path.isfile(os.path.join(folder, name)):
            raise UserError(
                f"{os.path.join(folder, name)}: is named like a TFRecord, but is no file that can "
                "be read: a pipe, a broken link, or a folder without TFRecords. Take it out of the "
                "folder, or give it another name"
            )
    return records


def _list_names(folder: StrPath, strict: bool = True) -> Iterator[str]:
    """Files at the top of a folder and one level below; of folders, those that pose as records.

    Args:
        folder: On any of Beam's file systems.
        strict: Whether a folder below that cannot be listed is an error.

    Raises:
        UserError: It cannot be listed.
    """
    if not filesystem.is_local(folder):
        every = (file.name for file in filesystem.list_files(os.fspath(folder)))
        yield from (name for name in every if name.count("/") <= 1)
        return
    for entry in _scan(folder, strict):
        if not _is_folder(entry):
            yield entry.name
            continue
        inside = [name.name for name in _scan(entry.path, strict) if not _is_folder(name)]
        yield from (os.path.join(entry.name, name) for name in inside)
        if is_record(entry.name) and not any(map(is_record, inside)):
            yield entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle, or behind a closed folder
        return False


def _scan(folder: StrPath, strict: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if strict:
            raise UserError(f"{folder}: cannot be listed: {error.strerror}") from None
        return []


def find_layout(folder: StrPath, ignore_given: bool = False) -> Layout:
    """Finds a folder's TFRecords and their splits.

    Splits are given by folders (`train/`, `val/`, `test/`) or by a word in the file names
    (`train-00000-of-00008`, `xray_val_00.tfrecord`).

    Raises:
        UserError: None found, some outside the splits, or `train` or `test` is missing; or there is
            more than these, see `list_records`.
    """
    folder = os.fspath(folder)
    everything = list(_list_names(folder))
    files = _records(folder, everything)
    if not files:
        raise UserError(
            f"{folder}: holds no TFRecords (*.tfrecord, *.tfrecord.gz, *-00000-of-00001)"
        )
    _require_no_more(folder, files)
    groups: dict[str | None, list[str]] = {}
    for file in files:
        groups.setdefault(None if ignore_given else _split_of(file), []).append(file)
    if set(groups) == {None}:
        return Layout(folder, tuple(files), (), (_glob(folder, files, everything),))
    lacking = sorted({"train", "test"} - set(groups))
    if lacking or None in groups:
        raise UserError(
            f"{folder}: some TFRecords name their split, but "
            + (f"there is none for {', '.join(lacking)}" if lacking else "")
            + (f" {groups[None][0]} names no split" if None in groups else "")
            + ". Give train, eval (or val) and test (eval alone is drawn by patient out of train), "
            "or set split.ignore_given to split anew by patient"
        )
    splits = tuple(split for split in contract.SPLITS if split in groups)
    globs = tuple(_glob(folder, groups[split], everything) for split in splits)
    return Layout(folder, tuple(files), splits, globs)


def _split_of(file: str) -> str | None:
    folder, name = os.path.split(file.lower())
    for word in (folder, *_SPLIT_WORD.split(name)):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None


def _glob(folder: str, files: list[str], everything: list[str]) -> str:
    """One glob that matches these files and no other file of the folder: ExampleGen takes one."""
    prefix = os.path.commonprefix(files)  # noqa: RUF071  characters are what a glob needs
    parents = {os.path.dirname(file) for file in files}
    start = filesystem.glob_for(os.path.join(parents.pop(), "")) if len(parents) == 1 else "*/"
    common = f"{filesystem.glob_for(prefix)}*"
    candidates = [f"{start}*", f"{start}*.tfrecord*", f"{start}*-of-*", common]
    for glob in candidates:
        # fnmatch's * crosses folders and Beam's does not: same depth, same match.
        depth = glob.count("/")
        matches = [f for f in everything if f.count("/") == depth and fnmatch.fnmatch(f, glob)]
        if sorted(matches) == sorted(files):
            return glob
    raise UserError(
        f"{folder}: no pattern tells its TFRecords from its other files; keep each split's "
        "records in a folder of their own"
    )


def read_records(path: str) -> Iterator[Record]:
    """The records of a file, in order, read as one that may be damaged or made to do harm.

    Args:
        path: A file of TFRecords, on any of Beam's file systems; compressed if it ends in `.gz`.

    Yields:
        Each record; or, where its checksum tells that its content is damaged, that.

    Raises:
        UserError: The file cannot be read, or is damaged so that nobody can tell where the next
            record begins. Names the file, and how many records come before.
    """
    count = short = 0
    try:
        with filesystem.open_file(path) as stored, _inflated(stored, path) as file:
            while (record := _read_record(file)) is not None:
                yield record
                count += 1
                short = 0 if isinstance(record, Rejected) or len(record) > _SHORT else short + 1
                if short > _MOST_SHORT:
                    raise _Damaged(f"{short} records in a row are too short for an image")
                _check_inflation(stored, file)
    except _Damaged as damage:
        reason = str(damage)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        reason = "it is no whole gzip file"
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path}: cannot be read: {reason}") from None
    else:
        return
    raise UserError(
        f"{path}: damaged after record {count}: {reason}. What comes before can be read, {count} "
        "records. Write the file again, or take it out of the folder"
    )


class _Damaged(Exception):
    """Why the rest of a file cannot be read."""


@contextlib.contextmanager
def _inflated(stored: BinaryIO, path: str) -> Iterator[BinaryIO]:
    if not path.endswith(".gz"):
        yield stored
        return
    with gzip.GzipFile(fileobj=stored) as file:
        yield file  # type: ignore[misc]  # it has all that is used of it


def _read_record(file: BinaryIO) -> Record | None:
    header = file.read(_HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise _Damaged("the file ends within a record")
    length, checksum = _HEADER.unpack(header)
    if _masked_crc32c(header[:8]) != checksum:
        raise _Damaged("there is no record, or the checksum of its length is wrong")
    if length > MAX_RECORD:
        raise _Damaged(f"a record of {length} bytes; at most {MAX_RECORD} are allowed")
    content, checksum_bytes = file.read(length), file.read(_CHECKSUM.size)
    if len(content) < length or len(checksum_bytes) < _CHECKSUM.size:
        raise _Damaged("the file ends within a record")
    if _masked_crc32c(content) != _CHECKSUM.unpack(checksum_bytes)[0]:
        return Rejected("damaged", "the checksum of the record is wrong")
    return content


def _masked_crc32c(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned and shifted, so that one of checksums tells as much."""
    crc: int = google_crc32c.value(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _check_inflation(stored: BinaryIO, file: BinaryIO) -> None:
    if file is stored or (size := file.tell()) <= _MAX_INFLATED:
        return
    if size > _MAX_INFLATION * stored.tell():
        raise _Damaged(
            f"it grows to more than {_MAX_INFLATION} times its size, which images never do"
        )


def batch_records(
    records: Iterable[tuple[_Key, Record]], most: int
) -> Iterator[list[tuple[_Key, Record]]]:
    """Batches of records that bound the memory, whatever the size of each.

    Args:
        records: With what tells them apart.
        most: So many in a batch, or as many as hold `MAX_RECORD` bytes and one more.
    """
    batch: list[tuple[_Key, Record]] = []
    size = 0
    for key, record in records:
        batch.append((key, record))
        size += 0 if isinstance(record, Rejected) else len(record)
        if len(batch) == most or size > MAX_RECORD:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
