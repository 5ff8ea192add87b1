"""The latest blessed model: the baseline of the next."""

from typing import TYPE_CHECKING

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)

if TYPE_CHECKING:
    import ml_metadata as mlmd
    from tfx.types import Artifact


class LatestOtherBlessedModel(LatestBlessedModelStrategy):
    """The latest blessed model, other than the candidate.

    TFX's own strategy gives back the candidate itself once it has been blessed: a second,
    identical run would compare the model with itself, and could not come from the cache.
    """

    def resolve_artifacts(
        self, store: "mlmd.MetadataStore", input_dict: "dict[str, list[Artifact]]"
    ) -> "dict[str, list[Artifact]] | None":
        """See TFX's `ResolverStrategy`; `candidate` holds the model not to resolve."""
        candidates = {model.id for model in input_dict["candidate"]}
        channels = {
            "model": [m for m in input_dict["model"] if m.id not in candidates],
            "blessing": list(input_dict["blessing"]),
        }
        latest = super().resolve_artifacts(store, channels) or {}
        return {
            "candidate": list(input_dict["candidate"]),
            "model": latest.get("model", []),
            "blessing": latest.get("blessing", []),
        }
