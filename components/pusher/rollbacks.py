"""Rollbacks in the metadata store: what was copied, and which model it made the served one.

A rollback is an execution. It takes the `PushedModel` of the version that it copies, and puts out
one of its own, with TFX's properties of a push and two of ours. Both belong to the pipeline of that
push, and to no run of it.
"""

import contextlib
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

if TYPE_CHECKING:
    from ml_metadata import metadata_store

PUSHED_MODEL = "PushedModel"
# TFX's own properties of a pushed model.
PUSHED, DESTINATION, VERSION = "pushed", "pushed_destination", "pushed_version"
COPY_OF, MODEL_ID = "copy_of", "model_id"
_EXECUTION = "tfxray.Rollback"
_INPUTS = (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)
_OUTPUTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)


def note_rollback(
    store: "metadata_store.MetadataStore",
    version: str,
    copy_of: int,
    original: mlmd.Artifact | None,
) -> None:
    """Notes a rollback, whole or not at all.

    Args:
        store: The metadata store.
        version: The folder of the copy.
        copy_of: The number of the version that was copied.
        original: The `PushedModel` of that version; None where the store does not know it.
    """
    execution = mlmd.Execution(
        type_id=store.put_execution_type(mlmd.ExecutionType(name=_EXECUTION)),
        last_known_state=mlmd.Execution.COMPLETE,
    )
    artifact = mlmd.Artifact(
        type_id=store.put_artifact_type(mlmd.ArtifactType(name=PUSHED_MODEL)),
        uri=version,
        state=mlmd.Artifact.LIVE,
    )
    properties = artifact.custom_properties
    properties[PUSHED].int_value = 1
    properties[DESTINATION].string_value = version
    properties[VERSION].string_value = os.path.basename(version)
    properties[COPY_OF].int_value = execution.custom_properties[COPY_OF].int_value = copy_of
    pairs = [(artifact, _event(mlmd.Event.OUTPUT, "pushed_model"))]
    contexts: list[mlmd.Context] = []
    if original:
        properties[MODEL_ID].int_value = find_model(store, original) or 0
        pairs.append((original, _event(mlmd.Event.INPUT, COPY_OF)))
        contexts = _pipelines(store, original)
    store.put_execution(execution, pairs, contexts)


def _pipelines(store: "metadata_store.MetadataStore", pushed: mlmd.Artifact) -> list[mlmd.Context]:
    """Those of a push; none of a rollback to a version that the store did not know."""
    with contextlib.suppress(errors.NotFoundError):
        contexts = [
            c for m in _makers(store, pushed)[:1] for c in store.get_contexts_by_execution(m)
        ]
        return [context for context in contexts if context.type == "pipeline"]
    return []


def _makers(store: "metadata_store.MetadataStore", pushed: mlmd.Artifact) -> list[int]:
    """The executions that put out an artifact; all but the first took it from the cache."""
    events = store.get_events_by_artifact_ids([pushed.id])
    return sorted(event.execution_id for event in events if event.type in _OUTPUTS)


def _event(kind: "mlmd.Event.Type.ValueType", key: str) -> mlmd.Event:
    event = mlmd.Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def find_model(store: "metadata_store.MetadataStore", pushed: mlmd.Artifact) -> int | None:
    """The exported model of which a version was made, by its id in the store.

    Args:
        store: The metadata store.
        pushed: The version's `PushedModel`, of a push or of a rollback.
    """
    if COPY_OF in pushed.custom_properties:
        return pushed.custom_properties[MODEL_ID].int_value or None
    makers = _makers(store, pushed)
    events = store.get_events_by_execution_ids(makers[:1]) if makers else []
    inputs = [event.artifact_id for event in events if event.type in _INPUTS]
    models = store.get_artifacts_by_id(inputs) if inputs else []
    return next((model.id for model in models if model.type == "Model"), None)


def find_restored(store: "metadata_store.MetadataStore", models: Collection[int]) -> int | None:
    """The model that a rollback made the served one, if no push has replaced it since.

    What follows is judged beside it, not beside the model that the rollback took out of service.

    Args:
        store: The metadata store.
        models: The pipeline's, by id.

    Returns:
        One of them; None where the latest push is served, or a model that is not among them.
    """
    served: dict[str, mlmd.Artifact] = {}  # by the folder of the versions
    for pushed in sorted(store.get_artifacts_by_type(PUSHED_MODEL), key=lambda a: a.id):
        properties = pushed.custom_properties
        if PUSHED not in properties or properties[PUSHED].int_value != 1:
            continue
        place = properties[DESTINATION].string_value
        before = served.get(os.path.dirname(place))
        # A run whose model is served already notes the version that is there.
        if before is None or before.custom_properties[DESTINATION].string_value != place:
            served[os.path.dirname(place)] = pushed
    restored = [p.custom_properties for p in served.values() if COPY_OF in p.custom_properties]
    ids = [properties[MODEL_ID].int_value for properties in restored]
    return next((model for model in reversed(ids) if model in models), None)
