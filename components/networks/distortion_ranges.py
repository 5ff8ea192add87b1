"""How far random changes to training images may go: the config's section `train.distortions`.

This module needs neither Keras nor TensorFlow, so that a config is read without them.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Share = Annotated[float, Field(ge=0, le=1)]


class Distortions(BaseModel):
    """Random changes to the training images. Each image gets new ones in each epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotation: float = Field(0, ge=0, le=180)
    """The greatest rotation to either side in degrees."""
    width_shift: _Share = 0
    """The greatest shift to the left or right, as a share of the width."""
    height_shift: _Share = 0
    """The greatest shift up or down, as a share of the height."""
    shear: float = Field(0, ge=0, le=60)
    """The greatest shear to either side in degrees."""
    zoom: float = Field(0, ge=0, lt=1)
    """The greatest share by which the height and the width grow or shrink, each by itself."""
    flip: bool = False
    """Mirror half of the images, left to right."""
    brightness: _Share = 0
    """The greatest change of the brightness up or down, as a share of the full range."""
    contrast: _Share = 0
    """The greatest share by which the contrast grows or shrinks."""
    noise: float = Field(0, ge=0, le=255)
    """The standard deviation of the noise in grey levels of 0 to 255."""

    @property
    def any(self) -> bool:
        """Whether anything changes."""
        return self != Distortions()
