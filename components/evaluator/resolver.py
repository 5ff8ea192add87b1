"""The latest blessed model, and what Evaluator wrote of it: the baseline of the next."""

from typing import TYPE_CHECKING

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)

from tfxray.components.pusher import rollbacks

if TYPE_CHECKING:
    import ml_metadata as mlmd
    from tfx.types import Artifact


_Event = metadata_store_pb2.Event


class LatestOtherBlessedModel(LatestBlessedModelStrategy):
    """The latest blessed model, other than the candidate.

    TFX's own strategy gives back the candidate itself once it has been blessed: a second,
    identical run would compare the model with itself, and could not come from the cache.

    After a rollback it is the model that is served again: the one that was taken out of service is
    no measure for the next.
    """

    def resolve_artifacts(
        self, store: "mlmd.MetadataStore", input_dict: "dict[str, list[Artifact]]"
    ) -> "dict[str, list[Artifact]] | None":
        """See TFX's `ResolverStrategy`.

        `candidate` holds the model not to resolve; of `evaluation`, that of the blessing is taken.
        """
        candidates = {model.id for model in input_dict["candidate"]}
        models = [m for m in input_dict["model"] if m.id not in candidates]
        restored = rollbacks.find_restored(store, {model.id for model in models})
        channels = {
            "model": [m for m in models if restored in (None, m.id)],
            "blessing": list(input_dict["blessing"]),
        }
        latest = super().resolve_artifacts(store, channels) or {}
        blessing = latest.get("blessing", [])
        beside = _written_beside(store, blessing[0].id) if blessing else set()
        return {
            "candidate": list(input_dict["candidate"]),
            "model": latest.get("model", []),
            "blessing": blessing,
            "evaluation": [e for e in input_dict["evaluation"] if e.id in beside][:1],
        }


def _written_beside(store: "mlmd.MetadataStore", artifact: int) -> set[int]:
    """What the execution that put out an artifact put out, too."""
    outputs = (_Event.OUTPUT, _Event.DECLARED_OUTPUT)
    events = store.get_events_by_artifact_ids([artifact])
    makers = [event.execution_id for event in events if event.type in outputs]
    beside = store.get_events_by_execution_ids(makers[:1])
    return {event.artifact_id for event in beside if event.type in outputs}
