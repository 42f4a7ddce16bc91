"""Ops that compute nothing: the input, and those that arrange what is there."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from resnetgen.ir.ops.base import MAX_EXTENT, BaseOp, Shape, fraction, in_range


@dataclass(frozen=True)
class Input(BaseOp):
    """The network's input, an image of float32."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int | None] = 0
    image: Shape

    def __post_init__(self) -> None:
        for value in self.image:
            in_range("an extent of the input", value, 1, MAX_EXTENT)

    def shape(self, *inputs: Shape) -> Shape:
        return self.image


@dataclass(frozen=True)
class Dropout(BaseOp):
    """x: what training leaves out, inference keeps. `ratio` is the fraction that training sets to zero."""

    keyword: ClassVar[str] = "dropout"
    ratio: float

    def __post_init__(self) -> None:
        fraction("the ratio", self.ratio)


@dataclass(frozen=True)
class Flatten(BaseOp):
    """(channels, height, width) -> (channels * height * width,), in this order."""

    keyword: ClassVar[str] = "flatten"

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)
