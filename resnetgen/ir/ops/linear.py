"""Convolutions and fully connected layers: the ops that have MACs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

import numpy as np
from msgspec.structs import force_setattr

from resnetgen.errors import Code
from resnetgen.ir.ops.base import (
    MAX_CHANNELS,
    BaseOp,
    Float64,
    Moments,
    OpError,
    Pair,
    Parameter,
    Shape,
    as_image,
    check_window,
    divisor_near,
    in_range,
    show,
)
from resnetgen.ir.ops.windows import pad_image, per_channel, shifts


class Conv(BaseOp, frozen=True):
    """Cross-correlation with zero padding: out = floor((in + 2p - d(k-1) - 1) / s) + 1 for each axis.

    weight: (out_channels, in_channels / groups, kernel height, kernel width); bias: (out_channels,). The default pad,
    d(k-1)/2, keeps the size at stride 1; it needs an odd kernel. MACs: out height x out width x the weight's size.
    """

    keyword: ClassVar[str] = "conv"
    short: ClassVar[Mapping[str, str]] = {"stride": "/", "groups": "C", "dilation": "d", "pad": "p"}
    kernel: Pair
    out_channels: int
    stride: Pair = (1, 1)
    groups: int = 1
    dilation: Pair = (1, 1)
    pad: Pair | None = None
    bias: bool = False

    def __post_init__(self) -> None:
        if self.pad is None:
            if self.kernel[0] % 2 == 0 or self.kernel[1] % 2 == 0:
                message = f"an even kernel, {show(self.kernel)}, has no padding that keeps the size"
                raise OpError(Code.BAD_VALUE, message, "write p=0 or another padding")
            same = tuple(d * (k - 1) // 2 for d, k in zip(self.dilation, self.kernel, strict=True))
            force_setattr(self, "pad", same)
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
                near = divisor_near(self.groups, channels, self.out_channels)
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
                raise OpError(Code.SHAPE_MISMATCH, message, "take a smaller kernel, or stride less before it")
            out.append(span // s + 1)
        return (self.out_channels, *out)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (self.out_channels, inputs[0][0] // self.groups, *self.kernel))
        return (weight, Parameter("bias", (self.out_channels,))) if self.bias else (weight,)

    def macs(self, *inputs: Shape) -> int:
        _, height, width = self.shape(*inputs)
        return height * width * self.parameters(*inputs)[0].size

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(2 * inputs[0].second)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,), weight = inputs, weights["weight"]
        (top, left), (_, *size) = self.padding, self.shape(x.shape[1:])
        x = pad_image(x, (top, top), (left, left))
        kernels = weight.reshape(self.groups, self.out_channels // self.groups, -1)
        out = np.empty((len(x), self.out_channels, *size))
        for image, result in zip(x, out, strict=True):  # one at a time: the columns of a batch may not fit into memory
            columns = self._columns(image, (size[0], size[1]))
            np.matmul(kernels, columns, out=result.reshape(self.groups, kernels.shape[1], -1))
        return out + per_channel(weights["bias"], out) if self.bias else out

    def _columns(self, image: Float64, size: Pair) -> Float64:
        """Return the values under the kernel of each group for each pixel of the output: groups x kernel x pixels."""
        seen = list(shifts(image[np.newaxis], self.kernel, self.stride, size, self.dilation))
        by_channel = np.stack([one[0] for one in seen], axis=1) if len(seen) > 1 else seen[0][0]
        return by_channel.reshape(self.groups, -1, size[0] * size[1])


class Fc(BaseOp, frozen=True):
    """Fully connected layer: weight @ x + bias. An image is flattened first.

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

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(2 * inputs[0].second)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        out = inputs[0].reshape(len(inputs[0]), -1) @ weights["weight"].T
        return out + weights["bias"] if self.bias else out


class ChannelConv(BaseOp, frozen=True):
    """Cross-correlation along the channels of one pixel, with zero padding at both ends.

    weight: (1, 1, kernel), shared by all channels; no bias. The default kernel is that of ECA-Net (Wang et al. 2020,
    equation 12, gamma 2 and b 1): t = floor((log2 C + 1) / 2), the next odd number if t is even, and at least 3. C is
    `channels` if it is set, else the input's channels: a pruned network keeps the kernel of its unpruned width. MACs:
    channels x kernel.
    """

    keyword: ClassVar[str] = "channelconv"
    kernel: int = 0
    channels: int = 0

    def __post_init__(self) -> None:
        in_range("the kernel", self.kernel, 0, 1023)
        in_range("the number of channels", self.channels, 0, MAX_CHANNELS)
        if self.kernel and self.kernel % 2 == 0:
            raise OpError(Code.BAD_VALUE, f"an even kernel, {self.kernel}, has no middle", "write an odd one")
        if self.kernel and self.channels:
            message = "kernel and channels are two ways to say one thing"
            raise OpError(Code.BAD_VALUE, message, "keep one of them")

    def size(self, channels: int) -> int:
        """Return the kernel for an input with this many channels."""
        if self.kernel:
            return self.kernel
        # bit_length is floor(log2 C) + 1; halving it and rounding down gives t.
        t = (self.channels or channels).bit_length() // 2
        return max(3, t + 1 - t % 2)

    def shape(self, *inputs: Shape) -> Shape:
        channels, height, width = as_image("channelconv", inputs[0])
        if (height, width) != (1, 1):
            message = f"channelconv needs one pixel, but its input is {show(inputs[0])}"
            raise OpError(Code.SHAPE_MISMATCH, message, "gap | channelconv")
        return (channels, 1, 1)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter("weight", (1, 1, self.size(inputs[0][0]))),)

    def macs(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.size(inputs[0][0])

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(2 * inputs[0].second)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,), kernel = inputs, weights["weight"].ravel()
        channels, before = x.shape[1], len(kernel) // 2
        padded = np.pad(x, ((0, 0), (before, before), (0, 0), (0, 0)))
        return sum((value * padded[:, at : at + channels] for at, value in enumerate(kernel)), np.zeros_like(x))
