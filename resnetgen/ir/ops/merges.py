"""Ops that merge branches."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from resnetgen.errors import Code
from resnetgen.ir.ops.base import BaseOp, Float64, Moments, OpError, Shape, any_positive, show


class Add(BaseOp, frozen=True):
    """Sum of inputs of one shape."""

    keyword: ClassVar[str] = "add"
    arity: ClassVar[int | None] = None

    def shape(self, *inputs: Shape) -> Shape:
        for other in inputs[1:]:
            if other != inputs[0]:
                raise OpError(
                    Code.SHAPE_MISMATCH,
                    f"{show(inputs[0])} and {show(other)} cannot be added",
                    "the branches must agree in channels and size",
                )
        return inputs[0]

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(sum(x.second for x in inputs), any_positive(inputs))

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return sum(inputs[1:], inputs[0])


class Mul(BaseOp, frozen=True):
    """Product of two inputs; one of them may be a gate with one value per channel, (channels, 1, 1)."""

    keyword: ClassVar[str] = "mul"
    arity: ClassVar[int | None] = 2

    def shape(self, *inputs: Shape) -> Shape:
        a, b = inputs
        if a == b or (len(a) == len(b) == 3 and a[0] == b[0] and (1, 1) in (a[1:], b[1:])):
            return max(a, b)
        raise OpError(
            Code.SHAPE_MISMATCH,
            f"{show(a)} and {show(b)} cannot be multiplied",
            "a gate has one value for each channel, such as 64x1x1",
        )

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(prod(x.second for x in inputs), any_positive(inputs))

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return inputs[0] * inputs[1]


class Concat(BaseOp, frozen=True):
    """Inputs concatenated along the channels."""

    keyword: ClassVar[str] = "concat"
    arity: ClassVar[int | None] = None

    def shape(self, *inputs: Shape) -> Shape:
        for other in inputs[1:]:
            if other[1:] != inputs[0][1:]:
                raise OpError(
                    Code.SHAPE_MISMATCH,
                    f"{show(inputs[0])} and {show(other)} cannot be concatenated",
                    "all but the channels must agree",
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(max(x.second for x in inputs), any_positive(inputs))

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return np.concatenate(inputs, axis=1)
