"""Reads the workbooks that name the source of each image, beside folders of classes.

Of the sets of Qatar University on Kaggle: `Normal.metadata.xlsx` beside `Normal/`, with the columns
FILE NAME (`NORMAL-1` for `Normal-1.png`), FORMAT, SIZE and URL.
"""

import os
import re
from collections.abc import Mapping, Sequence

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.manifest import table
from tfxray.components.manifest.columns import Headings

_COLUMNS = ("FILE NAME", "URL")


def read_sources(folder: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """The source of images, as their site, by their paths; see `labelling.label_images`.

    Args:
        folder: That of the class folders.
        paths: Of the images below it.

    Raises:
        UserError: A workbook cannot be read, lacks a column, or names two sources of one image.
    """
    tops = sorted({path.split("/")[0] for path in paths if "/" in path})
    sources = {top: _read_workbook(os.path.join(folder, f"{top}.metadata.xlsx")) for top in tops}
    found = {}
    for path in paths:
        own = sources.get(path.split("/")[0], {})
        if source := own.get(_key(os.path.splitext(os.path.basename(path))[0])):
            found[path] = {"site": source}
    return found


def _read_workbook(path: str) -> Mapping[str, str]:
    if not filesystem.is_file(path):
        return {}
    remedy = "Mend it, or take it away: it tells the sites of images, and nothing else"

    def has_columns(found: Sequence[str]) -> bool:
        return all(Headings([found]).places(name) for name in _COLUMNS)

    content = table.read_table(path, has_columns)
    if not has_columns(content.columns):
        shown = ", ".join(content.columns) or "nothing"
        raise UserError(f"{path}: needs the columns {' and '.join(_COLUMNS)}; has: {shown}. "
                        f"{remedy}")  # fmt: skip
    headings = Headings([content.columns])
    name_place, source_place = (headings.places(name)[0] for name in _COLUMNS)
    sources: dict[str, str] = {}
    for line, cells in content.rows:
        cells = [*cells, *[""] * len(content.columns)]
        name, source = cells[name_place].strip(), cells[source_place].strip()
        if name and source and sources.setdefault(_key(name), source) != source:
            raise UserError(f"{path}: line {line} names another source of an image that a line "
                            f"above it has, too. {remedy}")  # fmt: skip
    return sources


def _key(name: str) -> str:
    """What two ways of writing a file's name share: `NORMAL-1` and `Normal (1)`."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")
