"""What a run's nodes did and wrote, by the metadata store."""

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ml_metadata import ListOptions, OrderByField, metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.components.common.errors import UserError

# Below a local run's `--out`.
DATABASE = "metadata.db"
ARTIFACTS = "artifacts"
_LOST = "tfxray.lost"  # the type of executions that another store knew
_CLEANED = "cleaned"  # on the context of a run whose files were removed
_OUTPUT_EVENTS = (mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT, mlmd.Event.DECLARED_OUTPUT)


@dataclasses.dataclass(frozen=True)
class Output:
    """One artifact that a node wrote, or took from the cache.

    Attributes:
        id: In the metadata store.
        uri: Its folder.
        properties: The artifact's own, by name.
        made: When it was registered, in seconds since 1970; 0 where unknown.
    """

    id: int
    uri: str
    properties: dict[str, str | int | float]
    made: float = 0


@dataclasses.dataclass(frozen=True)
class NodeRun:
    """What one node did in one run.

    Attributes:
        state: `COMPLETE`, `CACHED`, `FAILED`, `RUNNING`.
        outputs: The first artifact under each output key.
        seconds: From its registration to its end.
        execution: In the metadata store.
    """

    state: str
    outputs: dict[str, Output]
    seconds: float = 0.0
    execution: int = 0

    @property
    def complete(self) -> bool:
        """Whether it has its outputs."""
        return self.state in ("COMPLETE", "CACHED")

    @property
    def cached(self) -> bool:
        """Whether the outputs come from an earlier run."""
        return self.state == "CACHED"


def local_connection(out: Path) -> mlmd.ConnectionConfig:
    """The metadata store of local runs, which connecting makes where there is none.

    What only reads it, or removes by it, asks `store_check` for it instead.

    Args:
        out: The `--out` of the runs.
    """
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(out / DATABASE)
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return connection


def open_store(connection: mlmd.ConnectionConfig) -> metadata_store.MetadataStore:
    """Opens a metadata store; makes its tables where there are none.

    Args:
        connection: Which.

    Raises:
        UserError: It is of a version that this ML Metadata does not read.
        RuntimeError: ML Metadata's own, of anything else.
    """
    try:
        return metadata_store.MetadataStore(connection)
    except RuntimeError as error:
        reason = str(error).split(". ")[0]
        if "database version" not in reason:
            raise
        place = connection.sqlite.filename_uri or connection.mysql.database
        raise UserError(
            f"{place}: {reason}. Go on with the stack that wrote it (make setup STACK=...), or "
            "begin anew in another --out"
        ) from None


def skip_taken_ids(connection: mlmd.ConnectionConfig, root: str) -> int:
    """Keeps new artifacts from the folders of a metadata store that was lost, or set back.

    TFX names an artifact's folder by the execution that wrote it. A new store counts executions
    from 1 again: what they write would mix with what is there.

    Args:
        connection: The metadata store.
        root: The folder of all artifacts, on any of TFX's file systems.

    Returns:
        How many executions the store does not know; it now holds an empty one for each.
    """
    store = open_store(connection)
    newest = ListOptions(limit=1, order_by=OrderByField.ID, is_asc=False)
    known = max((execution.id for execution in store.get_executions(newest)), default=0)
    lost = max(_taken_ids(root), default=0) - known
    if lost <= 0:
        return 0
    execution = mlmd.Execution(
        type_id=store.put_execution_type(mlmd.ExecutionType(name=_LOST)),
        last_known_state=mlmd.Execution.COMPLETE,
    )
    store.put_executions([execution] * lost)
    return lost


def _taken_ids(root: str) -> Iterator[int]:
    from tfxray.components.common import artifacts  # TensorFlow, which takes seconds

    for node in artifacts.list_folder(root):
        outputs = artifacts.list_folder(os.path.join(root, node))
        for output in [*outputs, ".system/executor_execution"]:
            names = artifacts.list_folder(os.path.join(root, node, output))
            yield from (int(name) for name in names if re.fullmatch("[0-9]{1,6}", name))


