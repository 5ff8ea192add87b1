"""The records that a pipeline reads: what an ingest wrote, or what others did."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfxray.components.common import contract


@dataclasses.dataclass(frozen=True)
class External:
    """An external test set: TFRecords by the data contract that the model is judged by.

    Attributes:
        records: All of them; splits do not matter.
        patients: The config's `evaluate.external.NAME.patients`.
        rejected: How many images were set aside.
        files: What tells whether the files changed; empty where the folder's name does.
    """

    records: "Records"
    patients: str
    rejected: int
    files: str

    @property
    def settings(self) -> dict[str, Any]:
        """What nodes are told of it."""
        own = self.records
        places = {"base": own.base, "globs": list(own.globs), "files": self.files}
        return {**places, "patients": self.patients, "rejected": self.rejected}


@dataclasses.dataclass(frozen=True)
class Records:
    """TFRecords by the data contract, as ExampleGen reads them.

    Attributes:
        base: The folder.
        globs: One below `base` per split of `train`, `eval`, `test`; or one, to be split.
        group: The feature whose values stay within one split; None splits by the whole record.
        report: The content of `ingest.json`, where there was an ingest.
        external: The external test sets by name.
    """

    base: str
    globs: tuple[str, ...]
    group: str | None = contract.PATIENT
    report: Mapping[str, Any] | None = None
    external: Mapping[str, External] = dataclasses.field(default_factory=dict)
