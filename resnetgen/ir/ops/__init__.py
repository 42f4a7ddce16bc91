"""The op vocabulary: attributes, output shape, parameters and MACs of each op, defined here and nowhere else.

Shapes have no batch axis: (channels, height, width), or (features,). A MAC is one multiplication and one addition; only
convolutions and fully connected layers have MACs, as papers count them.

A field's metadata is its spelling in a spec: `short` is its short name (`C=32`), "/" the stride's slash.
"""

from __future__ import annotations

from typing import TypeAlias, get_args

from resnetgen.ir.ops.activations import Gelu, LeakyRelu, Mish, Relu, Relu6, Sigmoid, Silu, Softmax
from resnetgen.ir.ops.base import OpError, Pair, Parameter, Shape, show
from resnetgen.ir.ops.linear import ChannelConv, Conv, Fc
from resnetgen.ir.ops.merges import Add, Concat, Mul
from resnetgen.ir.ops.norms import BatchNorm, GroupNorm, Lrn
from resnetgen.ir.ops.pooling import AvgPool, BlurPool, GlobalAvgPool, MaxPool, Pool, rounded_up
from resnetgen.ir.ops.structure import ChannelPad, Dropout, Flatten, Input

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
    | Add
    | Mul
    | Concat
)

VOCABULARY: dict[str, type[Op]] = {op.keyword: op for op in get_args(Op)}
"""Keyword -> op, for all ops."""

__all__ = [
    "MERGES",
    "VOCABULARY",
    "Add",
    "AvgPool",
    "BatchNorm",
    "BlurPool",
    "ChannelConv",
    "ChannelPad",
    "Concat",
    "Conv",
    "Dropout",
    "Fc",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "GroupNorm",
    "Input",
    "LeakyRelu",
    "Lrn",
    "MaxPool",
    "Merge",
    "Mish",
    "Mul",
    "Op",
    "OpError",
    "Pair",
    "Parameter",
    "Pool",
    "Relu",
    "Relu6",
    "Shape",
    "Sigmoid",
    "Silu",
    "Softmax",
    "rounded_up",
    "show",
]