def list_pipelines(store: metadata_store.MetadataStore) -> dict[str, str]:
    """The pipeline of every run that was not cleaned away, by the run's id.

    Args:
        store: The metadata store.
    """
    return {
        run.name: pipeline.name
        for pipeline in store.get_contexts_by_type("pipeline")
        for run in store.get_children_contexts_by_context(pipeline.id)
        if run.type == "pipeline_run" and _CLEANED not in run.custom_properties
    }


def mark_cleaned(store: metadata_store.MetadataStore, run_id: str) -> None:
    """Notes that a run's files were removed: the store itself forgets nothing.

    Args:
        store: The metadata store.
        run_id: The run's; one that the store does not know will do.
    """
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    if context:
        context.custom_properties[_CLEANED].int_value = 1
        store.put_contexts([context])


def node_runs(
    connection: mlmd.ConnectionConfig, pipeline_name: str, run_id: str
) -> dict[str, NodeRun]:
    """What each node of a run did.

    Args:
        connection: The metadata store.
        pipeline_name: The config's name.
        run_id: The run's.

    Returns:
        By node id, the latest execution of each; empty if there is no such run.
    """
    store = open_store(connection)
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    if context is None:
        return {}
    runs = {}
    executions = store.get_executions_by_context(context.id)
    for execution in sorted(executions, key=lambda e: e.id):
        node = next(
            c.name.removeprefix(f"{pipeline_name}.")
            for c in store.get_contexts_by_execution(execution.id)
            if c.type == "node"
        )
        state = mlmd.Execution.State.Name(execution.last_known_state)
        took = execution.last_update_time_since_epoch - execution.create_time_since_epoch
        runs[node] = NodeRun(state, _outputs(store, execution.id), took / 1000, execution.id)
    return runs


def publish_failed(connection: mlmd.ConnectionConfig, run: NodeRun) -> None:
    """Notes as failed what was killed before it could note so itself.

    Args:
        connection: The metadata store.
        run: What the node did.
    """
    store = open_store(connection)
    for execution in store.get_executions_by_id([run.execution]):
        execution.last_known_state = mlmd.Execution.FAILED
        store.put_executions([execution])


def pushed_to(connection: mlmd.ConnectionConfig, model: int) -> list[str]:
    """Where a model was pushed, oldest first.

    Args:
        connection: The metadata store.
        model: The model's id there.
    """
    store = open_store(connection)
    executions = {
        event.execution_id
        for event in store.get_events_by_artifact_ids([model])
        if event.type in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)
    }
    outputs = [_outputs(store, execution).get("pushed_model") for execution in sorted(executions)]
    places = [output.properties.get("pushed_destination") for output in outputs if output]
    return [str(place) for place in places if place]


def output_uris(runs: dict[str, NodeRun]) -> dict[str, str]:
    """The folder of each output of a run's finished nodes, as `StatisticsGen.statistics`.

    By node, since a Resolver's outputs are called like those that it resolves.
    """
    return {
        f"{node}.{key}": output.uri
        for node, run in runs.items()
        if run.complete
        for key, output in run.outputs.items()
    }


def _outputs(store: metadata_store.MetadataStore, execution: int) -> dict[str, Output]:
    keys = {
        event.artifact_id: event.path.steps[0].key
        for event in store.get_events_by_execution_ids([execution])
        if event.type in _OUTPUT_EVENTS
    }
    outputs: dict[str, Output] = {}
    for artifact in store.get_artifacts_by_id(list(keys)):
        properties = {
            name: getattr(value, value.WhichOneof("value"))
            for name, value in (*artifact.properties.items(), *artifact.custom_properties.items())
            if value.WhichOneof("value") in ("int_value", "double_value", "string_value")
        }
        made = artifact.create_time_since_epoch / 1000
        outputs.setdefault(keys[artifact.id], Output(artifact.id, artifact.uri, properties, made))
    return outputs
