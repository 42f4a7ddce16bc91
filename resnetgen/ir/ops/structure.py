"""Ops that compute nothing: the input, and ops that rearrange or pad values."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

import numpy as np

from resnetgen.errors import Code
from resnetgen.ir.ops.base import (
    MAX_CHANNELS,
    MAX_EXTENT,
    BaseOp,
    Float64,
    Moments,
    OpError,
    Pair,
    Shape,
    as_image,
    check_window,
    fraction,
    in_range,
)


class Input(BaseOp, frozen=True):
    """The network's input, an image of float32; `compute` takes it as the only input."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int | None] = 0
    image: Shape

    def __post_init__(self) -> None:
        for value in self.image:
            in_range("an extent of the input", value, 1, MAX_EXTENT)

    def shape(self, *inputs: Shape) -> Shape:
        return self.image

    def moments(self, *inputs: Moments) -> Moments:
        return Moments()

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0]


class Dropout(BaseOp, frozen=True):
    """Identity at inference. `ratio` is the fraction of values that training sets to zero."""

    keyword: ClassVar[str] = "dropout"
    ratio: float

    def __post_init__(self) -> None:
        fraction("the ratio", self.ratio)

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0]


class Flatten(BaseOp, frozen=True):
    """(channels, height, width) -> (channels * height * width,), in this order."""

    keyword: ClassVar[str] = "flatten"

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0].reshape(len(inputs[0]), -1)


class ChannelPad(BaseOp, frozen=True):
    """Every `stride`th pixel, with channels of zeros after the input's own; shortcut A of He et al. 2015.

    With `both`, half of the zeros, rounded down, come before them. Shape: (out_channels, ceil(height / s), ceil(width /
    s)).
    """

    keyword: ClassVar[str] = "channelpad"
    short: ClassVar[Mapping[str, str]] = {"stride": "/"}
    out_channels: int
    stride: Pair = (1, 1)
    both: bool = False

    def __post_init__(self) -> None:
        check_window((1, 1), self.stride, (0, 0))
        in_range("the number of output channels", self.out_channels, 1, MAX_CHANNELS)

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = as_image("channelpad", inputs[0])
        if self.out_channels < channels:
            message = f"{channels} channels cannot be padded to {self.out_channels}"
            raise OpError(Code.SHAPE_MISMATCH, message, "a projection can lower their number: conv 1x1")
        return (self.out_channels, *(-(-size // s) for size, s in zip(extent, self.stride, strict=True)))

    def before(self, channels: int) -> int:
        """Return the number of zero channels before the input's own."""
        return (self.out_channels - channels) // 2 if self.both else 0

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        x = inputs[0][:, :, :: self.stride[0], :: self.stride[1]]
        before = self.before(x.shape[1])
        return np.pad(x, ((0, 0), (before, self.out_channels - before - x.shape[1]), (0, 0), (0, 0)))
