"""Pusher: TFX's, but a version is pushed as a whole, and is compared with what was evaluated."""

import os
from typing import Any

from tfx import types
from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from tfxray.components.common import filenames
from tfxray.components.common.errors import UserError
from tfxray.components.pusher import push, versions


class Executor(executor.Executor):  # type: ignore[misc]
    """See `Pusher`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor`."""
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        blessing = artifact_utils.get_single_uri(
            input_dict[standard_component_specs.MODEL_BLESSING_KEY]
        )
        evaluated = versions.read_record(os.path.join(blessing, filenames.EVALUATED))
        if evaluated is None:
            raise UserError(
                f"{blessing}: holds no {filenames.EVALUATED}, so that nobody can tell whether the "
                "model is the one that was blessed. Evaluate it again (tfxray run --from Evaluator)"
            )
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination
        )
        model = self.GetModelPath(input_dict)
        io_utils.copy_dir(model, pushed.uri)  # TFX's archive
        monitoring = os.path.join(blessing, filenames.EVALUATED_MONITORING)
        version = push.push_version(
            model, destination.filesystem.base_directory, evaluated, monitoring
        )
        self._MarkPushed(
            pushed, pushed_destination=version, pushed_version=os.path.basename(version)
        )


class Pusher(component.Pusher):  # type: ignore[misc]
    """Pushes a blessed model to a folder. Inputs, outputs and settings are those of TFX's Pusher.

    TFX's own takes the second for a name and, where that is taken, skips in silence what it then
    calls pushed. A kill leaves half a version. See `push.push_version` for what is done instead.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
