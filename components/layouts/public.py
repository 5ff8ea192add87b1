"""Labels a folder's images, whatever is known of it: any folder, or a public data set."""

import os
from typing import Any

from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.layouts import recognise, registry
from tfxray.components.source import labelling
from tfxray.components.source.label_checks import LabelError
from tfxray.components.source.labelling import LabelledImages
from tfxray.components.source.rows import Rules


def label_images(source: StrPath, rules: Rules) -> LabelledImages:
    """Lists a folder's images; see `labelling.label_images`.

    Args:
        source: The folder; of a public data set, its own.
        rules: How labels and metadata are found.

    Raises:
        UserError: See there. Of a public data set, it says what its reader expects.
    """
    if not rules.dataset:
        try:
            return labelling.label_images(source, rules)
        except UserError as error:
            half = "" if rules.layout.is_given else recognise.describe_half(os.fspath(source))
            if not half:
                raise
            raise UserError(f"{error}. {half}") from None
    dataset = registry.by_name(rules.dataset)
    try:
        return labelling.label_images(source, rules, dataset.read_beside)
    except LabelError:
        raise  # its files and columns are all there
    except UserError as error:
        raise UserError(f"{error}. {recognise.expected(dataset)}") from None


def describe(name: str) -> dict[str, Any]:
    """What is to be said of a public data set; nothing of another folder.

    Args:
        name: Its own, or an empty text.
    """
    return registry.by_name(name).describe() if name else {}
