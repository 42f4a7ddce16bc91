"""Elementwise activations, and softmax."""

from __future__ import annotations

from typing import ClassVar

from resnetgen.ir.ops.base import BaseOp, fraction


class Relu(BaseOp):
    """max(x, 0)."""

    keyword: ClassVar[str] = "relu"


class LeakyRelu(BaseOp):
    """x where x >= 0, else slope * x."""

    keyword: ClassVar[str] = "leakyrelu"
    slope: float

    def __post_init__(self) -> None:
        fraction("the slope", self.slope)


class Relu6(BaseOp):
    """min(max(x, 0), 6)."""

    keyword: ClassVar[str] = "relu6"


class Silu(BaseOp):
    """x / (1 + exp(-x)); also called Swish."""

    keyword: ClassVar[str] = "silu"


class Mish(BaseOp):
    """x * tanh(ln(1 + exp(x))) (Misra 2019)."""

    keyword: ClassVar[str] = "mish"


class Gelu(BaseOp):
    """x * (1 + erf(x / sqrt(2))) / 2, the exact form (Hendrycks and Gimpel 2016)."""

    keyword: ClassVar[str] = "gelu"


class Sigmoid(BaseOp):
    """1 / (1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"


class Softmax(BaseOp):
    """exp(x) / sum(exp(x)) over the channels."""

    keyword: ClassVar[str] = "softmax"
