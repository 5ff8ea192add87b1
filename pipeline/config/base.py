"""The base of all sections of the config, and the kinds of their values."""

import re
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


# Times as people write them, in configs and on the command line.
DURATION = r"^\d+(\.\d+)?[smhd]$"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_seconds(text: str) -> float:
    """`90s`, `45m`, `1.5h` or `2d` in seconds.

    Raises:
        ValueError: It is none.
    """
    if not re.match(DURATION, text):
        raise ValueError(f"{text!r} is no duration; write 90s, 45m, 2h or 1d")
    return float(text[:-1]) * _SECONDS[text[-1]]
