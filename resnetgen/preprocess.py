"""Preprocessing of an image before a network sees it, as in the training of the weights."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import asdict, replace

Extent: TypeAlias = tuple[int, int]
"""Height and width."""
MAX_SIDE = 65_536
"""Limit in pixels of a side of an image: the original, resized and cropped."""
MAX_PIXELS = 1 << 27
"""Limit in pixels of an image: the original, resized and cropped."""


class Color(StrEnum):
    """Channels that a network takes, in order."""

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


class Preprocess(Struct, frozen=True):
    """Resize, crop the centre, order the channels; then value = (pixel / divide - mean) / std, for pixels 0 to 255."""

    color: Color
    divide: float
    mean: tuple[float, ...]
    """Mean of each channel, in the order of `color`; `std` likewise."""
    std: tuple[float, ...]
    resize: int | Extent | None
    """Length of the shorter side; or height and width, for any proportions; None to keep the image's size."""
    crop: Extent
    """Height and width of the centre crop, which is the network's input."""
    interpolation: Interpolation

    def at(self, crop: Extent) -> Preprocess:
        """Return the preprocessing for an input of another size: the same part of the image is cropped."""
        old, new = self.crop, crop
        match self.resize:
            case None:
                return replace(self, crop=new)
            case int(side):
                return replace(self, crop=new, resize=side * max(new) // max(old))
            case (height, width):
                return replace(self, crop=new, resize=(height * new[0] // old[0], width * new[1] // old[1]))

    def to_json(self) -> str:
        """Return the JSON that `parse_preprocess` reads."""
        return json.dumps(asdict(self))
