"""The records that a pipeline reads: what an ingest wrote, or what others did."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfxray.components.common import contract


@dataclasses.dataclass(frozen=True)
class Records:
    """TFRecords by the data contract, as ExampleGen reads them.

    Attributes:
        base: The folder.
        globs: One below `base` per split of `train`, `eval`, `test`; or one, to be split.
        group: The feature whose values stay within one split; None splits by the whole record.
        report: The content of `ingest.json`, where there was an ingest.
    """

    base: str
    globs: tuple[str, ...]
    group: str | None = contract.PATIENT
    report: Mapping[str, Any] | None = None
