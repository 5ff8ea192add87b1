"""What lies in the serving folder, where the results of nodes depend on it.

TFX's cache knows the inputs of a node, and not what became of its outputs since: a version that was
pushed may be gone, damaged, or no longer the newest.
"""

import os
from collections.abc import Mapping

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.proto import pusher_pb2
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_component_specs
from tfx.utils import path_utils, proto_utils

from tfxray.components.evaluator import component
from tfxray.components.pusher import versions
from tfxray.pipeline.runs import lineage
from tfxray.pipeline.runs.lineage import NodeRun


def note_versions(node: pipeline_pb2.PipelineNode, node_runs: Mapping[str, NodeRun]) -> None:
    """Tells Evaluator's cache key which pushed version has nothing to be compared with.

    Without a baseline, or with one that is not served, its verdict depends on the newest version;
    so it does for a model that a rollback took out of service. See `baseline.require_baseline`.

    Args:
        node: Evaluator; changed.
        node_runs: What the nodes before it did.
    """
    baseline, model = (
        node_runs[name].outputs.get("model") if name in node_runs else None
        for name in ("BaselineModel", "Trainer")
    )
    parameters = node.parameters.parameters
    newest = versions.newest_version(parameters[component.SERVING].field_value.string_value)
    if not model or not newest:
        return
    serving = os.path.dirname(newest)
    files = versions.hash_files(path_utils.serving_model_path(model.uri))
    withdrawn = versions.find_withdrawal(serving, files)
    if baseline and _is_evidence(baseline, newest) and not withdrawn:
        return
    if not versions.holds_model(newest, files):
        parameters[component.PUSHED].field_value.string_value = os.path.basename(newest)


def _is_evidence(baseline: lineage.Output, newest: str) -> bool:
    """Whether a blessed model can be compared with, and tells how what is served does."""
    folder = path_utils.serving_model_path(baseline.uri)
    there = versions.is_version(folder)
    return there and not versions.comes_after(newest, folder, baseline.made)


def is_served(
    node_runs: Mapping[str, NodeRun], connection: mlmd.ConnectionConfig, newest: versions.Newest
) -> bool:
    """Whether what Pusher may take from the cache is what a server serves.

    Args:
        node_runs: What the nodes before it did.
        connection: The metadata store.
        newest: What the serving folder holds.
    """
    model = node_runs["Trainer"].outputs.get("model") if "Trainer" in node_runs else None
    pushes = lineage.pushed_to(connection, model.id) if model else []
    return not newest.damaged and pushes[-1:] == [newest.sound]


def serving_folder(pusher: pipeline_pb2.PipelineNode) -> str:
    """Where Pusher pushes to.

    Args:
        pusher: The node.
    """
    parameter = pusher.parameters.parameters[standard_component_specs.PUSH_DESTINATION_KEY]
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(parameter.field_value.string_value, destination)
    return str(destination.filesystem.base_directory)


def describe_damage(newest: versions.Newest, pushed: str | None) -> list[str]:
    """Says which versions are damaged, and what became of it, a line each.

    Args:
        newest: What the folder held before Pusher.
        pushed: The version's folder that Pusher pushed, or took from its cache; None where it
            pushed nothing.
    """
    if pushed:
        outcome = f"version {os.path.basename(pushed)} takes its place"
    elif newest.sound:
        outcome = f"the last good version is {os.path.basename(newest.sound)}"
    else:
        outcome = "there is no good version"
    return [
        f"version {os.path.basename(version)} is damaged: {damage}; {outcome}. Remove {version}, "
        "so that no server loads it"
        for version, damage in newest.damaged.items()
    ]
