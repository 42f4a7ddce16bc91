"""The op vocabulary: all that the compiler knows of an op, whatever the format, is defined here and nowhere else.

Attributes, output shape, parameters, MACs, and the moments that initialisation expects. Shapes have no batch axis:
(channels, height, width), or (features,). A MAC is one multiplication and one addition; only convolutions and fully
connected layers have MACs, as papers count them.
"""

from __future__ import annotations

from typing import TypeAlias, get_args

from resnetgen.ir.ops.activations import *
from resnetgen.ir.ops.base import *
from resnetgen.ir.ops.linear import *
from resnetgen.ir.ops.merges import *
from resnetgen.ir.ops.norms import *
from resnetgen.ir.ops.pooling import *
from resnetgen.ir.ops.structure import *

Merge: TypeAlias = Add | Mul | Concat
MERGES: dict[str, type[Merge]] = {op.keyword: op for op in get_args(Merge)}
"""Keyword -> op, for the ops that merge branches."""

Op: TypeAlias = (
    Input
    | Conv
    | ChannelConv
    | BatchNorm
    | GroupNorm
    | Lrn
    | Relu
    | LeakyRelu
    | Relu6
    | Silu
    | Mish
    | Gelu
    | Sigmoid
    | Dropout
    | MaxPool
    | AvgPool
    | GlobalAvgPool
    | BlurPool
    | ChannelPad
    | Flatten
    | Fc
    | Softmax
    | Merge
)

VOCABULARY: dict[str, type[Op]] = {op.keyword: op for op in get_args(Op)}
"""Keyword -> op, for all ops."""
