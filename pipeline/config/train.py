"""The config's section `train`: how a model learns."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfxray.pipeline.config.base import Section, Share

Monitor = Literal["auc", "accuracy", "cross_entropy"]


class Distortions(Section):
    """Random changes to training images, drawn anew for every image and epoch.

    Attributes:
        rotation: Degrees, either way.
        width_shift: Share of the width, either way.
        height_shift: Share of the height, either way.
        shear: Degrees, either way.
        zoom: Share, larger or smaller.
        flip: Mirror half of the images.
        brightness: Share of the full range, either way.
        contrast: Share, either way.
        noise: Standard deviation, in grey levels.
    """

    rotation: float = Field(0, ge=0, le=180)
    width_shift: Share = 0
    height_shift: Share = 0
    shear: float = Field(0, ge=0, le=60)
    zoom: float = Field(0, ge=0, lt=1)
    flip: bool = False
    brightness: Share = 0
    contrast: Share = 0
    noise: float = Field(0, ge=0, le=255)


class WarmUp(Section):
    """A first phase, in which the head learns alone, on the frozen backbone.

    Attributes:
        epochs: Of this phase, before `train.epochs` of the other.
        learning_rate: In this phase.
    """

    epochs: int = Field(2, ge=1)
    learning_rate: float = Field(1e-3, gt=0)


class Plateau(Section):
    """Lowers the learning rate when validation gets no better.

    Attributes:
        monitor: What is watched, on the validation patients.
        factor: By which the rate is multiplied.
        patience: Epochs without a better value.
        least: The rate falls no lower.
    """

    monitor: Monitor = "accuracy"
    factor: float = Field(0.3, gt=0, lt=1)
    patience: int = Field(2, ge=1)
    least: float = Field(1e-6, ge=0)


class Train(Section):
    """How the model is trained.

    Attributes:
        mode: `frozen`: embeddings are computed once, in Transform, and a head is trained on them.
            `fine_tune`: the whole model is trained on images, as far as `unfreeze` says.
        epochs: At most so many passes over the training split.
        steps: Instead of epochs: so many batches.
        batch_size: Over all replicas.
        optimizer: Keras's, by name.
        learning_rate: Its first.
        schedule: `constant`, or `cosine`: down to zero over all steps.
        weight_decay: Of the optimizer.
        class_weights: Weigh classes by the inverse of their frequency.
        label_smoothing: Share by which targets move towards one half.
        monitor: What early stopping watches, on the validation patients.
        patience: Epochs without a better value before training stops; the best weights are
            restored. null trains to the end and keeps the last.
        plateau: Lowers the learning rate.
        unfreeze: Of the backbone's layers, in mode `fine_tune`: `all`, `none`, how many of the
            last ones, or a list of beginnings of names (`[block5]`).
        batch_norm: Whether batch normalisation learns with the unfrozen layers: `trained`, or
            `frozen`, as pretrained weights want it. `auto`: trained where there are no weights.
        warm_up: A first phase for the head alone, in mode `fine_tune`.
        distortions: Of training images.
        copies: In mode `frozen`: so many distorted embeddings per image besides the plain one.
        report_every: Steps between two looks at the validation split; default: a pass.
        distribution: `mirrored` over all GPUs (or the CPU), or `one_device`; `multi_worker`:
            over those of all hosts that the environment's TF_CONFIG names.
        wait: In distribution `multi_worker`: minutes that the chief waits for the other hosts.
        replicas: Splits the CPU into so many devices, to try `mirrored` without GPUs.
        precision: `mixed_bfloat16` and `mixed_float16` compute in 16 bits.
        xla: Compile with XLA.
        seed: Of initial weights, order, dropout and distortions.
    """

    mode: Literal["frozen", "fine_tune"] = "frozen"
    epochs: int = Field(40, ge=1)
    steps: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = Field(0, ge=0)
    class_weights: bool = True
    label_smoothing: float = Field(0, ge=0, lt=1)
    monitor: Monitor = "auc"
    patience: int | None = Field(6, ge=1)
    plateau: Plateau | None = None
    unfreeze: Literal["all", "none"] | Annotated[int, Field(ge=1)] | list[str] = "all"
    batch_norm: Literal["auto", "frozen", "trained"] = "auto"
    warm_up: WarmUp | None = None
    distortions: Distortions = Distortions()
    copies: int = Field(0, ge=0, le=50)
    report_every: int | None = Field(None, ge=1)
    distribution: Literal["mirrored", "one_device", "multi_worker"] = "mirrored"
    wait: float = Field(10, gt=0)
    replicas: int = Field(1, ge=1, le=64)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> "Train":
        if self.batch_size < self.replicas:
            raise ValueError(
                f"batch_size {self.batch_size} is smaller than replicas {self.replicas}: each "
                "replica needs an image"
            )
        distorted = self.distortions != Distortions()
        if self.mode == "frozen":
            if self.warm_up:
                raise ValueError("warm_up needs mode fine_tune; in mode frozen only a head learns")
            if distorted and not self.copies:
                raise ValueError(
                    "distortions in mode frozen need copies: how many distorted embeddings "
                    "Transform computes per image"
                )
        elif self.copies:
            raise ValueError("copies need mode frozen; mode fine_tune distorts in every epoch")
        if self.copies and not distorted:
            raise ValueError("copies need distortions; without, all of them are the same")
        if self.distribution == "multi_worker":
            for key in ("replicas", "xla"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} is not for distribution multi_worker: leave it out")
        if self.schedule == "cosine" and self.plateau:
            raise ValueError("schedule cosine and plateau both set the learning rate: choose one")
        return self
