"""What is done to an image before a network sees it, as it was done when the weights were trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TypeAlias

Extent: TypeAlias = tuple[int, int]
"""Height and width."""


class Color(StrEnum):
    """Which channels a network sees, in their order."""

    RGB = "rgb"
    BGR = "bgr"
    GRAY = "gray"

    @property
    def channels(self) -> int:
        return 1 if self is Color.GRAY else 3


class Interpolation(StrEnum):
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    NEAREST = "nearest"


@dataclass(frozen=True)
class Preprocess:
    """Resize, cut out the centre, order the channels; then value = (pixel / divide - mean) / std of pixels 0 to 255."""

    color: Color
    divide: float
    mean: tuple[float, ...]
    """Of each channel in the order of `color`, as `std`."""
    std: tuple[float, ...]
    resize: int | Extent | None
    """The length of the shorter side; height and width, whatever the image's proportions; None: as the image is."""
    crop: Extent
    """The centre that is cut out, which is the network's input."""
    interpolation: Interpolation

    def at(self, crop: Extent) -> Preprocess:
        """The same for an input of another size: what is cut off stays the same part of the image."""
        old, new = self.crop, crop
        match self.resize:
            case None:
                return replace(self, crop=new)
            case int(side):
                return replace(self, crop=new, resize=side * max(new) // max(old))
            case (height, width):
                return replace(self, crop=new, resize=(height * new[0] // old[0], width * new[1] // old[1]))

    def to_json(self) -> str:
        return json.dumps(asdict(self))
