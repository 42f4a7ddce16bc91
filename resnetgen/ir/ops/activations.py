"""Functions of one element, and softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resnetgen.ir.ops.base import BaseOp, fraction


@dataclass(frozen=True)
class Relu(BaseOp):
    """max(x, 0)."""

    keyword: ClassVar[str] = "relu"


@dataclass(frozen=True)
class LeakyRelu(BaseOp):
    """x where x >= 0, else slope * x."""

    keyword: ClassVar[str] = "leakyrelu"
    slope: float

    def __post_init__(self) -> None:
        fraction("the slope", self.slope)


@dataclass(frozen=True)
class Sigmoid(BaseOp):
    """1 / (1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Softmax(BaseOp):
    """exp(x) / sum(exp(x)) over the channels."""

    keyword: ClassVar[str] = "softmax"
