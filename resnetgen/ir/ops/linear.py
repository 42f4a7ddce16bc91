"""Convolutions and fully connected layers: the ops that have MACs."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd, prod
from typing import ClassVar

from resnetgen.errors import Code
from resnetgen.ir.ops.base import (
    MAX_CHANNELS,
    BaseOp,
    OpError,
    Pair,
    Parameter,
    Shape,
    as_image,
    check_window,
    in_range,
    show,
)


@dataclass(frozen=True)
class Conv(BaseOp):
    """Cross-correlation with zero padding: out = floor((in + 2p - d(k-1) - 1) / s) + 1 for each axis.

    weight: (out_channels, in_channels / groups, kernel height, kernel width); bias: (out_channels,).
    Without a pad, that which keeps the size at stride 1, d(k-1)/2, is used; the kernel must then be odd.
    MACs: out height x out width x the weight's size.
    """

    keyword: ClassVar[str] = "conv"
    kernel: Pair
    out_channels: int
    stride: Pair = field(default=(1, 1), metadata={"short": "/"})
    groups: int = field(default=1, metadata={"short": "C"})
    dilation: Pair = field(default=(1, 1), metadata={"short": "d"})
    pad: Pair | None = field(default=None, metadata={"short": "p"})
    bias: bool = False

    def __post_init__(self) -> None:
        if self.pad is None:
            if self.kernel[0] % 2 == 0 or self.kernel[1] % 2 == 0:
                message = f"an even kernel, {show(self.kernel)}, has no padding that keeps the size"
                raise OpError(Code.BAD_VALUE, message, "write p=0 or another padding")
            same = tuple(d * (k - 1) // 2 for d, k in zip(self.dilation, self.kernel, strict=True))
            object.__setattr__(self, "pad", same)
        check_window(self.kernel, self.stride, self.padding, self.dilation)
        in_range("the number of output channels", self.out_channels, 1, MAX_CHANNELS)
        in_range("the number of groups", self.groups, 1, MAX_CHANNELS)

    @property
    def padding(self) -> Pair:
        assert self.pad is not None
        return self.pad

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = as_image("conv", inputs[0])
        for what, count in (("input", channels), ("output", self.out_channels)):
            if count % self.groups:
                near = _divisor_near(self.groups, channels, self.out_channels)
                raise OpError(
                    Code.BAD_GROUPS,
                    f"{self.groups} groups do not divide {count} {what} channels",
                    f"the nearest count that divides {channels} and {self.out_channels} is {near}",
                )
        out = []
        for size, k, s, d, p in zip(extent, self.kernel, self.stride, self.dilation, self.padding, strict=True):
            span = size + 2 * p - d * (k - 1) - 1
            if span < 0:
                message = f"a window of {d * (k - 1) + 1} is larger than the padded input, {size + 2 * p}"
                raise OpError(Code.SHAPE_MISMATCH, message)
            out.append(span // s + 1)
        return (self.out_channels, *out)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (self.out_channels, inputs[0][0] // self.groups, *self.kernel))
        return (weight, Parameter("bias", (self.out_channels,))) if self.bias else (weight,)

    def macs(self, *inputs: Shape) -> int:
        _, height, width = self.shape(*inputs)
        return height * width * self.parameters(*inputs)[0].size


def _divisor_near(groups: int, *channels: int) -> int:
    common = gcd(*channels)
    return min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - groups))


@dataclass(frozen=True)
class Fc(BaseOp):
    """Fully connected: weight @ x + bias, where an image is flattened first.

    weight: (units, features); bias: (units,). MACs: the weight's size.
    """

    keyword: ClassVar[str] = "fc"
    units: int
    bias: bool = True

    def __post_init__(self) -> None:
        in_range("the number of units", self.units, 1, MAX_CHANNELS)

    def shape(self, *inputs: Shape) -> Shape:
        return (self.units,)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (self.units, prod(inputs[0])))
        return (weight, Parameter("bias", (self.units,))) if self.bias else (weight,)

    def macs(self, *inputs: Shape) -> int:
        return self.units * prod(inputs[0])
