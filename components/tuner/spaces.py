"""The space of a search: the values of each key."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Space:
    """The values of one key.

    Attributes:
        key: Such as `train.learning_rate`.
        own: The config's value.
        choices: In JSON; of a range of numbers, none.
        least: Of the numbers.
        most: Of the numbers.
        log: Draw evenly by order of magnitude.
        step: From one number to the next; with `log`, the factor between them.
        whole: Whether only whole numbers will do.
    """

    key: str
    own: Any
    choices: Sequence[str] = ()
    least: float = 0
    most: float = 0
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def start(self) -> Any:
        """The first proposal of a search: the config's value, if it is in the space."""
        if self.choices:
            return as_json(self.own) if self.holds_own else self.choices[0]
        return self.own if self.holds_own else self.least

    @property
    def holds_own(self) -> bool:
        """Whether the config's value is one of the space."""
        if self.choices:
            return as_json(self.own) in self.choices
        return self.own is not None and self.least <= self.own <= self.most

    def value(self, proposal: Any) -> Any:
        """The setting for a proposal; of fractions four digits, so that a file can hold it."""
        if self.choices:
            return json.loads(proposal)
        if self.whole or proposal == self.own:
            return proposal
        return min(max(float(f"{proposal:.4g}"), self.least), self.most)


def as_json(value: Any) -> str:
    """A value as a choice."""
    return json.dumps(value, sort_keys=True)
