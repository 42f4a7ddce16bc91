"""What is done to an image before a network sees it, as it was done when the weights were trained."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from enum import StrEnum
from math import isfinite
from typing import TypeAlias

from resnetgen.frozen import Frozen

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

    @classmethod
    def from_json(cls, text: str) -> Preprocess:
        """What `to_json` wrote; other keys are not looked at. Raises ValueError for what says no preprocessing."""
        try:
            said = json.loads(text)
            color = Color(said["color"])
            return cls(
                color,
                _divisor(said["divide"]),
                _of_length(color.channels, tuple(map(_finite, said["mean"]))),
                _of_length(color.channels, tuple(map(_divisor, said["std"]))),
                _resize(said["resize"]),
                _extent(said["crop"]),
                Interpolation(said["interpolation"]),
            )
        except KeyError as error:
            raise ValueError(f"the key {error} is missing") from None
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None


def _finite(value: float) -> float:
    if not isfinite(number := float(value)):
        raise ValueError(f"{number} is no value of a pixel")
    return number


def _divisor(value: float) -> float:
    if not (number := _finite(value)):
        raise ValueError("nothing is divided by 0")
    return number


def _of_length(length: int, values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) != length:
        raise ValueError(f"there are {len(values)} values for {length} channels")
    return values


def _resize(value: int | list[int] | None) -> int | Extent | None:
    if value is None:
        return None
    return _extent(value) if isinstance(value, list) else _pixels(value)


def _extent(value: Iterable[int]) -> Extent:
    height, width = map(_pixels, value)
    return height, width


def _pixels(value: int) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of pixels")
    return value
