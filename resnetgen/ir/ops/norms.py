"""Normalisation ops."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from resnetgen.errors import Code
from resnetgen.ir.ops.base import (
    MAX_CHANNELS,
    BaseOp,
    Float64,
    Moments,
    OpError,
    Parameter,
    Shape,
    as_image,
    divisor_near,
    fraction,
    in_range,
    show,
)
from resnetgen.ir.ops.windows import per_channel


class BatchNorm(BaseOp, frozen=True):
    """gamma * (x - mean) / sqrt(variance + eps) + beta for each channel, with stored statistics."""

    keyword: ClassVar[str] = "batchnorm"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        fraction("eps", self.eps)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        each = (inputs[0][0],)
        return (
            Parameter("gamma", each),
            Parameter("beta", each),
            Parameter("mean", each, trainable=False),
            Parameter("variance", each, trainable=False),
        )

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(1.25)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,) = inputs
        gamma, beta, mean, variance = (per_channel(weights[p], x) for p in ("gamma", "beta", "mean", "variance"))
        return gamma * (x - mean) / np.sqrt(variance + self.eps) + beta


class GroupNorm(BaseOp, frozen=True):
    """gamma * (x - mean) / sqrt(variance + eps) + beta, with the mean and the variance of each group of channels.

    Wu and He 2018, equations 1 to 7: statistics are computed from each image; the variance is the biased one. gamma and
    beta have one value per channel.
    """

    keyword: ClassVar[str] = "groupnorm"
    groups: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        in_range("the number of groups", self.groups, 1, MAX_CHANNELS)
        fraction("eps", self.eps)

    def shape(self, *inputs: Shape) -> Shape:
        channels, *_ = as_image("groupnorm", inputs[0])
        if channels % self.groups:
            near = divisor_near(self.groups, channels)
            message = f"{self.groups} groups do not divide the {channels} channels of {show(inputs[0])}"
            raise OpError(Code.BAD_GROUPS, message, f"the nearest count that divides {channels} is {near}")
        return inputs[0]

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        each = (inputs[0][0],)
        return (Parameter("gamma", each), Parameter("beta", each))

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(1.25)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,) = inputs
        groups = x.reshape(len(x), self.groups, -1)
        mean, variance = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
        normed: Float64 = ((groups - mean) / np.sqrt(variance + self.eps)).reshape(x.shape)
        return per_channel(weights["gamma"], x) * normed + per_channel(weights["beta"], x)


class Lrn(BaseOp, frozen=True):
    """x / (k + alpha / size * sum of x^2 over the `size` channels around each) ^ beta; local response normalisation.

    Krizhevsky et al. 2012, section 3.3, with alpha divided by the size as in Caffe, torch and ONNX. Channels before the
    first and after the last count as zeros.
    """

    keyword: ClassVar[str] = "lrn"
    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self) -> None:
        in_range("the size", self.size, 1, 1023)
        if self.size % 2 == 0:
            raise OpError(Code.BAD_VALUE, f"an even size, {self.size}, has no middle", "write an odd one")
        for what, value in (("alpha", self.alpha), ("beta", self.beta), ("k", self.k)):
            if not 1e-37 < value < 1e6:
                raise OpError(Code.BAD_VALUE, f"{what} is {value}; it must be positive and below 1,000,000")

    def shape(self, *inputs: Shape) -> Shape:
        as_image("lrn", inputs[0])
        return inputs[0]

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,), around = inputs, self.size // 2
        squares = np.pad(x * x, ((0, 0), (around, around), (0, 0), (0, 0)))
        total = sum((squares[:, at : at + x.shape[1]] for at in range(self.size)), np.zeros_like(x))
        out: Float64 = x / (self.k + self.alpha / self.size * total) ** self.beta
        return out
