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

from tfxray.components.common.errors import did_you_mean
from tfxray.pipeline.config.base import Section, describe_choices
from tfxray.pipeline.config.train import Monitor

# What Transform computes hangs on none of these, so that all trials share its embeddings.
KEYS = (
    "train.learning_rate", "train.batch_size", "train.optimizer", "train.schedule",
    "train.weight_decay", "train.label_smoothing", "train.class_weights", "train.epochs",
    "train.steps", "train.monitor", "train.patience", "train.plateau",
    "model.head.hidden", "model.head.dropout", "model.head.batch_norm",
)  # fmt: skip


class Range(Section):
    """The values that the search may give a key.

    Write either a list of choices or `min` and `max`.
    """

    choices: list[Any] | None = None
    """The values to choose from. A list in the place of the section means the same."""
    min: int | float | None = None
    """The least value."""
    max: int | float | None = None
    """The greatest value."""
    log: bool = False
    """Draw each order of magnitude equally often. `min` must then be above 0."""
    step: int | float | None = None
    """The distance between two values. With `log` it is the factor between two values and must be
    above 1.
    """

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return {"choices": value} if isinstance(value, list) else value

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self)
        if self.choices is not None:
            return fields["choices"]
        return {key: value for key, value in fields.items() if key in self.model_fields_set}

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
            f"computes{did_you_mean(value, KEYS)}; allowed: {', '.join(KEYS)}"
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
    """How `tfxray tune` searches for better settings of the training and the head.

    All trials share the embeddings of the mode `frozen`.
    """

    trials: int = Field(20, ge=2)
    """How many settings are tried. The first trial is the config as it stands."""
    method: Literal["random", "bayesian"] = "bayesian"
    """`bayesian` learns from each trial for the next. `random` does not."""
    monitor: Monitor = "auc"
    """The metric of the split `eval` that makes a trial the best."""
    seed: int = Field(0, ge=0, lt=2**32)
    """The seed of the search. Each trial trains with `train.seed`."""
    ranges: dict[Annotated[str, AfterValidator(_key), describe_choices(KEYS)], Range] = RANGES
    """The keys to search and their values: a list of choices such as `[16, 32]`, or a range such as
    `{min: 1.0e-4, max: 1.0e-2, log: true}`. Your ranges take the place of all defaults.
    """

    @field_validator("ranges")
    @classmethod
    def _some(cls, value: dict[str, Range]) -> dict[str, Range]:
        if not value:
            raise ValueError(f"nothing to search; allowed keys: {', '.join(KEYS)}")
        return value
