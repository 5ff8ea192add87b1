"""The config's section `tune`: what `tfxray tune` searches, and how."""

import json
import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tfxray.pipeline.config.base import Section
from tfxray.pipeline.config.train import Monitor

# What Transform computes hangs on none of these, so that all trials share its embeddings.
KEYS = (
    "train.learning_rate", "train.batch_size", "train.optimizer", "train.schedule",
    "train.weight_decay", "train.label_smoothing", "train.class_weights", "train.epochs",
    "train.steps", "train.monitor", "train.patience", "train.plateau",
    "model.head.hidden", "model.head.dropout", "model.head.batch_norm",
)  # fmt: skip


class Range(Section):
    """The values that a key may take: a list of choices, or all from `min` to `max`.

    Attributes:
        choices: Any values; short for it is the list alone.
        min: The least.
        max: The greatest.
        log: Draw evenly by order of magnitude.
        step: From one value to the next; with `log`, the factor between them.
    """

    choices: list[Any] | None = None
    min: int | float | None = None
    max: int | float | None = None
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return {"choices": value} if isinstance(value, list) else value

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        found = handler(self)
        if self.choices is not None:
            return found["choices"]
        return {key: value for key, value in found.items() if key in self.model_fields_set}

    @model_validator(mode="after")
    def _fits(self) -> "Range":
        if self.choices is not None:
            if self.model_fields_set != {"choices"}:
                raise ValueError("choices go without min, max, log and step")
            if not self.choices:
                raise ValueError("there are no choices")
            texts = [json.dumps(choice, sort_keys=True, default=str) for choice in self.choices]
            if len(set(texts)) < len(texts):
                raise ValueError("a choice is named twice")
            return self
        if self.min is None or self.max is None:
            raise ValueError("needs min and max, or a list of choices")
        if not all(math.isfinite(number) for number in (self.min, self.max, self.step or 0)):
            raise ValueError("min, max and step must be finite")
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is greater than max {self.max:g}")
        if self.log and self.min <= 0:
            raise ValueError(f"log needs a min above 0, not {self.min:g}")
        if self.step is not None and self.step <= (1 if self.log else 0):
            raise ValueError(
                f"step {self.step:g}: with log it is a factor, above 1"
                if self.log
                else f"step {self.step:g}: must be above 0"
            )
        return self


def _key(value: str) -> str:
    if value not in KEYS:
        raise ValueError(
            "cannot be tuned: it is no key of training or head, or changes what Transform "
            f"computes; allowed: {', '.join(KEYS)}"
        )
    return value


RANGES = {
    "train.learning_rate": Range(min=1e-4, max=1e-2, log=True),
    "train.batch_size": Range(choices=[16, 32, 64, 128]),
    "train.weight_decay": Range(choices=[0.0, 1e-5, 1e-4, 1e-3]),
    "train.label_smoothing": Range(min=0.0, max=0.1),
    "model.head.hidden": Range(choices=[[], [64], [256]]),
    "model.head.dropout": Range(min=0.0, max=0.6),
    "model.head.batch_norm": Range(choices=[True, False]),
}


class Tune(Section):
    """The search for better settings of training and head, on embeddings (mode `frozen`).

    Attributes:
        trials: How many, the first of which is the config as it stands.
        method: `bayesian` learns from trial to trial; `random` does not.
        monitor: What makes a trial the best, on the validation patients.
        seed: Of the search; a trial's own is `train.seed`.
        ranges: By key, such as `train.learning_rate`: a list of choices, or
            `{min: 1.0e-4, max: 1.0e-2, log: true}`.
    """

    trials: int = Field(20, ge=2)
    method: Literal["random", "bayesian"] = "bayesian"
    monitor: Monitor = "auc"
    seed: int = Field(0, ge=0, lt=2**32)
    ranges: dict[Annotated[str, AfterValidator(_key)], Range] = RANGES

    @field_validator("ranges")
    @classmethod
    def _some(cls, value: dict[str, Range]) -> dict[str, Range]:
        if not value:
            raise ValueError(f"nothing to search; allowed keys: {', '.join(KEYS)}")
        return value
