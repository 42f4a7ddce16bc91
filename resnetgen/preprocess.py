"""Preprocessing of an image before a network sees it, as it was done when the weights were trained."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TypeAlias

from resnetgen.frozen import Frozen

Extent: TypeAlias = tuple[int, int]
"""Height and width."""
MAX_SIDE = 65_536
"""Of an image, in pixels: as it is, resized and cut out."""
MAX_PIXELS = 1 << 27
"""Of an image: as it is, resized and cut out."""


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


class Preprocess(Frozen):
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
        """Return the same for an input of another size: the same part of the image is cut out."""
        old, new = self.crop, crop
        match self.resize:
            case None:
                return replace(self, crop=new)
            case int(side):
                return replace(self, crop=new, resize=side * max(new) // max(old))
            case (height, width):
                return replace(self, crop=new, resize=(height * new[0] // old[0], width * new[1] // old[1]))

    def to_json(self) -> str:
        """Return the JSON that `spec.preprocess.parse_preprocess` reads."""
        return json.dumps(asdict(self))
