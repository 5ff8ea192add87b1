"""Reads the CSV file that tells what is known of each image."""

import csv
import io
import os

from tfxray.components.common import filesystem, privacy
from tfxray.components.common.contract import METADATA
from tfxray.components.common.errors import UserError

MANIFEST = "manifest.csv"
WITHHELD = "not shown, since there is DICOM among the images and names may be patients'"


def read_manifest(
    source: str, name: str | None, files: list[str]
) -> dict[str, dict[str, str]] | None:
    """What a source's manifest says of each image, by the image's path below the source.

    Args:
        source: The folder.
        name: The manifest's, below the folder; None for `manifest.csv`, if there is one.
        files: The images of the folder.

    Returns:
        The cells of each row by their columns, without those that are empty; None where there is
        no manifest.

    Raises:
        UserError: There is no manifest of that name, or it cannot be used.
    """
    path = os.path.join(source, name or MANIFEST)
    if not filesystem.is_file(path):
        if name:
            raise UserError(f"{path}: no such manifest (ingest.manifest)")
        return None
    with filesystem.open_file(path) as file:
        try:
            text = io.StringIO(file.read().decode("utf-8-sig"), newline="")
            reader = csv.DictReader(text)
            columns = reader.fieldnames or []
            if "path" not in columns:
                # Without a line of headings, the first image's stand in their place.
                withheld = privacy.names_withheld(source, files)
                column_names = WITHHELD if withheld else ", ".join(columns)
                raise UserError(
                    f"{path}: needs a column `path`; has: {column_names}. Further columns "
                    f"that are read: label, split, {', '.join(METADATA)} (or patient_id)"
                )
            rows = {}
            for row in reader:
                values = {key: value.strip() for key, value in row.items() if key and value}
                if "patient_id" in values:
                    values.setdefault("patient", values["patient_id"])
                if "path" in values:
                    rows[values["path"].replace("\\", "/").removeprefix("./")] = values
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path}: is not a CSV file in UTF-8: {error}") from None
    return rows
