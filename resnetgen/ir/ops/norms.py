"""Normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resnetgen.ir.ops.base import BaseOp, Parameter, Shape, fraction


@dataclass(frozen=True)
class BatchNorm(BaseOp):
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
