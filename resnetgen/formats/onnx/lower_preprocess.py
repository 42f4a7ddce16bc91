"""Preprocessing as the first nodes of a model: uint8, N x H x W x C in RGB order -> the network's N x C x H x W.

    value = (pixel - divide * mean) * (1 / (divide * std))

Values are transposed while they are bytes, a quarter of the size of floats. The scale is not folded into the first
convolution: its zero padding stands for the mean, which only a normalised image can be padded with. All is computed in
float32, and rounded once if the network computes in fp16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from resnetgen.formats.onnx.lower_ops import ConstantInput, NodePlan
from resnetgen.formats.onnx.model.schema import TensorProto
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.preprocess import Color, Preprocess


def preprocess_nodes(
    preprocess: Preprocess, x: str, output: str, inner: FloatType = FloatType.FP32
) -> Iterator[NodePlan]:
    """Yield the nodes from a model's input to the network's, which computes in `inner`."""
    calls: list[tuple[str, list[ConstantInput], dict[str, Any]]] = [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    if preprocess.color is Color.BGR:
        calls.append(("Gather", [ConstantInput("order", np.array([2, 1, 0], np.int64))], {"axis": 1}))
    calls.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if any(preprocess.mean):
        calls.append(("Sub", [_per_channel("mean", [preprocess.divide * mean for mean in preprocess.mean])], {}))
    scale = [1 / (preprocess.divide * std) for std in preprocess.std]
    if any(factor != 1 for factor in scale):
        calls.append(("Mul", [_per_channel("scale", scale)], {}))
    if inner is not FloatType.FP32:
        calls.append(("Cast", [], {"to": inner.proto}))
    names = [*(f"{output}/{kind.lower()}" for kind, _, _ in calls[:-1]), output]
    for (kind, constants, attributes), name in zip(calls, names, strict=True):
        yield NodePlan(kind, [x, *constants], name, attributes)
        x = name


def _per_channel(label: str, values: list[float]) -> ConstantInput:
    return ConstantInput(label, np.array(values, np.float32).reshape(-1, 1, 1))
