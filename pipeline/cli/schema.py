"""The schema's file against the latest run: how its data differs, and what accepting it takes."""

import dataclasses
import difflib
import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from tfxray.components.common.errors import UserError
from tfxray.components.disk import durable
from tfxray.components.text import escape
from tfxray.components.validation import schema, schema_text
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.runs import latest_run


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A schema's file that the data of a run keeps.

    Attributes:
        file: The schema's.
        diff: From its text to the proposed one, unified lines; none where the data keeps the
            schema.
        text: The proposed one.
        comments_lost: Whether comments of the file are not in it.
        remaining: By feature, what this cannot mend: classes that the config does not name.
    """

    file: Path
    diff: list[str]
    text: str
    comments_lost: bool
    remaining: dict[str, str]

    def write(self) -> None:
        """Puts the proposed text in the file's place, at once or not at all.

        Raises:
            UserError: It cannot be written.
        """
        target = self.file.resolve()  # a link stays one
        try:
            with durable.fresh_file(target) as fresh:
                fresh.write_text(self.text, encoding="utf-8")
                shutil.copymode(target, fresh)
        except OSError as error:
            raise UserError(f"{self.file}: cannot be written: {error.strerror}") from None


class LatestRun:
    """What the latest run saw of the data, also where that data was refused."""

    def __init__(self, out: Path, config: Config | None = None, file: Path | None = None):
        """Finds the run and the schema's file.

        Args:
            out: The `--out` of the run.
            config: In place of the run's own.
            file: In place of the config's schema.

        Raises:
            UserError: There is no run, it came to no statistics, or the schema cannot be read.
        """
        self.folder = latest_run.find_latest(out.resolve())
        run_config, uris = latest_run.read_artifacts(out.resolve(), self.folder)
        self.config = config or run_config
        self.file = file or Path(self.config.validation.schema_file or schema.DEFAULT)
        self._text = schema.read_schema_text(self.file)
        self.curated = schema.parse_schema(self._text, self.file)
        self._inferred = self._find_output(uris, "SchemaGen.schema", "schema.pbtxt")[0]
        self._statistics = self._find_output(
            uris, "StatisticsGen.statistics", "Split-*/FeatureStats.pb"
        )

    def _find_output(self, uris: dict[str, str], key: str, pattern: str) -> list[Path]:
        files = sorted(Path(uris[key]).glob(pattern)) if key in uris else []
        if not files:
            node = key.split(".")[0]
            raise UserError(
                f"{self.folder}: the run holds no output of {node}: it stopped before, or its "
                "artifacts were removed"
            )
        return files

    def differences(self) -> list[schema.Difference]:
        """How SchemaGen's inferred schema differs from the curated one."""
        return schema.find_differences(
            schema.resolve_schema(self.curated, self.config.task),
            schema.read_schema(self._inferred),
        )

    def proposal(self) -> Proposal:
        """The least change to the schema's file by which the run's data keeps it."""
        config = self.config
        statistics = [_statistics(path) for path in self._statistics]
        relaxed_schema = schema.relax_schema(self.curated, statistics)
        text, comments_lost = self._text, False
        if relaxed_schema != self.curated:
            text, comments_lost = schema_text.rewrite_schema(text, relaxed_schema)
        resolved_schema = schema.resolve_schema(relaxed_schema, config.task)
        return Proposal(
            self.file,
            _diff(self._text, text, str(self.file), f"{self.file} (proposed)"),
            text,
            comments_lost,
            schema.find_anomalies(resolved_schema, statistics),
        )


def _statistics(path: Path) -> statistics_pb2.DatasetFeatureStatisticsList:
    return tfdv.load_stats_binary(str(path))


def _diff(before: str, after: str, name: str, new_name: str) -> list[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, new_name, lineterm=""
    )
    return list(lines)


def format_differences(differences: Sequence[schema.Difference]) -> list[str]:
    """Differences in aligned columns, a feature's name in its first line only."""
    rows: list[tuple[str, ...]] = [("feature", "", "curated", "inferred")]
    for previous, difference in zip([None, *differences], differences, strict=False):
        repeated = previous is not None and previous.feature == difference.feature
        feature = "" if repeated else difference.feature
        cells = (feature, difference.aspect, difference.curated, difference.inferred)
        rows.append(tuple(map(escape.for_screen, cells)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
