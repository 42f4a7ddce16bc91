"""Elementwise activations, and softmax."""

from __future__ import annotations

from math import erf, sqrt
from typing import ClassVar

import numpy as np

from resnetgen.ir.ops.base import BaseOp, Float64, Moments, fraction


class Relu(BaseOp, frozen=True):
    """max(x, 0)."""

    keyword: ClassVar[str] = "relu"

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(_half(inputs[0]).second, is_positive=True)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return np.maximum(inputs[0], 0)


class LeakyRelu(BaseOp, frozen=True):
    """x where x >= 0, else slope * x."""

    keyword: ClassVar[str] = "leakyrelu"
    slope: float

    def __post_init__(self) -> None:
        fraction("the slope", self.slope)

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(inputs[0].second * (1 + self.slope**2) / 2, inputs[0].is_positive)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return np.where(inputs[0] >= 0, inputs[0], self.slope * inputs[0])


class Relu6(BaseOp, frozen=True):
    """min(max(x, 0), 6)."""

    keyword: ClassVar[str] = "relu6"

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(_half(inputs[0]).second, is_positive=True)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return np.clip(inputs[0], 0, 6)


class Silu(BaseOp, frozen=True):
    """x / (1 + exp(-x)); also called Swish."""

    keyword: ClassVar[str] = "silu"

    def moments(self, *inputs: Moments) -> Moments:
        return _half(inputs[0])

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        out: Float64 = inputs[0] / (1 + np.exp(-inputs[0]))
        return out


class Mish(BaseOp, frozen=True):
    """x * tanh(ln(1 + exp(x))) (Misra 2019)."""

    keyword: ClassVar[str] = "mish"

    def moments(self, *inputs: Moments) -> Moments:
        return _half(inputs[0])

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0] * np.tanh(np.logaddexp(0, inputs[0]))


class Gelu(BaseOp, frozen=True):
    """x * (1 + erf(x / sqrt(2))) / 2, the exact form (Hendrycks and Gimpel 2016)."""

    keyword: ClassVar[str] = "gelu"

    def moments(self, *inputs: Moments) -> Moments:
        return _half(inputs[0])

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0] * (1 + _erf(inputs[0] / sqrt(2))) / 2


class Sigmoid(BaseOp, frozen=True):
    """1 / (1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(0.3, inputs[0].is_positive)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return 1 / (1 + np.exp(-inputs[0]))


class Softmax(BaseOp, frozen=True):
    """exp(x) / sum(exp(x)) over the channels."""

    keyword: ClassVar[str] = "softmax"

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(0.3, inputs[0].is_positive)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        powers = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))  # the same quotient, without overflow
        total: Float64 = powers / powers.sum(axis=1, keepdims=True)
        return total


def _half(x: Moments) -> Moments:
    """Return the moments behind a ReLU or its like: half of the square, or all of it where no value is negative."""
    return Moments(x.second / (1 if x.is_positive else 2), x.is_positive)


def _erf(x: Float64) -> Float64:
    """Return the error function of each value; numpy has none."""
    return np.fromiter(map(erf, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
