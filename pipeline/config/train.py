"""The config's section `train`: how a model learns."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.pipeline.config.base import Section

Monitor = Literal["auc", "accuracy", "cross_entropy"]


class WarmUp(Section):
    """A first phase for the mode `fine_tune`.

    The backbone stays frozen, and only the head learns.
    """

    epochs: int = Field(2, ge=1)
    """How many epochs this phase takes. Those of `train.epochs` follow it."""
    learning_rate: float = Field(1e-3, gt=0)
    """The learning rate of this phase."""


class Plateau(Section):
    """Lowers the learning rate when a metric of the split `eval` stops getting better.

    It does not go with `train.schedule: cosine`. Write `plateau: {}` to switch it on with the
    defaults below.
    """

    monitor: Monitor = "accuracy"
    """The metric that must get better."""
    factor: float = Field(0.3, gt=0, lt=1)
    """The learning rate is multiplied by this factor."""
    patience: int = Field(2, ge=1)
    """How many looks at the split `eval` may pass without a better value. `train.report_every` says
    how often there is one.
    """
    least: float = Field(1e-6, ge=0)
    """The learning rate never falls below this value."""


class Train(Section):
    """How the model learns."""

    mode: Literal["frozen", "fine_tune"] = "frozen"
    """With `frozen`, Transform computes the embedding of each image once, and Trainer trains a head
    on the embeddings. With `fine_tune`, Trainer trains the backbone and the head on the images;
    `train.unfreeze` says how much of the backbone.
    """
    epochs: int = Field(40, ge=1)
    """The greatest number of passes over the training split. Early stopping may end the training
    before.
    """
    steps: int | None = Field(None, ge=1)
    """The greatest number of batches. If it is set, it takes the place of `train.epochs`."""
    batch_size: int = Field(64, ge=1)
    """How many images a batch has, over all replicas together."""
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    """The optimizer of Keras."""
    learning_rate: float = Field(1e-3, gt=0)
    """The learning rate at the start."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`constant` keeps the learning rate. `cosine` lowers it to zero over all steps."""
    weight_decay: float = Field(0, ge=0)
    """The weight decay of the optimizer."""
    class_weights: bool = True
    """Give each class a weight by the inverse of its frequency."""
    label_smoothing: float = Field(0, ge=0, lt=1)
    """The share by which each target moves towards one half."""
    monitor: Monitor = "auc"
    """The metric of the split `eval` that early stopping watches."""
    patience: int | None = Field(6, ge=1)
    """How many looks at the split `eval` may pass without a better value before the training stops.
    `train.report_every` says how often there is one. The model then gets its best weights back.
    With `null` the training runs to its end and keeps the last weights.
    """
    plateau: Plateau | None = None
    unfreeze: Literal["all", "none"] | Annotated[int, Field(ge=1)] | list[str] = "all"
    """The layers of the backbone that learn in the mode `fine_tune`. A number means that many of
    the last layers. A list has the beginnings of layer names, such as `[block5]`.
    """
    batch_norm: Literal["auto", "frozen", "trained"] = "auto"
    """Whether batch normalisation learns in the unfrozen layers. `frozen` keeps the mean and the
    variance that came with the weights. `auto` means `trained` if `model.weights` is `none`, and
    `frozen` otherwise.
    """
    warm_up: WarmUp | None = None
    distortions: Distortions = Distortions()
    copies: int = Field(0, ge=0, le=50)
    """How many distorted embeddings Transform computes for each image, beside the plain one. It
    needs the mode `frozen` and `train.distortions`.
    """
    report_every: int | None = Field(None, ge=1)
    """How many steps lie between two looks at the split `eval`. The default is one pass over the
    training split.
    """
    distribution: Literal["mirrored", "one_device", "multi_worker"] = "mirrored"
    """`mirrored` trains on all GPUs of this machine, or on its CPU if it has none. `one_device`
    trains on one device. `multi_worker` trains on the devices of all hosts that the environment
    variable TF_CONFIG names.
    """
    wait: float = Field(10, gt=0)
    """How many minutes the first host waits for the others. It counts only with the distribution
    `multi_worker`.
    """
    replicas: int = Field(1, ge=1, le=64)
    """Split the CPU into this many devices. So you can try `mirrored` without GPUs."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """`mixed_bfloat16` and `mixed_float16` compute in 16 bits."""
    xla: bool = False
    """Compile the model with XLA."""
    seed: int = 0
    """The seed of the initial weights, the order of the images, dropout and distortions."""

    @model_validator(mode="after")
    def _fits(self) -> "Train":
        if self.batch_size < self.replicas:
            raise ValueError(
                f"batch_size {self.batch_size} is smaller than replicas {self.replicas}: each "
                "replica needs an image"
            )
        distorts = self.distortions.any
        if self.mode == "frozen":
            if self.warm_up:
                raise ValueError("warm_up needs mode fine_tune; in mode frozen only a head learns")
            if distorts and not self.copies:
                raise ValueError(
                    "distortions in mode frozen need copies: how many distorted embeddings "
                    "Transform computes per image"
                )
        elif self.copies:
            raise ValueError("copies need mode frozen; mode fine_tune distorts in every epoch")
        if self.copies and not distorts:
            raise ValueError("copies need distortions; without, all of them are the same")
        if self.distribution == "multi_worker":
            for key in ("replicas", "xla"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} is not for distribution multi_worker: leave it out")
        if self.schedule == "cosine" and self.plateau:
            raise ValueError("schedule cosine and plateau both set the learning rate: choose one")
        return self
