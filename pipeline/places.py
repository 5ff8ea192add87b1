"""Where a pipeline writes."""

import dataclasses
import hashlib
import os

from google.protobuf import text_format

from tfxray.components.common import artifacts, filesystem
from tfxray.components.validation.schema import DEFAULT, read_schema, resolve_schema
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.runs import lineage


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a pipeline writes.

    Attributes:
        root: Artifacts.
        serving: The pushed versions.
        schema: The run's schema, a file; see `write_schema`.
        state: Where a training that is killed finds itself again.
    """

    root: str
    serving: str
    schema: str
    state: str

    @classmethod
    def below(cls, out: str, config: Config, schema: str) -> "Places":
        """As every engine lays them out.

        Args:
            out: The folder of all runs.
            config: The experiment.
            schema: See `write_schema`.
        """
        return cls(
            root=os.path.join(out, lineage.ARTIFACTS),
            serving=serving_folder(out, config),
            schema=schema,
            state=os.path.join(out, "state"),
        )


def serving_folder(out: str, config: Config) -> str:
    """Where the versions of a model are pushed.

    Args:
        out: The folder of all runs.
        config: The experiment.
    """
    folder = config.serving.folder
    return filesystem.full_path(folder or os.path.join(out, "serving", config.model_name))


def write_schema(config: Config, folder: str) -> str:
    """Writes the curated schema with the config's classes.

    Args:
        config: The experiment.
        folder: Where to, on any of TFX's file systems.

    Returns:
        The file, under a name that tells its content.

    Raises:
        UserError: The config's schema cannot be read.
    """
    curated_schema = read_schema(config.validation.schema_file or DEFAULT)
    text = text_format.MessageToString(resolve_schema(curated_schema, config.task))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = os.path.join(folder, digest, "schema.pbtxt")
    artifacts.write_text(path, text)
    return path
