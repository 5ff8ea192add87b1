"""What earlier calls scored: their folders, side by side, and the images in their tables."""

import json
import os
from collections.abc import Sequence

from tfxray.components.common import filenames, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.text import tables


def list_finished(parent: str) -> list[str]:
    """The folders below a folder that scoring has completed, by their names.

    Args:
        parent: On any of Beam's file systems. If it is not there, nothing was scored.

    Raises:
        UserError: It cannot be listed.
    """
    try:
        names = filesystem.list_names(parent)
    except OSError as error:
        raise UserError(f"{parent}: cannot be listed: {error.strerror}") from None
    folders = {os.path.dirname(n) for n in names if os.path.basename(n) == filenames.PREDICT_REPORT}
    # What is not complete yet begins with a dot.
    return [os.path.join(parent, f) for f in sorted(folders) if f and not f.startswith(".")]


def read_names(folders: Sequence[str], source: str) -> set[str]:
    """Which images of a folder were scored, withheld or rejected before.

    Args:
        folders: See `list_finished`.
        source: The folder of the images. What was scored of another one does not count: there,
            another image may have the same name.

    Raises:
        UserError: One of them is damaged.
    """
    names: set[str] = set()
    for folder in folders:
        try:
            with filesystem.open_file(os.path.join(folder, filenames.PREDICT_REPORT)) as file:
                if json.loads(file.read()).get("input") != filesystem.full_path(source):
                    continue
            for table in (filenames.PREDICTIONS, filenames.REJECTS):
                rows = tables.iterate_table(os.path.join(folder, table))
                names.update(row["name"] for row in rows)
        except (OSError, ValueError, KeyError, AttributeError):
            raise UserError(
                f"{folder}: one of its tables is missing or damaged, so that nobody knows what was "
                "scored there; remove the folder, and its images are scored again"
            ) from None
    return names
