"""Preprocessing as a model's first nodes: N x H x W x C of uint8 in the order RGB -> the network's N x C x H x W.

    value = (pixel - divide * mean) * (1 / (divide * std))

Bytes are moved while they are bytes, a quarter of what floats would be. Nothing goes into the first convolution: its
zeros around the image are the mean, which only an image that is normalised already can have around it. All of it is
computed in float32, and rounded once where the network computes in less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from resnetgen.preprocess import Color, Preprocess
from resnetgen.targets.onnx.elements import Element
from resnetgen.targets.onnx.schema import TensorProto
from resnetgen.targets.onnx.steps import Constant, Step


def embedded(preprocess: Preprocess, x: str, output: str, element: Element = Element.FP32) -> Iterator[Step]:
    """The nodes from a model's input to the network's, which computes in `element`."""
    calls: list[tuple[str, list[Constant], dict[str, Any]]] = [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    if preprocess.color is Color.BGR:
        calls.append(("Gather", [Constant("order", np.array([2, 1, 0], np.int64))], {"axis": 1}))
    calls.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if any(preprocess.mean):
        calls.append(("Sub", [_per_channel("mean", [preprocess.divide * mean for mean in preprocess.mean])], {}))
    scale = [1 / (preprocess.divide * std) for std in preprocess.std]
    if any(factor != 1 for factor in scale):
        calls.append(("Mul", [_per_channel("scale", scale)], {}))
    if element is not Element.FP32:
        calls.append(("Cast", [], {"to": element.proto}))
    names = [*(f"{output}/{kind.lower()}" for kind, _, _ in calls[:-1]), output]
    for (kind, constants, attributes), name in zip(calls, names, strict=True):
        yield Step(kind, [x, *constants], name, attributes)
        x = name


def _per_channel(label: str, values: list[float]) -> Constant:
    return Constant(label, np.array(values, np.float32).reshape(-1, 1, 1))
