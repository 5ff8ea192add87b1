"""The base of all sections of the config."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from tfxray.components.common.contract import FEATURES


def describe_choices(names: Iterable[str]) -> WithJsonSchema:
    """Tells the reference which names a text may be, where a validator checks it.

    Args:
        names: All that the validator takes.
    """
    return WithJsonSchema({"type": "string", "enum": list(names)})


Share = Annotated[float, Field(ge=0, le=1)]
Feature = Annotated[str, describe_choices(FEATURES)]


class Section(BaseModel):
    """Keys with types; unknown keys are refused.

    The text under a key is what the reference says about it, see `reference`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
