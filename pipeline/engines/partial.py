"""Partial runs: TFX's marks say which nodes run; the outputs of those before come from its cache.

TFX's own snapshot would take the outputs of the latest run, whatever its data and settings were. It
could push a model that another gate blessed, or train on data that this config's DataGate refuses.
The cache gives only outputs of the same data and settings.
"""

import enum
from collections.abc import Iterator

from tfx.orchestration.portable import partial_run_utils
from tfx.proto.orchestration import pipeline_pb2

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.nodes import NODES, ON_DEMAND, Part
from tfxray.pipeline.engines import launch

_Skip = pipeline_pb2.NodeExecutionOptions.Skip


class Role(enum.Enum):
    """What a run does with a node.

    Attributes:
        RUN: Runs it; from the cache, if it may.
        TAKE: Takes its outputs from an earlier run; without them, nothing is run.
        TAKE_IF_THERE: Takes them where there are any: nothing that runs depends on them.
    """

    RUN = enum.auto()
    TAKE = enum.auto()
    TAKE_IF_THERE = enum.auto()


_ROLES = {_Skip.REQUIRED: Role.TAKE, _Skip.OPTIONAL: Role.TAKE_IF_THERE}


def choose_nodes(
    ir: pipeline_pb2.Pipeline, part: Part
) -> Iterator[tuple[pipeline_pb2.PipelineNode, Role]]:
    """The nodes that a run runs or takes, in an order that can run.

    Args:
        ir: The compiled run; gets TFX's marks.
        part: Of the graph. Its first node is run also where the cache holds its outputs.

    Raises:
        UserError: The part is empty, or it begins or ends with a node that the graph lacks.
    """
    if not part:
        yield from ((node, Role.RUN) for node in launch.list_nodes(ir))
        return
    names = {node.node_info.id for node in launch.list_nodes(ir)}
    for name in filter(None, (part.start, part.end)):
        if name not in names:
            raise UserError(f"{part}: {name} is there only with {ON_DEMAND[name]} in the config")
    partial_run_utils.mark_pipeline(
        ir, from_nodes=[part.start] if part.start else None, to_nodes=_ends(ir, part.end)
    )
    nodes = {node.node_info.id: node for node in launch.list_nodes(ir)}
    if not nodes[part.end or part.start or ""].execution_options.HasField("run"):
        raise part.empty()
    for node in nodes.values():
        options = node.execution_options
        if options.HasField("run"):
            if node.node_info.id == part.start:
                options.caching_options.enable_cache = False
            yield node, Role.RUN
        elif role := _ROLES.get(options.skip.reuse_artifacts_mode):
            yield node, role


def _ends(ir: pipeline_pb2.Pipeline, end: str | None) -> list[str] | None:
    """The last node, and those before it that no node follows: SchemaGen, which people read."""
    if end is None:
        return None
    leaves = {node.node_info.id for node in launch.list_nodes(ir) if not node.downstream_nodes}
    return [end, *(name for name in NODES[: NODES.index(end)] if name in leaves)]
